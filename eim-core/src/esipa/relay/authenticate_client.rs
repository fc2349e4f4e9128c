//! authenticateClient: the eUICC proves itself to the server (SGP.32 v1.2 6.4.1.2, 3.2.3.2; SGP.22 5.6.3, 5.8.2).

use super::initiate_authentication::ctx_params1;
use super::{
    Candidate, Consequence, Refusal, UNDEFINED_ERROR, call, candidates, change, is_current, is_stranger, note_refusal,
};
use crate::Eim;
use crate::asn1::code::authenticate_client_error_esipa as code;
use crate::asn1::code::cancel_session_reason::PPR_NOT_ALLOWED as CANCEL_PPR_NOT_ALLOWED;
use crate::asn1::{
    self, AuthenticateClientOk, AuthenticateClientOkDPEsipa, AuthenticateClientOkDSEsipa,
    AuthenticateClientRequestEsipa, AuthenticateClientResponseEsipa, AuthenticateResponseOk,
    AuthenticateServerResponse, CodeTable, CompactAuthenticateResponseOk, EsipaMessageFromEimToIpa, EuiccSigned1,
    OctetString, Octets, ProfileDownloadTriggerRequest, ProfilePolicyAuthorisationRule, Raw, ServerSigned1, SignedData,
    SmdpSigned2, StoreMetadataRequest,
};
use crate::domain::data::{self, Certificates};
use crate::domain::download::{self, SmdsEvent};
use crate::domain::expand::{self, Signed1Context};
use crate::domain::operation::{Kind, Purpose};
use crate::domain::policy_rules::{self, Permission, Rules};
use crate::domain::poll::download_data;
use crate::domain::{Capabilities, Der, NewOperation, OperationError, Phase, Work, apply, codes};
use crate::esipa::download_trigger::{self, secrets};
use crate::esipa::{Caller, DECIDED_AGAIN, EsipaAnswer, EsipaError, home};
use crate::ids::OperationId;
use crate::pki::{self, AuthenticationSession, ServerRole, TrustError, Verified};
use crate::ports::RspFunction;
use crate::rsp::authenticate_client::{AuthenticateClientReply, EventEntry};
use crate::rsp::{self, ServerKind};
use crate::store::{ResultKeys, Saved};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::time::Duration;

const FUNCTION: RspFunction = RspFunction::AuthenticateClient;

pub(in crate::esipa) async fn answer(
    request: AuthenticateClientRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    use AuthenticateClientResponseEsipa as Response;
    let response = match authenticate(&request, caller, eim).await? {
        Ok(Outcome::Profile(ok)) => Response::AuthenticateClientOkDPEsipa(*ok),
        Ok(Outcome::Events(ok)) => Response::AuthenticateClientOkDSEsipa(ok),
        Err(code) => Response::AuthenticateClientErrorEsipa(code),
    };
    Ok(EsipaMessageFromEimToIpa::AuthenticateClientResponseEsipa(response).into())
}

enum Outcome {
    Profile(Box<AuthenticateClientOkDPEsipa>),
    Events(AuthenticateClientOkDSEsipa),
}

async fn authenticate(
    request: &AuthenticateClientRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<Result<Outcome, i64>, EsipaError> {
    let candidates = candidates(&request.transaction_id, eim).await?;
    if candidates.is_empty() {
        caller.meets_stranger();
    }
    if let AuthenticateServerResponse::AuthenticateResponseError(error) = request.authenticate_server_response.value() {
        return euicc_refused(request, error.authenticate_error_code, &candidates, eim).await.map(Err);
    }
    let (candidate, proof) = match prove(request, &candidates, eim) {
        Ok(proven) => proven,
        Err(refusal) => {
            let stranger = is_stranger(&candidates, caller);
            let concerns_it = refusal.code != code::INVALID_TRANSACTION_ID && !stranger;
            if let ([candidate], true) = (candidates.as_slice(), concerns_it) {
                if refusal.lacks("certificatesUnknown") {
                    change(candidate, eim, ask_for_more).await?;
                }
                note_refusal(candidate, FUNCTION, &refusal, eim).await?;
            }
            return Ok(Err(if stranger { code::INVALID_TRANSACTION_ID } else { refusal.code }));
        }
    };
    let digest = Sha256::digest(request.authenticate_server_response.octets()).to_vec();
    let facts = &candidate.session.facts;
    if candidate.session.phase != Phase::Initiated {
        // The answer was lost on its way: the same one again, since the server answers only once.
        let same = facts.authenticate_digest.as_ref().is_some_and(|known| known.0 == digest);
        let again = if same { answered_before(candidate, eim) } else { None };
        return Ok(again.map(|ok| Outcome::Profile(Box::new(ok))).ok_or(code::INVALID_TRANSACTION_ID));
    }
    if !candidate.is_wanted() {
        return Ok(Err(code::INVALID_TRANSACTION_ID));
    }
    if !begin(candidate, &digest, eim).await? {
        return Ok(of_the_first(candidate, &digest, eim).await?.map(|ok| Outcome::Profile(Box::new(ok))));
    }
    let kind = candidate.kind();
    let body = rsp::authenticate_client::body(&request.transaction_id, &proof.response);
    let read = |reply: &_| rsp::authenticate_client::read(reply, kind);
    let reply = call(FUNCTION, kind, &candidate.session.address, body, read, eim).await;
    let judged = match reply {
        Ok(AuthenticateClientReply::Dp(ok)) => judge(&ok, candidate, &proof, eim).map(|judged| (ok, judged)),
        Ok(AuthenticateClientReply::Ds { transaction_id: Some(other), .. })
            if *other != *candidate.session.transaction_id.octets() =>
        {
            let error = TrustError::Session { field: pki::SessionField::TransactionId };
            Err(Refusal::distrusted(UNDEFINED_ERROR, &error, kind))
        }
        Ok(AuthenticateClientReply::Ds { events, .. }) => {
            let ok = retrieved(candidate, request, &events, &proof, eim).await?;
            return Ok(Ok(Outcome::Events(ok)));
        }
        Err(refusal) => Err(refusal),
    };
    match judged {
        Ok((ok, hash_cc)) => {
            keep(candidate, &ok, hash_cc, digest, &proof, eim).await?;
            Ok(Ok(Outcome::Profile(Box::new(AuthenticateClientOkDPEsipa {
                transaction_id: Some(ok.transaction_id),
                profile_meta_data: (!may_drop_metadata(candidate)).then_some(ok.profile_meta_data),
                smdp_signed2: ok.smdp_signed2,
                smdp_signature2: ok.smdp_signature2,
                smdp_certificate: ok.smdp_certificate,
                hash_cc: hash_cc.map(Octets::from_array),
            }))))
        }
        Err(refusal) => {
            change(candidate, eim, |work| {
                remember(work, candidate, &proof);
                if let Some(session) = download::session_mut(work, candidate.session.seq) {
                    session.facts.authenticate_digest = None;
                }
            })
            .await?;
            note_refusal(candidate, FUNCTION, &refusal, eim).await?;
            Ok(Err(refusal.code))
        }
    }
}

/// The eUICC did not accept the server: the server is told, and the download ends.
async fn euicc_refused(
    request: &AuthenticateClientRequestEsipa,
    error_code: i64,
    candidates: &[Candidate],
    eim: &Eim,
) -> Result<i64, EsipaError> {
    // Nobody signs this, so only one session may be meant.
    let [candidate] = candidates else { return Ok(code::INVALID_TRANSACTION_ID) };
    let body = rsp::authenticate_client::body(&request.transaction_id, request.authenticate_server_response.octets());
    let read = |reply: &_| rsp::authenticate_client::read(reply, candidate.kind());
    let answered = call(FUNCTION, candidate.kind(), &candidate.session.address, body, read, eim).await;
    let code = answered.err().map_or(UNDEFINED_ERROR, |refusal| refusal.code);
    let error = codes::error(CodeTable::AuthenticateErrorCode, error_code);
    change(candidate, eim, |work| {
        if is_current(work, &candidate.session) {
            download::fail(work, candidate.session.operation, error.clone());
        }
        download::end_session(work, candidate.session.seq);
    })
    .await?;
    Ok(code)
}

/// What the eUICC has proven.
struct Proof {
    /// authenticateServerResponse as the server takes it: as received, or expanded.
    response: Vec<u8>,
    signed1: Verified<EuiccSigned1>,
    signature1: OctetString,
    euicc_certificate: Vec<u8>,
    eum_certificate: Vec<u8>,
}

/// The session that the eUICC has signed for. Nothing is sent to a server on somebody's word alone.
fn prove<'a>(
    request: &AuthenticateClientRequestEsipa,
    candidates: &'a [Candidate],
    eim: &Eim,
) -> Result<(&'a Candidate, Proof), Refusal> {
    let mut first = None;
    for candidate in candidates {
        match proof(request, candidate, eim) {
            Ok(proof) => return Ok((candidate, proof)),
            Err(refusal) => drop(first.get_or_insert(refusal)),
        }
    }
    Err(first.unwrap_or(Refusal::only(code::INVALID_TRANSACTION_ID)))
}

fn proof(request: &AuthenticateClientRequestEsipa, candidate: &Candidate, eim: &Eim) -> Result<Proof, Refusal> {
    let response = &request.authenticate_server_response;
    match response.value() {
        AuthenticateServerResponse::AuthenticateResponseOk(ok) => {
            verify(ok, response.octets().to_vec(), candidate, eim)
        }
        AuthenticateServerResponse::CompactAuthenticateResponseOk(compact) => {
            let expanded = expanded(compact, response.octets(), candidate, eim)?;
            match asn1::decode::<AuthenticateServerResponse>(&expanded) {
                Ok(AuthenticateServerResponse::AuthenticateResponseOk(ok)) => verify(&ok, expanded, candidate, eim),
                _ => Err(Refusal::only(code::EUICC_SIGNATURE_INVALID)),
            }
        }
        AuthenticateServerResponse::AuthenticateResponseError(_) => Err(Refusal::only(code::INVALID_TRANSACTION_ID)),
    }
}

fn expanded(
    compact: &CompactAuthenticateResponseOk,
    octets: &[u8],
    candidate: &Candidate,
    eim: &Eim,
) -> Result<Vec<u8>, Refusal> {
    let euicc = &candidate.snapshot.euicc;
    let capabilities = Capabilities(euicc.capabilities.as_ref());
    let unknown = |_| {
        let message = "The device left out certificates or data that the eIM does not have yet; they are asked for.";
        Refusal::passing("certificatesUnknown", message)
    };
    let signed1 = match &compact.signed_data {
        SignedData::EuiccSigned1(signed1) => signed1.clone(),
        SignedData::CompactEuiccSigned1(inner) => {
            let invalid = || Refusal::only(code::INVALID_TRANSACTION_ID);
            let server: ServerSigned1 =
                asn1::decode(&candidate.session.facts.server_signed1.0).map_err(|_| invalid())?;
            let operation = candidate.snapshot.operation(candidate.session.operation).ok_or_else(invalid)?;
            let own = secrets(operation, eim).and_then(|secrets| ctx_params1(&secrets, capabilities));
            let context = Signed1Context {
                transaction_id: &server.transaction_id,
                server_address: &server.server_address,
                server_challenge: &server.server_challenge,
                euicc_info2: &capabilities.der("euiccInfo2Der").unwrap_or_default(),
                ctx_params1: own.as_ref(),
                sent_ctx_params1: expand::sent_ctx_params1(octets),
            };
            expand::euicc_signed1(inner, &context).map_err(unknown)?
        }
    };
    let stored = euicc.euicc_certificate.as_deref().zip(euicc.eum_certificate.as_deref());
    expand::authenticate_server_response(compact, &signed1, stored).map_err(unknown)
}

fn verify(ok: &AuthenticateResponseOk, response: Vec<u8>, candidate: &Candidate, eim: &Eim) -> Result<Proof, Refusal> {
    let server: ServerSigned1 = asn1::decode(&candidate.session.facts.server_signed1.0)
        .map_err(|_| Refusal::only(code::INVALID_TRANSACTION_ID))?;
    let session = AuthenticationSession {
        server_challenge: &server.server_challenge,
        transaction_id: &server.transaction_id,
        server_address: Some(&server.server_address),
    };
    let verified = pki::verify_authenticate_response(eim.trust(), ok, &session, eim.clock().now(), &candidate.eid());
    match verified {
        Ok(signed1) => Ok(Proof {
            response,
            signed1,
            signature1: ok.euicc_signature1.clone(),
            euicc_certificate: ok.euicc_certificate.der().to_vec(),
            eum_certificate: ok.eum_certificate.der().to_vec(),
        }),
        Err(error) => {
            if let Some(suppressed) = eim.may_log_disbelief() {
                let (eid, reason) = (candidate.eid(), error.reason());
                tracing::warn!(%eid, reason, suppressed, "an eUICC did not prove itself for a download");
            }
            eim.metrics().verification_failures_total.with_label_values(&[error.reason()]).inc();
            Err(Refusal::only(code_of(&error)))
        }
    }
}

/// The code that says which part of the proof is wrong (SGP.22 5.6.3).
const fn code_of(error: &TrustError) -> i64 {
    match error {
        // Another eUICC has no part in this session.
        TrustError::EidMismatch { .. } | TrustError::Session { .. } => code::INVALID_TRANSACTION_ID,
        TrustError::UntrustedCi { .. } => code::CI_PK_UNKNOWN,
        TrustError::CertificateExpired { role: pki::Role::Eum, .. } => code::EUM_CERTIFICATE_EXPIRED,
        TrustError::CertificateExpired { .. } => code::EUICC_CERTIFICATE_EXPIRED,
        TrustError::Signature { .. } => code::EUICC_SIGNATURE_INVALID,
        TrustError::Certificate { role: pki::Role::Eum, .. }
        | TrustError::Chain { role: pki::Role::Eum, .. }
        | TrustError::NotACa { .. }
        | TrustError::CertificateNotYetValid { role: pki::Role::Eum, .. }
        | TrustError::CertificatePolicy { role: pki::Role::Eum }
        | TrustError::KeyUsage { role: pki::Role::Eum, .. } => code::EUM_CERTIFICATE_INVALID,
        _ => code::EUICC_CERTIFICATE_INVALID,
    }
}

/// Judges what an SM-DP+ answered; gives hashCc where the eIM holds the confirmation code that is asked for.
fn judge(
    ok: &AuthenticateClientOk,
    candidate: &Candidate,
    proof: &Proof,
    eim: &Eim,
) -> Result<Option<[u8; 32]>, Refusal> {
    let facts = &candidate.session.facts;
    let distrusted = |error: TrustError| Refusal::distrusted(UNDEFINED_ERROR, &error, ServerKind::SmDpPlus);
    let now = eim.clock().now();
    let server = |der: &[u8], role| pki::verify_server_certificate(eim.trust(), der, role, now).map_err(distrusted);
    let auth = server(&facts.server_certificate.0, ServerRole::DpAuth)?;
    let binding = server(ok.smdp_certificate.der(), ServerRole::DpPb)?;
    let signed2 = pki::verify_smdp_signed2(&auth, &binding, &ok.smdp_signed2, &ok.smdp_signature2, &proof.signature1)
        .map_err(distrusted)?;
    let session = candidate.session.transaction_id.octets();
    if *signed2.value().transaction_id != *session || *ok.transaction_id != *session {
        return Err(distrusted(TrustError::Session { field: pki::SessionField::TransactionId }));
    }
    check_policy(ok.profile_meta_data.value(), candidate, proof)?;
    if !signed2.value().cc_required_flag {
        return Ok(None);
    }
    Ok(candidate.hash_cc(eim))
}

/// Checks the profile's policy rules before the bound package travels (SGP.22 2.4.12; SGP.32 v1.2 3.2.3.2).
fn check_policy(metadata: &StoreMetadataRequest, candidate: &Candidate, proof: &Proof) -> Result<(), Refusal> {
    let snapshot = &candidate.snapshot;
    let table: Option<Vec<ProfilePolicyAuthorisationRule>> =
        snapshot.euicc.rules_authorisation_table.as_ref().and_then(|table| Vec::deserialize(table).ok());
    let info2 = proof.signed1.value().euicc_info2.value().known();
    let rules = Rules {
        rat: table.as_deref(),
        forbidden: info2.and_then(|info| info.forbidden_profile_policy_rules.as_ref()),
        has_operational_profile: snapshot.profiles.iter().any(|profile| profile.profile_class.unwrap_or(2) == 2),
    };
    let capabilities = Capabilities(snapshot.euicc.capabilities.as_ref());
    let message = match policy_rules::check(metadata, rules) {
        Err(refusal) => refusal.to_string(),
        Ok(Permission::UnknownTable) if capabilities.has("eimProfileMetadataVerification") => {
            "The profile has policy rules, and which of them this eUICC allows is not known here. Ask for its Rules \
             Authorisation Table (getRAT), then for the download again."
                .to_owned()
        }
        Ok(_) => return Ok(()),
    };
    let error = OperationError { code: Some(code::PPR_NOT_ALLOWED), name: "pprNotAllowed".to_owned(), message };
    let consequence = Consequence::Ended { error, cancel_reason: Some(CANCEL_PPR_NOT_ALLOWED) };
    Err(Refusal { code: code::PPR_NOT_ALLOWED, consequence })
}

/// Asks for what may be left out of a compact form: certificates, EUICCInfo2, and what ctxParams1 is made of.
fn ask_for_more(work: &mut Work) {
    apply::ask_certificates(work);
    if !work.asks_already(Purpose::Refresh, Kind::EuiccData) {
        work.ask(Purpose::Refresh, Kind::EuiccData, None, download_data());
    }
}

/// Certificates that proved themselves are worth keeping: results of this eUICC can be verified with them.
fn certificates(proof: &Proof) -> Certificates {
    Certificates::Trusted { eum: proof.eum_certificate.clone(), euicc: proof.euicc_certificate.clone() }
}

fn remember(work: &mut Work, candidate: &Candidate, proof: &Proof) {
    if work.state.euicc.euicc_certificate.is_none() {
        data::take_certificates(work, certificates(proof));
    }
    if let Some(session) = download::session_mut(work, candidate.session.seq) {
        session.facts.euicc_certificate = Some(Der(proof.euicc_certificate.clone()));
        session.facts.eum_certificate = Some(Der(proof.eum_certificate.clone()));
    }
}

/// How long between two looks whether the first call has been answered.
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);
/// How much longer than a call may take its outcome may need to be stored.
const STORED_WITHIN: Duration = Duration::from_secs(5);

/// How long a call may be under way before the same message is taken for a new attempt.
fn under_way(eim: &Eim) -> Duration {
    eim.rsp().longest_call() + STORED_WITHIN
}

/// Waits for what comes of the first call of a message that was sent again.
async fn of_the_first(
    candidate: &Candidate,
    digest: &[u8],
    eim: &Eim,
) -> Result<Result<AuthenticateClientOkDPEsipa, i64>, EsipaError> {
    for _ in 0..under_way(eim).as_millis().div_ceil(BETWEEN_LOOKS.as_millis()) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let transaction = candidate.session.transaction_id.octets();
        let again = candidates(transaction, eim).await?;
        let Some(again) = again.iter().find(|again| again.session.seq == candidate.session.seq) else {
            return Ok(Err(code::INVALID_TRANSACTION_ID));
        };
        let same = again.session.facts.authenticate_digest.as_ref().is_some_and(|known| known.0 == digest);
        if !same {
            // The first call was refused or broke off, and that was noted.
            return Ok(Err(UNDEFINED_ERROR));
        }
        if again.session.phase != Phase::Initiated {
            return Ok(answered_before(again, eim).ok_or(code::INVALID_TRANSACTION_ID));
        }
    }
    let refusal = Refusal::passing("alreadyAsked", "The server is being asked already and does not answer.");
    note_refusal(candidate, FUNCTION, &refusal, eim).await?;
    Ok(Err(refusal.code))
}

/// Notes that the server is asked, which it can be once. `false` when it is being asked already: a device on a bad network
/// sends again what it waits for.
async fn begin(candidate: &Candidate, digest: &[u8], eim: &Eim) -> Result<bool, EsipaError> {
    let begun = std::sync::atomic::AtomicBool::new(false);
    let under_way_ms = i64::try_from(under_way(eim).as_millis()).unwrap_or(i64::MAX);
    change(candidate, eim, |work| {
        let now = work.now();
        let session = work.state.sessions.iter_mut().find(|session| session.seq == candidate.session.seq);
        let Some(session) = session else { return };
        let asked = session.facts.authenticate_digest.is_some() && now - session.touched_at < under_way_ms;
        let begins = session.phase == Phase::Initiated && !asked;
        begun.store(begins, std::sync::atomic::Ordering::Relaxed);
        if begins {
            session.touched_at = now;
            session.facts.authenticate_digest = Some(Der(digest.to_vec()));
        }
    })
    .await?;
    Ok(begun.into_inner())
}

async fn keep(
    candidate: &Candidate,
    ok: &AuthenticateClientOk,
    hash_cc: Option<[u8; 32]>,
    digest: Vec<u8>,
    proof: &Proof,
    eim: &Eim,
) -> Result<(), EsipaError> {
    let seq = candidate.session.seq;
    let metadata = ok.profile_meta_data.value();
    let iccid = crate::ids::Iccid::from_octets(&metadata.iccid).ok();
    let name = metadata.profile_name.to_string().replace('\0', "\u{fffd}");
    change(candidate, eim, |work| {
        remember(work, candidate, proof);
        if let Some(session) = download::session_mut(work, seq) {
            session.phase = Phase::Authenticated;
            session.facts.authenticate_digest = Some(Der(digest.clone()));
            session.facts.metadata = Some(Der(ok.profile_meta_data.octets().to_vec()));
            session.facts.smdp_signed2 = Some(Der(ok.smdp_signed2.octets().to_vec()));
            session.facts.smdp_signature2 = Some(Der(ok.smdp_signature2.to_vec()));
            session.facts.smdp_certificate = Some(Der(ok.smdp_certificate.der().to_vec()));
            session.facts.hash_cc = hash_cc.is_some();
        }
        let details = serde_json::json!({
            "operation": candidate.session.operation,
            "iccid": iccid,
            "profileName": name,
            "confirmationCodeUsed": hash_cc.is_some(),
        });
        download::progressed(work, candidate.session.operation);
        work.event("downloadAuthenticated", details);
    })
    .await
}

/// Whether the IPA leaves the metadata to the eIM and wants few octets.
fn may_drop_metadata(candidate: &Candidate) -> bool {
    let capabilities = Capabilities(candidate.snapshot.euicc.capabilities.as_ref());
    capabilities.has("eimProfileMetadataVerification") && capabilities.has("minimizeEsipaBytes")
}

/// The answer that was given before to the same octets.
fn answered_before(candidate: &Candidate, eim: &Eim) -> Option<AuthenticateClientOkDPEsipa> {
    let facts = &candidate.session.facts;
    let raw = |der: &Option<Der>| der.as_ref().map(|der| der.0.clone());
    let hash_cc = if facts.hash_cc { Some(candidate.hash_cc(eim)?) } else { None };
    let metadata = asn1::decode::<Raw<StoreMetadataRequest>>(&raw(&facts.metadata)?).ok()?;
    Some(AuthenticateClientOkDPEsipa {
        transaction_id: asn1::TransactionId::new(candidate.session.transaction_id.octets()).ok(),
        profile_meta_data: (!may_drop_metadata(candidate)).then_some(metadata),
        smdp_signed2: asn1::decode::<Raw<SmdpSigned2>>(&raw(&facts.smdp_signed2)?).ok()?,
        smdp_signature2: OctetString::from_vec(raw(&facts.smdp_signature2)?),
        smdp_certificate: asn1::decode(&raw(&facts.smdp_certificate)?).ok()?,
        hash_cc: hash_cc.map(Octets::from_array),
    })
}

/// What an SM-DS knows becomes downloads; the first one goes out in this answer (SGP.32 v1.2 3.9).
async fn retrieved(
    candidate: &Candidate,
    request: &AuthenticateClientRequestEsipa,
    events: &[EventEntry],
    proof: &Proof,
    eim: &Eim,
) -> Result<AuthenticateClientOkDSEsipa, EsipaError> {
    let events: Vec<SmdsEvent> = events
        .iter()
        .map(|event| SmdsEvent { address: event.address.clone(), event_id: event.event_id.clone() })
        .collect();
    let eim = &home(&candidate.eid(), eim).await?;
    let session = &candidate.session;
    let mut saved = None;
    for _ in 0..DECIDED_AGAIN {
        let now = eim.clock().now_ms();
        let keys = super::keys(&session.transaction_id);
        let Some((snapshot, _)) = eim.store().result_snapshot(candidate.eid(), keys, now).await? else { break };
        let version = snapshot.euicc.version;
        let mut work = eim.work(snapshot, now);
        remember(&mut work, candidate, proof);
        download::end_session(&mut work, session.seq);
        let asked_by = work.operation(session.operation).cloned();
        let downloads = asked_by.map_or_else(Vec::new, |asked_by| {
            let Some(order) = download::order(&asked_by) else { return Vec::new() };
            download::of_events(&mut work, &order, session.address.as_str(), &events)
                .iter()
                .map(|download| download::event_operation(download, seal(download, eim), &asked_by))
                .collect::<Vec<NewOperation>>()
        });
        let next = downloads.first().map(|download| download.id);
        download::retrieved(&mut work, session.operation, events.len(), downloads);
        if eim.save(candidate.eid(), version, work.finish(), now).await? == Saved::Done {
            saved = Some(next);
            break;
        }
    }
    let first = saved.ok_or(EsipaError::Contended { function: "authenticateClient" })?;
    let trigger = match first {
        Some(id) => trigger(candidate, id, eim).await?,
        None => None,
    };
    Ok(AuthenticateClientOkDSEsipa {
        transaction_id: request.transaction_id.clone(),
        profile_download_trigger: trigger,
    })
}

fn seal(download: &download::EventDownload, eim: &Eim) -> Vec<u8> {
    let context = download.id.to_string();
    eim.sealing().seal(&download.secrets.to_octets(), context.as_bytes(), eim.entropy().octets())
}

async fn trigger(
    candidate: &Candidate,
    id: OperationId,
    eim: &Eim,
) -> Result<Option<ProfileDownloadTriggerRequest>, EsipaError> {
    let eim = &home(&candidate.eid(), eim).await?;
    let keys = ResultKeys { operations: vec![id], ..ResultKeys::default() };
    for _ in 0..DECIDED_AGAIN {
        let now = eim.clock().now_ms();
        let Some((snapshot, _)) = eim.store().result_snapshot(candidate.eid(), keys.clone(), now).await? else { break };
        let version = snapshot.euicc.version;
        let mut work = eim.work(snapshot, now);
        let trigger = download_trigger::deliver(&mut work, id, eim);
        if eim.save(candidate.eid(), version, work.finish(), now).await? == Saved::Done {
            return Ok(trigger);
        }
    }
    Ok(None)
}
