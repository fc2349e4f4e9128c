//! getEimPackage: the poll (SGP.32 v1.2 6.4.1.5, 3.1.1.1).

use super::download_trigger;
use super::{Caller, DECIDED_AGAIN, EID_NOT_FOUND, EsipaAnswer, EsipaError, eid_of, home};
use crate::Eim;
use crate::asn1::code::get_eim_package_error::NO_EIM_PACKAGE_AVAILABLE;
use crate::asn1::{
    self, EsipaMessageFromEimToIpa, EuiccPackageRequest, EuiccPackageSigned, GetEimPackageRequest,
    GetEimPackageResponse, IpaEuiccDataRequest, OctetString, Raw,
};
use crate::domain::audit::AuditNote;
use crate::domain::fleet::guard::{self, Check, CheckResult, Known};
use crate::domain::fleet::switch;
use crate::domain::lists;
use crate::domain::package::{self, Draft};
use crate::domain::poll::{self, Next, Poll};
use crate::domain::{EuiccState, Kind, OperationError, Purpose, Request, Work, association, statement};
use crate::ids::{AssociationToken, CounterValue, Eid, EimTransactionId, KeyId, OperationId, Plmn};
use crate::pki;
use crate::store::Saved;

pub(super) async fn answer(
    request: GetEimPackageRequest,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    let response = match eid_of(request.eid_value.as_deref()) {
        Ok(eid) => {
            caller.names(eid);
            let poll = Poll {
                notify_state_change: request.notify_state_change.is_some(),
                state_change_cause: request.state_change_cause,
                r_plmn: request.r_plmn.as_ref().and_then(|plmn| Plmn::from_octets(plmn).ok()),
            };
            poll_of(eid, poll, eim).await?
        }
        Err(fault) => GetEimPackageResponse::EimPackageError(fault.code()),
    };
    let outcome = match &response {
        GetEimPackageResponse::EimPackageError(NO_EIM_PACKAGE_AVAILABLE) => "none",
        GetEimPackageResponse::EimPackageError(EID_NOT_FOUND) => {
            caller.meets_stranger();
            "eidNotFound"
        }
        GetEimPackageResponse::EimPackageError(_) => "invalidEid",
        GetEimPackageResponse::IpaEuiccDataRequest(_) => "data",
        _ => "package",
    };
    eim.metrics().polls_total.with_label_values(&[outcome]).inc();
    Ok(EsipaMessageFromEimToIpa::GetEimPackageResponse(response).into())
}

async fn poll_of(eid: Eid, poll: Poll, eim: &Eim) -> Result<GetEimPackageResponse, EsipaError> {
    if is_quiet(&eid, &poll, eim) {
        return Ok(GetEimPackageResponse::EimPackageError(NO_EIM_PACKAGE_AVAILABLE));
    }
    // In a box: polls that end above have no use for its room.
    Box::pin(decided(eid, poll, eim)).await
}

/// Whether nothing is known to wait for this eUICC; then it was seen.
fn is_quiet(eid: &Eid, poll: &Poll, eim: &Eim) -> bool {
    let now = eim.clock().now_ms();
    let quiet = poll.is_plain() && eim.store().is_quiet(eid, now);
    if quiet {
        eim.saw(*eid, now);
    }
    quiet
}

async fn decided(eid: Eid, mut poll: Poll, eim: &Eim) -> Result<GetEimPackageResponse, EsipaError> {
    for _ in 0..DECIDED_AGAIN {
        let now = eim.clock().now_ms();
        let eim = &home(&eid, eim).await?;
        let ticket = eim.store().quiet_ticket(&eid);
        let Some(snapshot) = eim.store().poll_snapshot(eid, now).await? else {
            return Ok(GetEimPackageResponse::EimPackageError(EID_NOT_FOUND));
        };
        eim.saw(eid, now);
        let version = snapshot.euicc.version;
        let quiet = snapshot.is_idle && snapshot.euicc.state == EuiccState::Active;
        let mut work = eim.work(snapshot, now);
        association::look_over(&mut work, eim.look_over_ms());
        let next = poll::decide(&mut work, &poll);
        let mut again_kind = None;
        let response = match next {
            Next::Nothing => None,
            Next::Again(id) => {
                again_kind = work.operation(id).map(|operation| operation.kind);
                again(&mut work, id, eim).await?
            }
            Next::Make(id) => make(&mut work, id, eim).await?,
        };
        let changes = work.finish();
        if changes.is_empty() {
            if let (true, Some(ticket)) = (quiet, ticket) {
                eim.store().mark_quiet(&eid, ticket, now);
            }
            return Ok(response.unwrap_or(GetEimPackageResponse::EimPackageError(NO_EIM_PACKAGE_AVAILABLE)));
        }
        let used = changes.audit.clone();
        match (eim.save(eid, version, changes, now).await?, response) {
            (Saved::Conflict, _) => {
                // What was signed has not left this process and never will; that the key was used is recorded all the same.
                for mut note in used {
                    note.details.insert("discarded".to_owned(), true.into());
                    eim.store().insert_audit(note, now).await?;
                }
            }
            (Saved::Done, Some(response)) => {
                if let Some(kind) = again_kind {
                    eim.metrics().count_package(kind.as_str(), "redelivered");
                }
                return Ok(response);
            }
            // Something was noted, queued or given up: what is to be sent now is decided on the new state.
            (Saved::Done, None) => poll = Poll::default(),
        }
    }
    Err(EsipaError::Contended { function: "getEimPackage" })
}

/// The package of an operation, made now. The signature is made before the transaction that stores it; until that is
/// committed nothing leaves this process, so a counter never stands for two packages.
async fn make(work: &mut Work, id: OperationId, eim: &Eim) -> Result<Option<GetEimPackageResponse>, EsipaError> {
    if work.operation(id).is_some_and(|operation| operation.kind == Kind::ProfileDownload) {
        let trigger = download_trigger::deliver(work, id, eim);
        return Ok(trigger.map(GetEimPackageResponse::ProfileDownloadTriggerRequest));
    }
    if let Some(refusal) = refused_by_now(work, id, eim).await? {
        let now = work.now();
        if let Some(operation) = work.operation(id) {
            operation.fail(refusal, now);
            work.announce(id);
        }
        return Ok(None);
    }
    let random: [u8; 16] = eim.entropy().octets();
    let Ok(transaction) = EimTransactionId::from_octets(&random) else { return Ok(None) };
    let eim_id = eim.eim_id_of(&work.state.euicc).clone();
    let Some(draft) = package::draft(work, id, &eim_id, &transaction) else { return Ok(None) };
    let (octets, response) = match draft {
        Draft::Data(request) => (asn1::encode(&request)?, GetEimPackageResponse::IpaEuiccDataRequest(request)),
        Draft::Signed(to_be_signed, key) => {
            let token = work.operation(id).and_then(|operation| operation.association_token);
            let request = sign(work, id, *to_be_signed, token, key, eim).await?;
            (asn1::encode(&request)?, GetEimPackageResponse::EuiccPackageRequest(request))
        }
    };
    package::delivered(work, id, octets);
    Ok(Some(response))
}

/// Why the guard does not let an operation through that it let through when it was asked for: what was done since has left the
/// device nothing else, or an owner has another policy.
async fn refused_by_now(work: &mut Work, id: OperationId, eim: &Eim) -> Result<Option<OperationError>, EsipaError> {
    let Some(operation) = work.state.operation(id).filter(|operation| operation.kind == Kind::Psmo) else {
        return Ok(None);
    };
    let Some(Request::Psmo(list)) = operation.request.as_object().and_then(|body| Request::parse(body).ok()) else {
        return Ok(None);
    };
    if !guard::takes_away(&list) {
        return Ok(None);
    }
    let rights = eim.store().rights().await?;
    let loaded;
    // They are at hand where a switch is open.
    let (profiles, policies) = match work.state.switch {
        Some(_) => (&work.state.profiles, &work.state.policies),
        None => {
            let eid = work.state.euicc.eid;
            loaded = (eim.store().profiles(eid).await?, eim.store().owner_policies().await?);
            (&loaded.0, &loaded.1)
        }
    };
    let known = Known { euicc: &work.state.euicc, profiles, busy_with: None, policies, rights: Some(&rights) };
    let mut checks = guard::package_checks(std::slice::from_ref(&list), known, &switch::overridden(work, operation));
    let (own, other) = match &work.state.switch {
        Some(switch) if operation.subject == Some(switch.id) => (Some(switch), None),
        other => (None, other.as_ref()),
    };
    checks.extend(switch::disturbed(other, &list).map(|switch| guard::disturbs(&switch.id.to_string())));
    checks.extend(own.into_iter().flat_map(|switch| switch::checks_before_enabling(switch, work)));
    let gone = own.and_then(|switch| switch::not_proven_any_more(switch, work));
    let not_had = lists::not_had(&work.state.euicc, profiles, (id, &list), work.now())
        .filter(|_| !switch::overridden(work, operation).iter().any(|name| name == guard::PROFILE_LIST));
    let refusal = guard::refusal(&checks).map(Check::reason).or(gone).or(not_had);
    // What came up only since it was asked for is on the record as well.
    let overridden = checks.iter().filter(|check| check.result == CheckResult::Overridden && refusal.is_none());
    for check in overridden {
        let details =
            serde_json::json!({ "operation": id, "check": check.name, "result": check.result, "found": check.message });
        work.event("guardSetAside", details);
    }
    Ok(refusal)
}

async fn sign(
    work: &mut Work,
    id: OperationId,
    to_be_signed: EuiccPackageSigned,
    token: Option<AssociationToken>,
    key: KeyId,
    eim: &Eim,
) -> Result<EuiccPackageRequest, EsipaError> {
    let euicc_package_signed = Raw::encode_new(to_be_signed)?;
    let input = pki::package_signature_input(euicc_package_signed.octets(), token);
    let digest = statement::digest(&input);
    let eim_signature = OctetString::from_vec(eim.sign(key, input).await?.to_vec());
    note_key_use(work, id, key, &digest);
    Ok(EuiccPackageRequest { euicc_package_signed, eim_signature })
}

/// For the audit log: which key signed what for whom, and why.
fn note_key_use(work: &mut Work, id: OperationId, key: KeyId, digest: &str) {
    let Some(operation) = work.operation(id) else { return };
    let request = operation.request.as_object().and_then(|body| Request::parse(body).ok());
    let details = serde_json::json!({
        "key": key,
        "digest": digest,
        "counterValue": operation.counter.map(CounterValue::value),
        "operation": id,
        "origin": operation.origin.as_str(),
        "purpose": operation.purpose.map(Purpose::as_str),
        "asks": request.map(|request| request.operation_names()),
    });
    work.audit(AuditNote::new("keyUsed", details));
}

/// The package of an operation as it was delivered before, byte for byte.
async fn again(work: &mut Work, id: OperationId, eim: &Eim) -> Result<Option<GetEimPackageResponse>, EsipaError> {
    if work.operation(id).is_some_and(|operation| operation.kind == Kind::ProfileDownload) {
        return make(work, id, eim).await;
    }
    package::redelivered(work, id);
    let operation = work.operation(id).ok_or(EsipaError::StoredPackage)?;
    let octets = operation.package.as_deref().ok_or(EsipaError::StoredPackage)?;
    let unreadable = |_| EsipaError::StoredPackage;
    Ok(Some(if operation.kind == Kind::EuiccData {
        let request: IpaEuiccDataRequest = asn1::decode(octets).map_err(unreadable)?;
        GetEimPackageResponse::IpaEuiccDataRequest(request)
    } else {
        let request: EuiccPackageRequest = asn1::decode(octets).map_err(unreadable)?;
        GetEimPackageResponse::EuiccPackageRequest(request)
    }))
}
