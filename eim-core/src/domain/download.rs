//! The life of a profile download: what a server's refusal, a broken connection, a cancelled session or an installation
//! result makes of its operation (SGP.32 v1.2 3.2.3).
//!
//! The first cause stays: what the device reports afterwards is kept beside it. Only an [`Accepted`] installation result
//! puts a profile on the list.

use super::changes::NewOperation;
use super::codes;
use super::euicc::Profile;
use super::interpret;
use super::lists::distrust_profiles;
use super::operation::{Kind, Operation, OperationError, OperationResult, OperationState, Origin};
use super::order::{DownloadOrder, Mode, Secrets, source_of};
use super::session::{DownloadSession, Phase};
use super::work::Work;
use crate::asn1::code::profile_download_error_reason::ECALL_ACTIVE;
use crate::asn1::{self, CodeTable, FinalResult, ProfileInstallationResultData, StoreMetadataRequest};
use crate::ids::{ActivationCode, Iccid, OperationId};
use crate::pki::Accepted;
use serde_json::json;

/// How often a trigger is delivered before the download is given up.
const DELIVERIES_MAX: i64 = 8;
/// How often a download is tried again after something that may pass.
const RETRIES_MAX: i64 = 8;
/// How long a device is left alone with a trigger before it gets it again; it doubles up to the last. A download over a
/// narrow network takes minutes.
const DELIVERED_AGAIN_AFTER_MS: i64 = 300_000;
/// The first wait before a download is tried again; it doubles up to the last.
const AGAIN_AFTER_MS: i64 = 60_000;
const AGAIN_AFTER_MAX_MS: i64 = 6 * 3_600_000;
/// The longest octets of an error object that are shown.
const ERROR_OBJECT_MAX_BYTES: usize = 1_024;

/// The name of the interruption that another key of the eIM's may end.
pub const SECRET_UNREADABLE: &str = "secretUnreadable";

/// The names of interruptions, after which a download is tried again; all others end it.
const INTERRUPTIONS: [&str; 17] = [
    SECRET_UNREADABLE,
    "certificatesUnknown",
    "euiccInfo1Unknown",
    "sessionLost",
    "alreadyAsked",
    "unreachable",
    "tls",
    "timeout",
    "broken",
    "tooLarge",
    "redirect",
    "busy",
    "circuitOpen",
    "interrupted",
    "noWorker",
    "serverError",
    "unreadableAnswer",
];

fn doubled(first_ms: i64, times: i64) -> i64 {
    (first_ms << times.clamp(0, 10)).min(AGAIN_AFTER_MAX_MS)
}

fn wait(times: i64) -> i64 {
    doubled(AGAIN_AFTER_MS, times)
}

/// The order of an operation that is a download.
#[must_use]
pub fn order(operation: &Operation) -> Option<DownloadOrder> {
    if operation.kind != Kind::ProfileDownload {
        return None;
    }
    DownloadOrder::from_stored(operation.request.get(Kind::ProfileDownload.as_str())?)
}

/// The download that is under way: delivered, and not ended.
#[must_use]
pub fn under_way(operations: &[Operation]) -> Option<&Operation> {
    operations
        .iter()
        .find(|operation| operation.kind == Kind::ProfileDownload && operation.state == OperationState::Delivered)
}

/// Notes that the trigger goes out, for the first time or again.
pub fn delivered(work: &mut Work, id: OperationId) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    // What is told of an earlier try is not the cause of what becomes of this one, but an interruption may still be
    // reported by the device.
    let may_be_reported = operation.state == OperationState::Delivered && is_interrupted(operation);
    operation.error.take_if(|error| !may_be_reported || error.name == SECRET_UNREADABLE);
    operation.state = OperationState::Delivered;
    operation.delivered_at = operation.delivered_at.or(Some(now));
    operation.attempts += 1;
    operation.again_after = Some(now + doubled(DELIVERED_AGAIN_AFTER_MS, operation.attempts - 1));
    let details = json!({
        "operation": id,
        "kind": Kind::ProfileDownload.as_str(),
        "eimTransactionId": operation.eim_transaction_id,
    });
    if operation.attempts == 1 {
        work.event("packageDelivered", details);
    }
}

/// A trigger that was delivered and brought no result: whether it goes out again now. Ends a download that had its
/// chances.
pub fn pursue(work: &mut Work, id: OperationId) -> bool {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return false };
    if operation.again_after.is_some_and(|after| now < after) {
        return false;
    }
    if operation.attempts < DELIVERIES_MAX {
        return true;
    }
    let error = operation.error.clone().unwrap_or_else(|| {
        OperationError::named(
            "noAnswer",
            "The device took the trigger eight times and reported nothing. It may not support downloads by this eIM.",
        )
    });
    fail(work, id, error);
    false
}

/// Ends a download that is under way. One that has ended keeps its first cause.
pub fn fail(work: &mut Work, id: OperationId, error: OperationError) {
    let now = work.now();
    let Some(operation) = work.operation(id).filter(|operation| operation.state == OperationState::Delivered) else {
        return;
    };
    operation.fail(error, now);
    work.announce(id);
}

/// Notes something that may pass: the download stays open, and the device gets the trigger again later.
pub fn interrupt(work: &mut Work, id: OperationId, function: &str, address: &str, name: &str, message: &str) {
    let now = work.now();
    let Some(operation) = work.operation(id).filter(|operation| operation.state == OperationState::Delivered) else {
        return;
    };
    operation.error = Some(OperationError::named(name, &format!("{message} The device is asked to try again.")));
    operation.again_after = Some(now + wait(operation.attempts.max(1) - 1));
    let details = json!({ "operation": id, "function": function, "address": address, "reason": name });
    work.event("downloadInterrupted", details);
}

/// Notes that the device and its server have come a step further: what interrupted them before is over, and the trigger
/// does not go out again meanwhile.
pub fn progressed(work: &mut Work, id: OperationId) {
    let now = work.now();
    let Some(operation) = work.operation(id).filter(|operation| operation.state == OperationState::Delivered) else {
        return;
    };
    operation.error = None;
    operation.again_after = Some(now + doubled(DELIVERED_AGAIN_AFTER_MS, operation.attempts - 1));
}

/// Notes what the eIM found wrong with what a device sent. It is the cause should the device now give up; until then it may
/// send something better.
pub fn found_wrong(work: &mut Work, id: OperationId, error: OperationError) {
    let Some(operation) = work.operation(id).filter(|operation| operation.state == OperationState::Delivered) else {
        return;
    };
    operation.error.get_or_insert(error);
}

/// Whether a download waits for something that may pass.
#[must_use]
pub fn is_interrupted(operation: &Operation) -> bool {
    operation.error.as_ref().is_some_and(|error| error.code.is_none() && INTERRUPTIONS.contains(&error.name.as_str()))
}

/// How long a download is set aside that can't go on for a reason of the eIM's own.
const SET_ASIDE_MS: i64 = 300_000;

/// Sets a download aside for a while, for a reason of the eIM's own.
pub fn set_aside(work: &mut Work, id: OperationId, error: OperationError) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    match operation.state {
        OperationState::Queued => operation.not_before = Some(now + SET_ASIDE_MS),
        OperationState::Delivered => operation.again_after = Some(now + SET_ASIDE_MS),
        _ => return,
    }
    operation.error = Some(error);
}

/// Puts a download back into the queue, or ends it when that was done often enough.
fn postpone(work: &mut Work, id: OperationId, error: OperationError) {
    let now = work.now();
    let Some(operation) = work.operation(id).filter(|operation| operation.state == OperationState::Delivered) else {
        return;
    };
    if operation.retries >= RETRIES_MAX {
        fail(work, id, error);
        return;
    }
    operation.not_before = Some(now + wait(operation.retries));
    operation.retries += 1;
    operation.attempts = 0;
    operation.again_after = None;
    operation.state = OperationState::Queued;
    operation.error = Some(error);
    let details = json!({ "operation": id, "notBefore": operation.not_before.map(super::rfc3339) });
    work.event("downloadPostponed", details);
}

/// What the device says when it could not download.
pub fn device_error(work: &mut Work, id: OperationId, code: i64, error_object: Option<&[u8]>) {
    let mut error = codes::error(CodeTable::ProfileDownloadErrorReason, code);
    let late = json!({ "at": work.now_text(), "verified": false, "profileDownloadErrorReason": error.name });
    let Some(operation) = work.operation(id) else { return };
    if operation.state != OperationState::Delivered {
        let waits_for_it = operation.state == OperationState::Queued;
        if waits_for_it || operation.error.is_none() {
            return;
        }
        operation.late_result = operation.late_result.take().or(Some(late));
        return;
    }
    if let Some(octets) = error_object.filter(|octets| octets.len() <= ERROR_OBJECT_MAX_BYTES) {
        error.message = format!("{} It added {}.", error.message, hex::encode_upper(octets));
    }
    let first = operation.error.clone();
    if is_interrupted(operation) {
        postpone(work, id, first.unwrap_or(error));
    } else if code == ECALL_ACTIVE {
        postpone(work, id, error);
    } else {
        fail(work, id, first.unwrap_or(error));
    }
}

/// A session was cancelled by the device, for a reason of its own or because the eIM refused something.
pub fn cancelled(work: &mut Work, id: OperationId, reason: i64, verified: bool, accepted: bool) {
    let error = codes::error(CodeTable::CancelSessionReason, reason);
    let details = json!({ "operation": id, "reason": error.name, "verified": verified });
    work.event("downloadCancelled", details);
    if !verified {
        // Anybody could have said it: the trigger goes out again, and the server's own answer will tell.
        return;
    }
    let Some(operation) = work.operation(id) else { return };
    let interrupted = is_interrupted(operation);
    match (reason, operation.error.clone()) {
        // The first cause stays; whether there is anything left to try again depends on what the server made of it.
        (0 | 3.., Some(first)) if accepted || !interrupted => fail(work, id, first),
        (_, Some(_)) if interrupted => {}
        (1 | 2, Some(_)) => postpone(work, id, error),
        // postponed and timeout leave the order downloadable.
        (1 | 2, None) => postpone(work, id, error),
        _ => fail(work, id, error),
    }
}

/// Applies an installation result: the profile, and the end of its operation.
pub fn installed(
    work: &mut Work,
    accepted: &Accepted<ProfileInstallationResultData>,
    operation: Option<OperationId>,
    metadata: Option<&StoreMetadataRequest>,
) {
    let data = accepted.value();
    let verified = accepted.is_verified();
    let notification = data.notification_metadata.value();
    let iccid = notification.iccid.as_ref().and_then(|iccid| Iccid::from_octets(iccid).ok());
    let mut value = json!({
        "iccid": iccid.and_then(|iccid| iccid.digits()),
        "rawIccid": iccid.map(|iccid| iccid.raw_hex()),
        "smdpOid": data.smdp_oid.to_string(),
        "notificationAddress": notification.notification_address.chars().take(255).collect::<String>(),
    });
    let result = match &data.final_result {
        FinalResult::SuccessResult(success) => {
            value["aid"] = json!(hex::encode_upper(&*success.aid));
            if let Some(iccid) = iccid {
                put_profile(work, iccid, &success.aid, metadata, verified);
            }
            OperationResult {
                operation: "profileDownload".to_owned(),
                code: None,
                name: "ok".to_owned(),
                message: "The profile is installed. It is disabled until it is enabled.".to_owned(),
                value: Some(value),
            }
        }
        FinalResult::ErrorResult(error) => {
            let (name, message) = codes::explain(CodeTable::ErrorReason, error.error_reason);
            let command = asn1::code_name(CodeTable::BppCommandId, error.bpp_command_id);
            value["bppCommandId"] = command.map_or_else(|| json!(error.bpp_command_id), |command| json!(command));
            OperationResult {
                operation: "profileDownload".to_owned(),
                code: Some(error.error_reason),
                name,
                message,
                value: Some(value),
            }
        }
    };
    work.event("profileInstallationResult", json!({ "operation": operation, "verified": verified, "result": result }));
    if let Some(id) = operation {
        end(work, id, result, verified);
    }
}

fn end(work: &mut Work, id: OperationId, result: OperationResult, verified: bool) {
    let now = work.now();
    let late = json!({ "at": work.now_text(), "verified": verified, "results": [&result] });
    let Some(operation) = work.operation(id) else { return };
    let open = operation.state == OperationState::Delivered
        || (operation.state == OperationState::Queued && operation.delivered_at.is_some());
    if !open {
        // Nothing that a device does afterwards changes how the operation ended, but it is shown.
        operation.late_result = Some(late);
        work.event("lateResult", json!({ "operation": id, "verified": verified }));
        return;
    }
    operation.verified = Some(verified);
    if result.is_ok() {
        operation.error = None;
        operation.results = vec![result];
        operation.end(OperationState::Succeeded, now);
    } else {
        let error = OperationError { code: result.code, name: result.name.clone(), message: result.message.clone() };
        operation.results = vec![result];
        operation.fail(error, now);
    }
    work.announce(id);
}

fn put_profile(work: &mut Work, iccid: Iccid, aid: &[u8], metadata: Option<&StoreMetadataRequest>, verified: bool) {
    let now = work.now();
    // What the metadata say was told by the SM-DP+ and counts only for the profile that they are of.
    let metadata = metadata.filter(|metadata| *metadata.iccid == iccid.octets()[..]);
    let text = |text: &dyn ToString| text.to_string().replace('\0', "\u{fffd}");
    if !work.state.profiles.iter().any(|profile| profile.iccid == iccid) {
        work.state.profiles.push(Profile {
            iccid,
            enabled: Some(false),
            profile_class: metadata.map(|metadata| metadata.profile_class),
            name: metadata.map(|metadata| text(&metadata.profile_name)),
            service_provider: metadata.map(|metadata| text(&metadata.service_provider_name)),
            fallback: Some(false),
            aid: Some(aid.to_vec()),
            verified,
            updated_at: now,
            rules: metadata.map(|metadata| interpret::rules(metadata.profile_policy_rules.as_ref())),
            owner_mcc_mnc: metadata
                .map(|metadata| interpret::owner_mcc_mnc(metadata.profile_owner.as_ref()).unwrap_or_default()),
        });
        if !verified {
            work.euicc().profiles_verified = false;
        }
    }
    if metadata.is_none() {
        // The device talked to the server itself: name and class are known to the card alone.
        distrust_profiles(work);
    }
}

/// How many events become downloads; what is left is there when the SM-DS is asked again.
const EVENTS_MAX: usize = 16;

/// An event of an SM-DS that can become a download.
pub struct SmdsEvent {
    /// The server that holds the profile, or the next SM-DS.
    pub address: String,
    /// The event's identifier: the matchingId there.
    pub event_id: String,
}

impl std::fmt::Debug for SmdsEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmdsEvent").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A download that an event asks for, with its secrets still to be sealed.
#[derive(Debug)]
pub struct EventDownload {
    /// Its name.
    pub id: OperationId,
    /// What it asks for.
    pub order: DownloadOrder,
    /// The activation code made of the event.
    pub secrets: Secrets,
}

/// The downloads that the events of an SM-DS ask for, at most 16. An event with an identifier or address that is none, or
/// that leads back to an SM-DS that was asked before, is left out and takes nobody's place.
pub fn of_events(work: &mut Work, order: &DownloadOrder, smds: &str, events: &[SmdsEvent]) -> Vec<EventDownload> {
    let via: Vec<String> = order.via.iter().cloned().chain([smds.to_ascii_lowercase()]).collect();
    let mut downloads = Vec::new();
    for event in events {
        if downloads.len() == EVENTS_MAX {
            break;
        }
        let code = format!("1${}${}", event.address, event.event_id);
        // An identifier is the matchingId of the code and nothing else.
        let code = code.parse::<ActivationCode>().ok().filter(|code| code.matching_id() == event.event_id);
        let Some((code, source)) = code.and_then(|code| Some((code.clone(), source_of(&code)?))) else { continue };
        if via.contains(&event.address.to_ascii_lowercase()) {
            continue;
        }
        let id = work.fresh_id();
        // Whoever asked the first SM-DS asks the servers it leads to. A confirmation code belongs to one profile and is not
        // handed on.
        let order = DownloadOrder { source, confirmation_code: false, mode: Mode::Indirect, via: via.clone() };
        downloads.push(EventDownload { id, order, secrets: Secrets::of_code(&code) });
    }
    downloads
}

/// Ends the operation that asked an SM-DS, and queues the downloads that came of it.
pub fn retrieved(work: &mut Work, id: OperationId, events: usize, downloads: Vec<NewOperation>) {
    let now = work.now();
    let names: Vec<OperationId> = downloads.iter().map(|download| download.id).collect();
    for download in downloads {
        work.event(
            "operationQueued",
            json!({ "operation": download.id, "kind": download.kind.as_str(), "subject": id }),
        );
        work.enqueue(download);
    }
    let Some(operation) = work.operation(id).filter(|operation| operation.state == OperationState::Delivered) else {
        return;
    };
    if names.is_empty() {
        let (name, message) = match events {
            0 => (
                "noEvent",
                "The SM-DS holds nothing for this eUICC. Order the profile with this SM-DS, then ask again.",
            ),
            _ => {
                ("unusableEvents", "The SM-DS named no server that can be asked: addresses that are none, or a circle.")
            }
        };
        operation.fail(OperationError::named(name, message), now);
    } else {
        operation.error = None;
        operation.results = vec![OperationResult {
            operation: "profileDownload".to_owned(),
            code: None,
            name: "ok".to_owned(),
            message: "The SM-DS named the downloads that wait for this eUICC; each is an operation of its own."
                .to_owned(),
            value: Some(json!({ "events": events, "operations": names })),
        }];
        operation.end(OperationState::Succeeded, now);
    }
    work.announce(id);
}

/// A download that an event of an SM-DS asks for, to be queued.
#[must_use]
pub fn event_operation(download: &EventDownload, secret: Vec<u8>, asked_by: &Operation) -> NewOperation {
    NewOperation {
        id: download.id,
        kind: Kind::ProfileDownload,
        origin: Origin::Operator,
        purpose: None,
        subject: Some(asked_by.id),
        request: download.order.to_request(),
        label: asked_by.label.clone(),
        not_before: None,
        valid_until: asked_by.valid_until,
        secret: Some(secret),
        overridden: vec![],
    }
}

/// The session among those at hand that a server's transactionId and address name.
pub fn session_mut(work: &mut Work, seq: i64) -> Option<&mut DownloadSession> {
    let now = work.now();
    let session = work.state.sessions.iter_mut().find(|session| session.seq == seq)?;
    session.touched_at = now;
    Some(session)
}

/// Ends a session.
pub fn end_session(work: &mut Work, seq: i64) {
    if let Some(session) = session_mut(work, seq) {
        session.phase = Phase::Ended;
    }
}
