//! cancelSession: the device gives a session up, and the server learns why (SGP.32 v1.2 6.4.1.8, 3.2.3.3; SGP.22 5.6.5).

use super::{Candidate, Consequence, SESSION_LOST, call, candidates, change, is_current, is_stranger};
use crate::Eim;
use crate::asn1::code::cancel_session_error as code;
use crate::asn1::{
    CancelSessionRequestEsipa, CancelSessionResponse, CancelSessionResponseEsipa, Empty, EsipaMessageFromEimToIpa,
    EuiccCancelSessionSigned, Raw,
};
use crate::domain::{download, expand};
use crate::esipa::{Caller, EsipaAnswer, EsipaError};
use crate::pki;
use crate::ports::RspFunction;
use crate::rsp;
use serde_json::json;

const FUNCTION: RspFunction = RspFunction::CancelSession;
/// undefinedReason.
const UNDEFINED_REASON: i64 = 127;

pub(in crate::esipa) async fn answer(
    request: CancelSessionRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    let response = match cancel(&request, caller, eim).await? {
        Ok(()) => CancelSessionResponseEsipa::CancelSessionOk(Empty {}),
        Err(code) => CancelSessionResponseEsipa::CancelSessionError(code),
    };
    Ok(EsipaMessageFromEimToIpa::CancelSessionResponseEsipa(response).into())
}

/// What a device says about a session.
struct Cancellation {
    /// cancelSessionResponse as the server takes it.
    octets: Vec<u8>,
    reason: i64,
    verified: bool,
}

async fn cancel(
    request: &CancelSessionRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<Result<(), i64>, EsipaError> {
    let candidates = candidates(&request.transaction_id, eim).await?;
    if candidates.is_empty() {
        caller.meets_stranger();
    }
    let mut first = None;
    let mut found = None;
    for candidate in &candidates {
        match read(request, candidate, candidates.len() == 1, eim) {
            Ok(cancellation) => {
                found = Some((candidate, cancellation));
                break;
            }
            Err(code) => drop(first.get_or_insert(code)),
        }
    }
    let Some((candidate, cancellation)) = found else {
        let stranger = is_stranger(&candidates, caller);
        return Ok(Err(first.filter(|_| !stranger).unwrap_or(code::INVALID_TRANSACTION_ID)));
    };
    let session = &candidate.session;
    let interrupted = candidate.snapshot.operation(session.operation).is_some_and(download::is_interrupted);
    if interrupted && cancellation.verified && cancellation.reason == UNDEFINED_REASON {
        // The device cancels because a call of ours did not come through. The server would take the order for used up; left
        // alone, its session ends by itself and the order can be downloaded once the server is reached again.
        change(candidate, eim, |work| {
            work.event(
                "downloadCancelled",
                json!({ "operation": session.operation, "reason": "undefinedReason", "verified": true, "forwarded": false }),
            );
            download::end_session(work, session.seq);
        })
        .await?;
        return Ok(Ok(()));
    }
    let body = rsp::cancel_session::body(&request.transaction_id, &cancellation.octets);
    let answered = call(FUNCTION, candidate.kind(), &session.address, body, rsp::cancel_session::read, eim).await;
    // Ours ends unless the device may try again; a session that the server has lost is over on both sides.
    let may_come_again = matches!(&answered, Err(refusal)
        if matches!(refusal.consequence, Consequence::Interrupted { .. }) && !refusal.lacks(SESSION_LOST));
    change(candidate, eim, |work| {
        if is_current(work, session) {
            let (reason, verified) = (cancellation.reason, cancellation.verified);
            download::cancelled(work, session.operation, reason, verified, answered.is_ok());
        }
        if !may_come_again && (cancellation.verified || answered.is_ok()) {
            download::end_session(work, session.seq);
        }
    })
    .await?;
    Ok(answered.map_err(|refusal| refusal.code))
}

/// Verifies the eUICC's signature. A session in which the eUICC has not shown its certificates yet can't be verified if
/// none are stored; the server judges it then, and only one session may be meant.
fn read(
    request: &CancelSessionRequestEsipa,
    candidate: &Candidate,
    alone: bool,
    eim: &Eim,
) -> Result<Cancellation, i64> {
    let facts = &candidate.session.facts;
    let transaction_id = candidate.session.transaction_id.octets();
    let response = &request.cancel_session_response;
    let (signed, signature, octets): (Raw<EuiccCancelSessionSigned>, _, _) = match response.value() {
        CancelSessionResponse::CancelSessionResponseOk(ok) => (
            ok.euicc_cancel_session_signed.clone(),
            ok.euicc_cancel_session_signature.clone(),
            response.octets().to_vec(),
        ),
        CancelSessionResponse::CompactCancelSessionResponseOk(compact) => {
            let reason = Some(facts.cancel_reason.unwrap_or(UNDEFINED_REASON));
            let oid = facts.server_oid.as_deref().and_then(|oid| oid.parse::<pki::Oid>().ok());
            let oid = oid.ok_or(code::UNDEFINED_ERROR)?;
            let invalid = |_| code::EUICC_SIGNATURE_INVALID;
            let inner = &compact.compact_euicc_cancel_session_signed;
            let signed = expand::euicc_cancel_session_signed(inner, transaction_id, &oid, reason).map_err(invalid)?;
            let octets = expand::cancel_session_response(compact, transaction_id, &oid, reason).map_err(invalid)?;
            (signed, compact.euicc_cancel_session_signature.clone(), octets)
        }
        CancelSessionResponse::CancelSessionResponseError(_) => {
            // The eUICC knows no such session: nothing is signed, nothing is to be forwarded.
            return Err(code::UNDEFINED_ERROR);
        }
    };
    let verified = match candidate.chain(eim) {
        Some(Ok(chain)) => match pki::verify_cancel_session(&chain, &signed, &signature) {
            Ok(_) => true,
            Err(_) => return Err(code::EUICC_SIGNATURE_INVALID),
        },
        _ if alone => false,
        _ => return Err(code::EUICC_SIGNATURE_INVALID),
    };
    let same_server = facts.server_oid.as_ref().is_none_or(|oid| *oid == signed.value().smdp_oid.to_string());
    if *signed.value().transaction_id != *transaction_id || !same_server {
        return Err(code::INVALID_TRANSACTION_ID);
    }
    Ok(Cancellation { octets, reason: signed.value().reason, verified })
}
