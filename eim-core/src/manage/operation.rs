//! Asking devices for something, and following what becomes of it.

use super::api_key::GrantsUsed;
use super::euicc::eid_of;
use super::register::{earlier, idempotency, key_taken};
use super::views::{OperationView, Page};
use super::{DryRun, FieldError, ManageError, Principal, Role, page, view};
use crate::Eim;
use crate::asn1::Eco;
use crate::domain::apply;
use crate::domain::association;
use crate::domain::fleet::guard::{self, Check, CheckResult, Known};
use crate::domain::fleet::switch;
use crate::domain::keys;
use crate::domain::lists::{self, list_profiles};
use crate::domain::operation::{ABANDONED, OperationResult, Purpose};
use crate::domain::{
    DownloadOrder, Event, Kind, NewOperation, Operation, OperationError, OperationState, Origin, Request, Secrets,
    Work, order,
};
use crate::ids::{Eid, OperationId};
use crate::store::switch::SavedOnce;
use crate::store::{self, Enqueued, ResultKeys};
use chrono::DateTime;
use serde_json::{Map, Value, json};

const LABEL_MAX: usize = 128;
const ATTEMPTS: usize = 8;

/// Which operations to list.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// Only those of this eUICC.
    pub eid: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// `newest` or `oldest` first; the oldest one unless said.
    pub order: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Queues an operation for a device. It is delivered when the device polls.
///
/// # Errors
/// What can't be taken; `NotFound` when the eUICC is not known.
pub async fn create_operation(
    eid: &str,
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<OperationView, ManageError> {
    let (id, _) = queue_operation(eid, body, idempotency_key, principal, eim).await?;
    operation(&id, eim).await
}

/// The same, for many: gives the name of the operation, and whether it was made before under the same key.
pub(super) async fn queue_operation(
    eid: &str,
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<(String, bool), ManageError> {
    let eid = eid_of(eid)?;
    let now = eim.clock().now_ms();
    let key = idempotency_key.map(|key| idempotency(key, &format!("operation {eid}"), &body, eim)).transpose()?;
    let id = eim.entropy().operation_id(now);
    let (operation, overridden) = read(body, id, now, eim)?;
    may_override(&overridden, principal)?;
    // A repeated request has its answer, whatever the guard says now.
    let earlier = match &key {
        Some(key) => eim.store().earlier_request(key.clone()).await?,
        None => None,
    };
    // Its own, so that of many lines each is told with the grants that it rests on.
    let used = GrantsUsed::default();
    if earlier.is_none() {
        let alone = Principal { used: used.clone(), ..principal.clone() };
        super::authority::check_owners(eid, &operation, &alone, eim).await?;
        refuse_known_eims(eid, &operation, eim).await?;
    }
    let set_aside = if earlier.is_none() { guarded(eid, &operation, &overridden, eim).await? } else { vec![] };
    let mut details = json!({ "operation": id, "kind": operation.kind.as_str() });
    let grants = used.list();
    grants.iter().for_each(|grant| principal.used.note(grant));
    if !set_aside.is_empty() {
        details["overridden"] = json!(set_aside);
    }
    if !grants.is_empty() {
        details["grants"] = json!(grants);
    }
    if !set_aside.is_empty() || !grants.is_empty() {
        details["by"] = json!({ "key": principal.key_id, "name": principal.name });
    }
    let event = Event::new("operationQueued", details);
    match eim.store().enqueue(eid, operation, event, key, now).await? {
        Enqueued::Done => Ok((id.to_string(), false)),
        Enqueued::Before { resource } => Ok((resource, true)),
        Enqueued::KeyTaken => Err(key_taken()),
        Enqueued::UnknownEuicc | Enqueued::Exists => Err(ManageError::NotFound { what: "eUICC", id: eid.to_string() }),
    }
}

/// Says what the guard would say to an operation, and does nothing.
///
/// # Errors
/// What can't be taken; `NotFound` when the eUICC is not known.
pub async fn dry_run_operation(
    eid: &str,
    body: Value,
    principal: &Principal,
    eim: &Eim,
) -> Result<DryRun, ManageError> {
    let eid = eid_of(eid)?;
    let now = eim.clock().now_ms();
    let (operation, overridden) = read(body, eim.entropy().operation_id(now), now, eim)?;
    may_override(&overridden, principal)?;
    if eim.store().euicc(eid).await?.is_none() {
        return Err(ManageError::NotFound { what: "eUICC", id: eid.to_string() });
    }
    refuse_known_eims(eid, &operation, eim).await?;
    let mut checks = guard_says(eid, &operation, &overridden, eim).await?;
    match super::authority::check_owners(eid, &operation, principal, eim).await {
        Ok(()) => {}
        Err(ManageError::Conflict { message, .. }) => checks.push(guard::not_granted(message)),
        Err(error) => return Err(error),
    }
    Ok(DryRun { allowed: guard::allows(&checks), checks })
}

/// An eIM that is there can't be added (associatedEimAlreadyExists): what the package before this one leaves is taken for
/// what the eUICC holds, as far as verified results told it.
async fn refuse_known_eims(eid: Eid, operation: &NewOperation, eim: &Eim) -> Result<(), ManageError> {
    let Some(Request::Eco(list)) = operation.request.as_object().and_then(|body| Request::parse(body).ok()) else {
        return Ok(());
    };
    if !list.iter().any(|eco| matches!(eco, Eco::AddEim(_))) {
        return Ok(());
    }
    let Some((euicc, _)) = eim.store().euicc(eid).await? else { return Ok(()) };
    let others = eim.store().other_eims(eid).await?;
    let mut there: Vec<String> = others.into_iter().filter(|eim| eim.is_there()).map(|eim| eim.eim_id).collect();
    // Whoever signs is associated.
    there.push(eim.eim_id_of(&euicc).as_str().to_owned());
    let mut errors = Vec::new();
    for (index, eco) in list.iter().enumerate() {
        match eco {
            Eco::AddEim(data) if there.iter().any(|known| known == data.eim_id.as_str()) => {
                let message = "this eIM is associated with the eUICC already, as far as it is known here; change it with \
                               updateEim, or ask for listEim if that is out of date";
                errors.push(FieldError::new(format!("/eco/{index}/addEim/eimId"), message));
            }
            Eco::AddEim(data) => there.push(data.eim_id.as_str().to_owned()),
            Eco::DeleteEim(delete) => there.retain(|known| known != delete.eim_id.as_str()),
            _ => {}
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ManageError::Invalid(errors)) }
}

fn may_override(overridden: &[String], principal: &Principal) -> Result<(), ManageError> {
    if !overridden.is_empty() && !principal.role.may(Role::Admin) {
        return Err(ManageError::Forbidden("overriding a check of the guard needs the role admin".to_owned()));
    }
    Ok(())
}

/// Lets an operation through that leaves the device a profile and that the owners allow. Gives the checks that were
/// overridden.
///
/// # Errors
/// `Guard` when it does not.
async fn guarded(
    eid: Eid,
    operation: &NewOperation,
    overridden: &[String],
    eim: &Eim,
) -> Result<Vec<&'static str>, ManageError> {
    let checks = guard_says(eid, operation, overridden, eim).await?;
    if !guard::allows(&checks) {
        return Err(ManageError::Guard(checks));
    }
    let set_aside = checks.iter().filter(|check| check.result == CheckResult::Overridden);
    Ok(set_aside.map(|check| check.name).collect())
}

/// The checks of the guard; none for what it has nothing to say to.
async fn guard_says(
    eid: Eid,
    operation: &NewOperation,
    overridden: &[String],
    eim: &Eim,
) -> Result<Vec<Check>, ManageError> {
    if operation.kind == Kind::ProfileDownload {
        let order = operation.request.get(Kind::ProfileDownload.as_str()).and_then(DownloadOrder::from_stored);
        let (Some(order), Some((euicc, _))) = (order, eim.store().euicc(eid).await?) else { return Ok(vec![]) };
        let profiles = eim.store().profiles(eid).await?;
        let policies = eim.store().owner_policies().await?;
        let known = Known { euicc: &euicc, profiles: &profiles, busy_with: None, policies: &policies, rights: None };
        return Ok(guard::download_checks(order.source.smdp(), known, overridden));
    }
    let Some(request @ (Request::Psmo(_) | Request::Eco(_))) =
        operation.request.as_object().and_then(|body| Request::parse(body).ok())
    else {
        return Ok(vec![]);
    };
    let Some((euicc, _)) = eim.store().euicc(eid).await? else { return Ok(vec![]) };
    if let Some(unmanaged) = guard::unmanaged(&euicc) {
        return Ok(vec![unmanaged]);
    }
    let list = match request {
        Request::Psmo(list) => list,
        Request::Eco(list) => {
            let own = eim.eim_id_of(&euicc);
            return Ok(guard::configuration_checks(&list, own.as_str(), eim.address_of(own), overridden));
        }
        _ => return Ok(vec![]),
    };
    if !guard::takes_away(&list) {
        return Ok(vec![]);
    }
    let profiles = eim.store().profiles(eid).await?;
    let policies = eim.store().owner_policies().await?;
    let known = Known { euicc: &euicc, profiles: &profiles, busy_with: None, policies: &policies, rights: None };
    let mut checks = guard::package_checks(std::slice::from_ref(&list), known, overridden);
    let last = eim.store().last_switch(eid).await?;
    let open = switch::disturbed(last.as_ref().map(|last| &last.switch), &list);
    checks.extend(open.map(|switch| guard::disturbs(&switch.id.to_string())));
    Ok(checks)
}

fn overrides(body: &mut Map<String, Value>, errors: &mut Vec<FieldError>) -> Vec<String> {
    let names = [
        guard::PROFILE_LIST,
        guard::OWNER_POLICY,
        guard::POLICY_RULES,
        guard::NOT_THE_ONLY_PROFILE,
        guard::KEEPS_THIS_EIM,
    ];
    let list = match body.remove("override") {
        None | Some(Value::Null) => return vec![],
        Some(Value::Array(list)) if list.len() <= names.len() => list,
        Some(_) => vec![Value::Null],
    };
    let read: Option<Vec<String>> =
        list.iter().map(|name| name.as_str().filter(|name| names.contains(name)).map(str::to_owned)).collect();
    read.unwrap_or_else(|| {
        errors.push(FieldError::new("/override", format!("a list of {} is expected", names.join(", "))));
        vec![]
    })
}

fn read(body: Value, id: OperationId, now: i64, eim: &Eim) -> Result<(NewOperation, Vec<String>), ManageError> {
    let Value::Object(mut body) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors = Vec::new();
    let not_before = time(&mut body, "notBefore", &mut errors);
    let valid_until = time(&mut body, "validUntil", &mut errors);
    if valid_until.is_some_and(|until| until <= now.max(not_before.unwrap_or(now))) {
        errors.push(FieldError::new("/validUntil", "a time after now and after notBefore is expected"));
    }
    let label = label(&mut body, &mut errors);
    let overridden = overrides(&mut body, &mut errors);
    for name in body.keys().filter(|name| Kind::from_word(name).is_none()) {
        errors.push(FieldError::new(format!("/{name}"), "this member is not known here"));
    }
    let asked = match asked_for(body) {
        Ok(asked) if errors.is_empty() => asked,
        Ok(_) => return Err(ManageError::Invalid(errors)),
        Err(wrong) => {
            errors.extend(wrong);
            return Err(ManageError::Invalid(errors));
        }
    };
    let (kind, request, secret) = match asked {
        Asked::Download(order, secrets) => {
            let sealed = (!secrets.is_empty()).then(|| {
                let (context, nonce) = (id.to_string(), eim.entropy().octets());
                eim.sealing().seal(&secrets.to_octets(), context.as_bytes(), nonce)
            });
            (Kind::ProfileDownload, order.to_request(), sealed)
        }
        Asked::Package(request, body) => {
            refuse_own_rotation(&request, eim)?;
            (request.kind(), body, None)
        }
    };
    let operation = NewOperation {
        id,
        kind,
        origin: Origin::Operator,
        purpose: None,
        subject: None,
        request,
        label,
        not_before,
        valid_until,
        secret,
        overridden: overridden.clone(),
    };
    Ok((operation, overridden))
}

/// What a request asks for, with what is stored of it.
enum Asked {
    Download(DownloadOrder, Secrets),
    Package(Request, Value),
}

fn asked_for(body: Map<String, Value>) -> Result<Asked, Vec<FieldError>> {
    let others = Kind::ALL.iter().filter(|kind| **kind != Kind::ProfileDownload);
    match body.get(Kind::ProfileDownload.as_str()) {
        Some(download) if others.clone().all(|kind| !body.contains_key(kind.as_str())) => {
            order::from_api(download).map(|(order, secrets)| Asked::Download(order, secrets))
        }
        _ => Request::parse(&body).map(|request| Asked::Package(request, Value::Object(body))),
    }
}

/// The same for each of a list of requests, by its place below `base`.
pub(super) fn own_rotations(requests: &[Value], base: &str, eim: &Eim) -> Vec<FieldError> {
    let refused = |(place, request): (usize, &Value)| {
        let read = request.as_object().and_then(|body| Request::parse(body).ok())?;
        let Err(ManageError::Invalid(wrong)) = refuse_own_rotation(&read, eim) else { return None };
        let below = move |error: FieldError| FieldError::new(format!("{base}/{place}{}", error.pointer), error.message);
        Some(wrong.into_iter().map(below))
    };
    requests.iter().enumerate().filter_map(refused).flatten().collect()
}

/// An eUICC that takes another key for this eIM must be followed until it has said so, and a lower counter under the same key would
/// make old packages valid again: that is what a key rotation is for, and why no operation adds an eIM of this server. A token is learned from
/// no updateEim.
pub(super) fn refuse_own_rotation(request: &Request, eim: &Eim) -> Result<(), ManageError> {
    let Request::Eco(list) = request else { return Ok(()) };
    let mut errors = Vec::new();
    for (index, eco) in list.iter().enumerate() {
        if let Eco::AddEim(data) = eco
            && eim.identity_named(data.eim_id.as_str()).is_some()
        {
            let message = "this is an eIM of this server, and no operation adds it, not even behind a deleteEim: its counter would \
                           begin anew under a key that was used, and old packages could be replayed";
            errors.push(FieldError::new(format!("/eco/{index}/addEim/eimId"), message));
        }
        let Eco::UpdateEim(update) = eco else { continue };
        let pointer = format!("/eco/{index}/updateEim");
        if eim.identity_named(update.eim_id.as_str()).is_none() {
            if update.association_token.is_some_and(|token| token < 0) {
                let message = "0 or more is expected: a token is allocated by addEim alone";
                errors.push(FieldError::new(format!("{pointer}/associationToken"), message));
            }
            continue;
        }
        for (given, name) in [
            (update.eim_public_key_data.is_some(), "eimPublicKeyData"),
            (update.counter_value.is_some(), "counterValue"),
            (update.association_token.is_some(), "associationToken"),
        ] {
            if given {
                let message = "this can't be changed for this eIM itself by an operation: it would lock this eIM out, or \
                               let old packages be replayed. Key and counter are renewed by POST /api/v1/key-rotations";
                errors.push(FieldError::new(format!("{pointer}/{name}"), message));
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ManageError::Invalid(errors)) }
}

pub(super) fn label(body: &mut Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<String> {
    match body.remove("label") {
        None | Some(Value::Null) => None,
        Some(Value::String(label)) if label.len() <= LABEL_MAX && !label.contains('\0') => Some(label),
        Some(_) => {
            errors.push(FieldError::new(
                "/label",
                format!("a text of at most {LABEL_MAX} octets, none of them zero, is expected"),
            ));
            None
        }
    }
}

pub(super) fn time(body: &mut Map<String, Value>, name: &str, errors: &mut Vec<FieldError>) -> Option<i64> {
    match body.remove(name) {
        None | Some(Value::Null) => None,
        Some(value) => {
            let time = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            if time.is_none() {
                errors.push(FieldError::new(format!("/{name}"), "a time as in RFC 3339 is expected"));
            }
            time.map(|time| time.timestamp_millis())
        }
    }
}

/// Shows one operation.
///
/// # Errors
/// When it is not known.
pub async fn operation(id: &str, eim: &Eim) -> Result<OperationView, ManageError> {
    Ok(view::operation(load(id, eim).await?))
}

async fn load(id: &str, eim: &Eim) -> Result<Operation, ManageError> {
    let not_found = || ManageError::NotFound { what: "operation", id: id.chars().take(64).collect() };
    let parsed: OperationId = id.parse().map_err(|_| not_found())?;
    eim.store().operation(parsed).await?.ok_or_else(not_found)
}

/// Lists operations, oldest first.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_operations(filter: OperationFilter, eim: &Eim) -> Result<Page<OperationView>, ManageError> {
    let (after, limit, newest) = page::ordered_bounds(filter.order.as_deref(), filter.cursor.as_deref(), filter.limit)?;
    let filter = store::OperationFilter { newest, ..store_filter(filter, after, limit + 1)? };
    let mut found = eim.store().operations(filter).await?;
    let next_cursor = page::cut(&mut found, limit, |operation| operation.seq);
    Ok(Page { items: found.into_iter().map(view::operation).collect(), next_cursor })
}

/// The filter of a list as the store takes it.
pub(super) fn store_filter(
    filter: OperationFilter,
    after: i64,
    limit: i64,
) -> Result<store::OperationFilter, ManageError> {
    let eid = match filter.eid.as_deref() {
        None => None,
        Some(text) => Some(text.parse::<Eid>().map_err(|error| ManageError::invalid("/eid", format!("{error}")))?),
    };
    let state = match filter.state.as_deref() {
        None => None,
        Some(word) => Some(OperationState::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = OperationState::ALL.iter().map(|state| state.as_str()).collect();
            ManageError::invalid("/state", format!("one of {} is expected", words.join(", ")))
        })?),
    };
    Ok(store::OperationFilter { eid, state, after, newest: false, limit })
}

/// Withdraws an operation that was not delivered yet. Once for an idempotency key: repeated, it gives the operation as it is now.
///
/// # Errors
/// `Conflict` when it was delivered or has ended.
pub async fn cancel_operation(
    id: &str,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<OperationView, ManageError> {
    change(id, ("cancel", idempotency_key), eim, |work, id| {
        let now = work.now();
        let Some(operation) = work.operation(id) else { return Ok(()) };
        match operation.state {
            OperationState::Queued => {
                operation.end(OperationState::Cancelled, now);
                work.announce(id);
                apply::reconcile(work, id);
                Ok(())
            }
            OperationState::Delivered | OperationState::Unconfirmed => Err(ManageError::Conflict {
                slug: "operation-delivered",
                message: "The operation was delivered: the device may have carried it out already, so it can't be \
                          called back. Wait for its result, or abandon it."
                    .to_owned(),
            }),
            state => Err(ended(state)),
        }
    })
    .await
}

/// Stops waiting for a delivered operation. The device may have carried it out; its profile list is asked for. Once for an
/// idempotency key, like [`cancel_operation`].
///
/// # Errors
/// `Conflict` when it is still queued or has ended.
pub async fn abandon_operation(
    id: &str,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<OperationView, ManageError> {
    change(id, ("abandon", idempotency_key), eim, |work, id| {
        let now = work.now();
        let Some(operation) = work.operation(id) else { return Ok(()) };
        match operation.state {
            OperationState::Queued => Err(ManageError::Conflict {
                slug: "operation-queued",
                message: "The operation was not delivered yet. Cancel it instead.".to_owned(),
            }),
            OperationState::Delivered | OperationState::Unconfirmed => {
                let message = "An operator gave it up after it was delivered. The device may have carried it out.";
                operation.error = Some(OperationError::named(ABANDONED, message));
                operation.end(OperationState::Cancelled, now);
                let package = operation.kind.is_euicc_package();
                work.announce(id);
                apply::reconcile(work, id);
                if keys::given_up(work, id) {
                    return Ok(());
                }
                if package && !work.asks_already(Purpose::Reconcile, Kind::Psmo) {
                    lists::doubted_now(work);
                    work.ask(Purpose::Reconcile, Kind::Psmo, Some(id), list_profiles());
                }
                Ok(())
            }
            state => Err(ended(state)),
        }
    })
    .await
}

/// What the result of a deleteEim is called that is taken on an operator's word.
pub(crate) const CONFIRMED: &str = "confirmed";

/// Ends a delivered deleteEim of this eIM whose result was lost. `proof` says how it is known that it was carried out; `verified`
/// whether the eUICC itself has signed that.
///
/// # Errors
/// `Conflict` when it is still queued or has ended.
pub(super) async fn conclude_deletion(id: &str, proof: &str, verified: bool, eim: &Eim) -> Result<(), ManageError> {
    let concluded = change(id, ("concludeDeletion", None), eim, |work, id| {
        let now = work.now();
        let Some(operation) = work.operation(id) else { return Ok(()) };
        match operation.state {
            OperationState::Queued => Err(ManageError::Conflict {
                slug: "operation-queued",
                message: "The deletion of this eIM was not delivered yet.".to_owned(),
            }),
            OperationState::Delivered | OperationState::Unconfirmed => {
                operation.verified = Some(verified);
                operation.results = vec![OperationResult {
                    operation: "deleteEim".to_owned(),
                    code: None,
                    name: if verified { "ok" } else { CONFIRMED }.to_owned(),
                    message: format!("The result was lost. That it was done is known by: {proof}."),
                    value: None,
                }];
                operation.end(OperationState::Succeeded, now);
                work.announce(id);
                association::ended(work, Some(id), verified);
                Ok(())
            }
            state => Err(ended(state)),
        }
    });
    concluded.await.map(drop)
}

fn ended(state: OperationState) -> ManageError {
    ManageError::Conflict { slug: "operation-ended", message: format!("The operation has ended: {}.", state.as_str()) }
}

async fn change(
    id: &str,
    (verb, idempotency_key): (&str, Option<&str>),
    eim: &Eim,
    decide: impl Fn(&mut Work, OperationId) -> Result<(), ManageError>,
) -> Result<OperationView, ManageError> {
    let parsed = load(id, eim).await?.id;
    let function = format!("operation {parsed} {verb}");
    let key = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    for _ in 0..ATTEMPTS {
        let operation = load(id, eim).await?;
        let now = eim.clock().now_ms();
        let keys = ResultKeys { operations: vec![operation.id], ..ResultKeys::default() };
        let Some((snapshot, _)) = eim.store().result_snapshot(operation.eid, keys, now).await? else {
            return Err(ManageError::NotFound { what: "eUICC", id: operation.eid.to_string() });
        };
        let version = snapshot.euicc.version;
        let mut work = eim.work(snapshot, now);
        if earlier(key.as_ref(), eim).await?.is_some() {
            return self::operation(id, eim).await;
        }
        decide(&mut work, operation.id)?;
        let once = (key.clone(), operation.id.to_string());
        match eim.save_once(operation.eid, version, work.finish(), once, now).await? {
            SavedOnce::Done | SavedOnce::Before { .. } => return self::operation(id, eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(ManageError::Conflict {
        slug: "euicc-busy",
        message: "the eUICC was changed by others meanwhile; try again".to_owned(),
    })
}
