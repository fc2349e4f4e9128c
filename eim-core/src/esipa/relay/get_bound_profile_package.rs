//! getBoundProfilePackage: the profile, bound to the eUICC, passes through (SGP.32 v1.2 6.4.1.3, 3.2.3.2; SGP.22 5.6.2).

use super::{Candidate, Refusal, UNDEFINED_ERROR, call, candidates, change, is_current, is_stranger, note_refusal};
use crate::Eim;
use crate::asn1::code::get_bound_profile_package_error_esipa as code;
use crate::asn1::{
    self, CodeTable, EUICCSigned2, EsipaMessageFromEimToIpa, GetBoundProfilePackageOkEsipa,
    GetBoundProfilePackageRequestEsipa, GetBoundProfilePackageResponseEsipa, PrepareDownloadResponse, Raw, SmdpSigned2,
};
use crate::domain::{Phase, codes, download, expand};
use crate::esipa::{Caller, EsipaAnswer, EsipaError};
use crate::pki;
use crate::ports::RspFunction;
use crate::rsp::{self, ServerKind};

const FUNCTION: RspFunction = RspFunction::GetBoundProfilePackage;

pub(in crate::esipa) async fn answer(
    request: GetBoundProfilePackageRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    use GetBoundProfilePackageResponseEsipa as Response;
    let response = match fetch(&request, caller, eim).await? {
        Ok(ok) => Response::GetBoundProfilePackageOkEsipa(ok),
        Err(code) => Response::GetBoundProfilePackageErrorEsipa(code),
    };
    Ok(EsipaMessageFromEimToIpa::GetBoundProfilePackageResponseEsipa(response).into())
}

async fn fetch(
    request: &GetBoundProfilePackageRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<Result<GetBoundProfilePackageOkEsipa, i64>, EsipaError> {
    let mut candidates = candidates(&request.transaction_id, eim).await?;
    if candidates.is_empty() {
        caller.meets_stranger();
    }
    candidates.retain(|candidate| matches!(candidate.session.phase, Phase::Authenticated | Phase::Bound));
    let response = &request.prepare_download_response;
    if let PrepareDownloadResponse::DownloadResponseError(error) = response.value() {
        return euicc_refused(request, error.download_error_code, &candidates, eim).await.map(Err);
    }
    let mut first = None;
    let mut proven = None;
    for candidate in &candidates {
        match prove(request, candidate, eim) {
            Ok(bf21) => {
                proven = Some((candidate, bf21));
                break;
            }
            Err(code) => drop(first.get_or_insert(code)),
        }
    }
    let Some((candidate, bf21)) = proven else {
        let stranger = is_stranger(&candidates, caller);
        let concerns_it = first.filter(|code| *code != code::INVALID_TRANSACTION_ID && !stranger);
        if let ([candidate], Some(code)) = (candidates.as_slice(), concerns_it) {
            note_refusal(candidate, FUNCTION, &Refusal::only(code), eim).await?;
        }
        return Ok(Err(first.filter(|_| !stranger).unwrap_or(code::INVALID_TRANSACTION_ID)));
    };
    if !candidate.is_wanted() {
        return Ok(Err(code::INVALID_TRANSACTION_ID));
    }
    let body = rsp::get_bound_profile_package::body(&request.transaction_id, &bf21);
    let read = rsp::get_bound_profile_package::read;
    let reply = call(FUNCTION, ServerKind::SmDpPlus, &candidate.session.address, body, read, eim).await;
    let judged = reply.and_then(|ok| {
        let session = candidate.session.transaction_id.octets();
        let inside = &ok.bound_profile_package.value().initialise_secure_channel_request.transaction_id;
        let beside = ok.transaction_id.as_ref().is_none_or(|beside| **beside == *session);
        if **inside == *session && beside {
            Ok(ok.bound_profile_package)
        } else {
            let error = pki::TrustError::Session { field: pki::SessionField::TransactionId };
            Err(Refusal::distrusted(UNDEFINED_ERROR, &error, ServerKind::SmDpPlus))
        }
    });
    match judged {
        Ok(bound_profile_package) => {
            let octets = bound_profile_package.octets().len();
            change(candidate, eim, |work| {
                if let Some(session) = download::session_mut(work, candidate.session.seq) {
                    session.phase = Phase::Bound;
                }
                let details = serde_json::json!({ "operation": candidate.session.operation, "octets": octets });
                download::progressed(work, candidate.session.operation);
                work.event("downloadBound", details);
            })
            .await?;
            Ok(Ok(GetBoundProfilePackageOkEsipa {
                transaction_id: Some(request.transaction_id.clone()),
                bound_profile_package,
            }))
        }
        Err(refusal) => {
            note_refusal(candidate, FUNCTION, &refusal, eim).await?;
            Ok(Err(refusal.code))
        }
    }
}

/// Verifies euiccSignature2 for a session and gives prepareDownloadResponse as the server takes it.
fn prove(request: &GetBoundProfilePackageRequestEsipa, candidate: &Candidate, eim: &Eim) -> Result<Vec<u8>, i64> {
    let facts = &candidate.session.facts;
    let response = &request.prepare_download_response;
    let (signed2, signature, octets): (Raw<EUICCSigned2>, _, _) = match response.value() {
        PrepareDownloadResponse::DownloadResponseOk(ok) => {
            (ok.euicc_signed2.clone(), ok.euicc_signature2.clone(), response.octets().to_vec())
        }
        PrepareDownloadResponse::CompactDownloadResponseOk(compact) => {
            let invalid = |_| code::EUICC_SIGNATURE_INVALID;
            let smdp: Option<SmdpSigned2> = facts.smdp_signed2.as_ref().and_then(|der| asn1::decode(&der.0).ok());
            let otpk = smdp.as_ref().and_then(|smdp| smdp.bpp_euicc_otpk.as_ref());
            let hash_cc = if facts.hash_cc { candidate.hash_cc(eim) } else { None };
            let signed2 = expand::euicc_signed2(
                &compact.compact_euicc_signed2,
                candidate.session.transaction_id.octets(),
                otpk.map(|otpk| &otpk[..]),
                hash_cc,
            )
            .map_err(invalid)?;
            let octets = expand::prepare_download_response(compact, &signed2).map_err(invalid)?;
            (signed2, compact.euicc_signature2.clone(), octets)
        }
        PrepareDownloadResponse::DownloadResponseError(_) => return Err(code::INVALID_TRANSACTION_ID),
    };
    let Some(Ok(chain)) = candidate.chain(eim) else { return Err(code::EUICC_SIGNATURE_INVALID) };
    let smdp_signature2 = facts.smdp_signature2.as_ref().map(|der| der.0.as_slice()).unwrap_or_default();
    let verified = pki::verify_euicc_signed2(&chain, &signed2, &signature, smdp_signature2).map_err(|error| {
        if let Some(suppressed) = eim.may_log_disbelief() {
            let (eid, reason) = (candidate.eid(), error.reason());
            tracing::warn!(%eid, reason, suppressed, "an eUICC did not prove itself for a profile package");
        }
        eim.metrics().verification_failures_total.with_label_values(&[error.reason()]).inc();
        code::EUICC_SIGNATURE_INVALID
    })?;
    if *verified.value().transaction_id == *candidate.session.transaction_id.octets() {
        Ok(octets)
    } else {
        Err(code::INVALID_TRANSACTION_ID)
    }
}

/// The eUICC did not accept what the server said about the profile: the server is told, and the download ends.
async fn euicc_refused(
    request: &GetBoundProfilePackageRequestEsipa,
    error_code: i64,
    candidates: &[Candidate],
    eim: &Eim,
) -> Result<i64, EsipaError> {
    // Nobody signs this, so only one session may be meant.
    let [candidate] = candidates else { return Ok(code::INVALID_TRANSACTION_ID) };
    let body =
        rsp::get_bound_profile_package::body(&request.transaction_id, request.prepare_download_response.octets());
    let read = rsp::get_bound_profile_package::read;
    let answered = call(FUNCTION, ServerKind::SmDpPlus, &candidate.session.address, body, read, eim).await;
    let code = answered.err().map_or(UNDEFINED_ERROR, |refusal| refusal.code);
    let error = codes::error(CodeTable::DownloadErrorCode, error_code);
    change(candidate, eim, |work| {
        if is_current(work, &candidate.session) {
            download::fail(work, candidate.session.operation, error.clone());
        }
        download::end_session(work, candidate.session.seq);
    })
    .await?;
    Ok(code)
}
