//! Pools of activation codes, from which a campaign gives each device its own.

use super::register::{idempotency, key_taken};
use super::views::{CodeView, CodesImported, Page, PoolView};
use super::{FieldError, ManageError, page, view};
use crate::Eim;
use crate::domain::order::source_of;
use crate::ids::ActivationCode;
use crate::store::pool::{CodeState, NewCode, StoredPool};
use crate::store::switch::SavedOnce;
use serde_json::{Map, Value};

/// The longest name of a pool.
const NAME_MAX: usize = 128;
/// The most codes that one request may bring.
const CODES_MAX: usize = 10_000;
const LOW_WATER_MAX: i64 = 1 << 32;

fn members(body: Value, known: &[&str]) -> Result<Map<String, Value>, ManageError> {
    let Value::Object(members) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    let errors: Vec<FieldError> =
        unknown.map(|name| FieldError::new(format!("/{name}"), "this member is not known here")).collect();
    if errors.is_empty() { Ok(members) } else { Err(ManageError::Invalid(errors)) }
}

/// Makes an empty pool. Once for an idempotency key: repeated, it gives the pool as it is now.
///
/// # Errors
/// What can't be taken; `Conflict` when the name is taken.
pub async fn create_pool(body: Value, idempotency_key: Option<&str>, eim: &Eim) -> Result<PoolView, ManageError> {
    let key = idempotency_key.map(|key| idempotency(key, "pool", &body, eim)).transpose()?;
    let members = members(body, &["name", "lowWater"])?;
    let name = match members.get("name") {
        Some(Value::String(name)) if (1..=NAME_MAX).contains(&name.len()) && !name.contains('\0') => name.clone(),
        _ => return Err(ManageError::invalid("/name", format!("a name of 1 to {NAME_MAX} octets is expected"))),
    };
    let low_water = match members.get("lowWater") {
        None | Some(Value::Null) => 0,
        Some(value) => value.as_i64().filter(|number| (0..=LOW_WATER_MAX).contains(number)).ok_or_else(|| {
            ManageError::invalid(
                "/lowWater",
                "a whole number from 0 is expected: below so many free codes an event says so",
            )
        })?,
    };
    let now = eim.clock().now_ms();
    let id = eim.entropy().operation_id(now).to_string();
    let pool = StoredPool { seq: 0, id, name, low_water, free: 0, created_at: now };
    match eim.store().insert_pool(pool.clone(), key).await? {
        SavedOnce::Done => Ok(view::pool(pool)),
        SavedOnce::Before { resource } => self::pool(&resource, eim).await,
        SavedOnce::KeyTaken => Err(key_taken()),
        SavedOnce::Conflict => {
            let message = "There is a pool of this name already.".to_owned();
            Err(ManageError::Conflict { slug: "pool-exists", message })
        }
    }
}

/// Lists pools, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_pools(cursor: Option<&str>, limit: Option<u32>, eim: &Eim) -> Result<Page<PoolView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().pools(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |pool| pool.seq);
    Ok(Page { items: found.into_iter().map(view::pool).collect(), next_cursor })
}

/// Shows a pool.
///
/// # Errors
/// When it is not known.
pub async fn pool(id: &str, eim: &Eim) -> Result<PoolView, ManageError> {
    Ok(view::pool(load(id, eim).await?))
}

async fn load(id: &str, eim: &Eim) -> Result<StoredPool, ManageError> {
    let not_found = || ManageError::NotFound { what: "pool", id: id.chars().take(64).collect() };
    if id.contains('\0') {
        return Err(not_found());
    }
    eim.store().pool(id).await?.ok_or_else(not_found)
}

/// A code that a pool can hand out; else what is wrong with it.
fn code_of(item: &Value) -> Result<ActivationCode, &'static str> {
    let code = item.as_str().and_then(|text| text.parse::<ActivationCode>().ok());
    let code = code.filter(|code| source_of(code).is_some());
    let code = code.ok_or("an activation code of a host name (1$address$matchingId) is expected")?;
    if code.confirmation_code_required() {
        return Err("the activation code asks for a confirmation code, and a pool has none to give");
    }
    Ok(code)
}

/// What is known again of a code: the order that it stands for, whatever else is written in it. The host name has no case, the
/// matchingId has one.
fn order_of(code: &ActivationCode) -> String {
    format!("1${}${}", code.smdp_address().to_ascii_lowercase(), code.matching_id())
}

/// Puts activation codes into a pool. All of them, or none when one can't be taken; one that is known already is left as it
/// is. Once for an idempotency key: repeated, it gives what it gave before, with the codes that are free now.
///
/// # Errors
/// What can't be taken, by its place in the list; no code is repeated in a message.
pub async fn import_codes(
    id: &str,
    body: Value,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<CodesImported, ManageError> {
    let pool = load(id, eim).await?;
    let function = format!("pool {} codes", pool.id);
    let key = idempotency_key.map(|key| idempotency(key, &function, &body, eim)).transpose()?;
    let members = members(body, &["codes"])?;
    let Some(list) =
        members.get("codes").and_then(Value::as_array).filter(|list| (1..=CODES_MAX).contains(&list.len()))
    else {
        return Err(ManageError::invalid("/codes", format!("a list of 1 to {CODES_MAX} activation codes is expected")));
    };
    let now = eim.clock().now_ms();
    let mut errors = Vec::new();
    let mut codes = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let code = match code_of(item) {
            Ok(code) => code,
            Err(message) => {
                errors.push(FieldError::new(format!("/codes/{index}"), message));
                if errors.len() >= 100 {
                    break;
                }
                continue;
            }
        };
        let id = eim.entropy().operation_id(now).to_string();
        codes.push(NewCode {
            address: code.smdp_address().to_ascii_lowercase(),
            digest: eim.sealing().fingerprint(order_of(&code).as_bytes()).to_vec(),
            secret: eim.sealing().seal(code.reveal().as_bytes(), id.as_bytes(), eim.entropy().octets()),
            id,
        });
    }
    if !errors.is_empty() {
        return Err(ManageError::Invalid(errors));
    }
    let given = codes.len();
    let imported = eim.store().insert_codes(pool.id.clone(), codes, key, now).await?.ok_or_else(key_taken)?;
    let free = load(&pool.id, eim).await?.free;
    Ok(CodesImported { imported, known_already: given - imported, free })
}

/// Lists the codes of a pool without the codes.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_codes(
    id: &str,
    state: Option<&str>,
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<CodeView>, ManageError> {
    let pool = load(id, eim).await?;
    let (after, limit) = page::bounds(cursor, limit)?;
    let state = match state {
        None => None,
        Some(word) => Some(CodeState::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = CodeState::ALL.iter().map(|state| state.as_str()).collect();
            ManageError::invalid("/state", format!("one of {} is expected", words.join(", ")))
        })?),
    };
    let mut found = eim.store().codes(pool.id, state, after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |code| code.seq);
    Ok(Page { items: found.into_iter().map(view::code).collect(), next_cursor })
}

/// Puts a spent code back, after the operator has found out that it was not used. Once for an idempotency key: repeated, it
/// gives the pool as it is now.
///
/// # Errors
/// When there is no such code, or it is not spent.
pub async fn release_code(
    pool: &str,
    code: &str,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<PoolView, ManageError> {
    let pool = load(pool, eim).await?;
    let function = format!("pool {} release {code}", pool.id);
    let key = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    match eim.store().release_code(pool.id.clone(), code.to_owned(), key, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => Ok(view::pool(load(&pool.id, eim).await?)),
        SavedOnce::KeyTaken => Err(key_taken()),
        SavedOnce::Conflict => {
            let message =
                "There is no spent code of this name in the pool; only a spent one can be put back.".to_owned();
            Err(ManageError::Conflict { slug: "code-not-spent", message })
        }
    }
}
