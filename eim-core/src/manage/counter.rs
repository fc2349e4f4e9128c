//! Finding a counter again that was lost, as after a database was restored from a backup (SGP.32 v1.2 3.3.1).

use super::euicc::eid_of;
use super::register::{earlier, idempotency, key_taken};
use super::views::EuiccView;
use super::{FieldError, ManageError, euicc};
use crate::Eim;
use crate::domain::keys::{self, LAST_USUAL};
use crate::ids::CounterValue;
use crate::store::switch::SavedOnce;
use serde_json::Value;

const ATTEMPTS: usize = 8;

/// Searches for a counter that the eUICC takes, in growing steps above the last known one; above `above`, where the body says so.
/// While it is searched for, nothing else is signed.
///
/// # Errors
/// `NotFound`; `Conflict` when the counter is not lost; what can't be taken.
pub async fn recover_counter(
    eid: &str,
    body: Value,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<EuiccView, ManageError> {
    let eid = eid_of(eid)?;
    let above = read(&body)?;
    let key =
        idempotency_key.map(|key| idempotency(key, &format!("counter recovery {eid}"), &body, eim)).transpose()?;
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let not_found = || ManageError::NotFound { what: "eUICC", id: eid.to_string() };
        let snapshot = eim.store().poll_snapshot(eid, now).await?.ok_or_else(not_found)?;
        let version = snapshot.euicc.version;
        if earlier(key.as_ref(), eim).await?.is_some() {
            return euicc::euicc(&eid.to_string(), eim).await;
        }
        let mut work = eim.work(snapshot, now);
        if !keys::search(&mut work, above) {
            return Err(ManageError::Conflict {
                slug: "counter-not-lost",
                message: format!(
                    "The counter of the eUICC is not lost: its state is {}.",
                    work.state.euicc.state.as_str()
                ),
            });
        }
        let once = (key.clone(), eid.to_string());
        match eim.save_once(eid, version, work.finish(), once, now).await? {
            SavedOnce::Done | SavedOnce::Before { .. } => return euicc::euicc(&eid.to_string(), eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(ManageError::Conflict {
        slug: "euicc-busy",
        message: "the eUICC was changed by others meanwhile; try again".to_owned(),
    })
}

fn read(body: &Value) -> Result<Option<CounterValue>, ManageError> {
    let members = match body {
        Value::Null => return Ok(None),
        Value::Object(members) => members,
        _ => return Err(ManageError::invalid("", "an object is expected")),
    };
    let mut errors: Vec<FieldError> = members
        .keys()
        .filter(|name| *name != "above")
        .map(|name| FieldError::new(format!("/{name}"), "this member is not known here"))
        .collect();
    let above = match members.get("above") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let read = value.as_i64().filter(|above| (0..LAST_USUAL).contains(above));
            let read = read.and_then(|above| CounterValue::try_from(above).ok());
            if read.is_none() {
                errors.push(FieldError::new("/above", format!("a counter from 0 to {} is expected", LAST_USUAL - 1)));
            }
            read
        }
    };
    if errors.is_empty() { Ok(above) } else { Err(ManageError::Invalid(errors)) }
}
