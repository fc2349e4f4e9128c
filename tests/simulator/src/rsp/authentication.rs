//! Common mutual authentication, the server's side (SGP.22 v2.5 3.0.1, 5.6.1, 5.6.3, 5.8.1, 5.8.2).

use super::core::{Core, Kind, Refusal, Session, other_octets};
use super::json::{self, RspFunction, base64};
use crate::tlv::element;
use eim_core::asn1::{self, AuthenticateResponseOk, AuthenticateServerResponse, CtxParams1, EUICCInfo1};
use eim_core::ids::Eid;
use eim_core::pki::{
    AuthenticationSession, Role, TrustError, VerifiedChain, euicc_certificate_eid, verify_authenticate_response,
    verify_euicc_chain,
};
use serde_json::{Value, json};

/// An eUICC that has proved who it is.
pub(super) struct Authenticated {
    pub transaction_id: Vec<u8>,
    pub eid: Eid,
    pub chain: VerifiedChain,
    /// The matching identifier; `None` when it is absent or empty.
    pub matching_id: Option<String>,
    pub euicc_signature1: Vec<u8>,
}

/// Begins a session.
pub(super) fn initiate_authentication(core: &mut Core, request: &Value) -> Result<Value, Refusal> {
    let of_kind = |smdp, smds, reason| Refusal::new(if core.kind == Kind::Smdp { smdp } else { smds }, reason);
    let euicc_challenge: [u8; 16] =
        json::octets(request, "euiccChallenge")?.try_into().map_err(|_| Refusal::INVALID)?;
    let info: EUICCInfo1 = asn1::decode(&json::octets(request, "euiccInfo1")?).map_err(|_| Refusal::INVALID)?;
    let address = match core.kind {
        Kind::Smds if request.get("smdsAddress").is_some() => json::text(request, "smdsAddress")?,
        _ => json::text(request, "smdpAddress")?,
    };
    if !address.eq_ignore_ascii_case(&core.address) {
        return Err(of_kind("8.8.1", "8.9.1", "3.8"));
    }
    if info.svn.first().is_none_or(|major| *major < 2) {
        return Err(of_kind("8.8.3", "8.9.3", "3.1"));
    }
    let ci_key_id = core.pki.ci_key_id().to_vec();
    let lists = [&info.euicc_ci_pk_id_list_for_verification, &info.euicc_ci_pk_id_list_for_signing];
    if !lists.iter().all(|list| list.iter().any(|id| id.as_slice() == ci_key_id)) {
        return Err(of_kind("8.8.2", "8.9.2", "3.1"));
    }

    core.sessions_begun += 1;
    let number = core.sessions_begun;
    let server_challenge = first_16(core.made_up(number, "serverChallenge"));
    let transaction_id = match &core.faults.fixed_transaction_id {
        Some(fixed) => fixed.clone(),
        None => first_16(core.made_up(number, "transactionId")).to_vec(),
    };
    let auth = core.identity(core.auth_role(), core.faults.auth_certificate)?;
    let signed = server_signed1(core, &transaction_id, &euicc_challenge, &server_challenge);
    let over = if core.faults.bad_server_signature1 { b"something else".as_slice() } else { &signed };
    let signature = auth.key.sign_deterministic(over);
    let shown_ci = if core.faults.unknown_ci_key_id { other_octets(&ci_key_id) } else { ci_key_id };
    let encoded = |octets: &[u8]| base64(octets, core.faults.line_breaks);
    let answer = json!({
        "transactionId": core.shown_transaction_id(RspFunction::InitiateAuthentication, &transaction_id),
        "serverSigned1": encoded(&signed),
        "serverSignature1": encoded(&element(0x5f37, &[&signature])),
        "euiccCiPKIdToBeUsed": encoded(&element(0x04, &[&shown_ci])),
        "serverCertificate": encoded(&auth.certificate),
    });
    let session = Session { number, server_challenge, euicc: None, is_closed: false };
    core.sessions.insert(transaction_id, session);
    Ok(answer)
}

/// `30 { 80 transactionId, 81 euiccChallenge, 83 serverAddress, 84 serverChallenge }`.
fn server_signed1(
    core: &Core,
    transaction_id: &[u8],
    euicc_challenge: &[u8; 16],
    server_challenge: &[u8; 16],
) -> Vec<u8> {
    let challenge =
        if core.faults.wrong_euicc_challenge { other_octets(euicc_challenge) } else { euicc_challenge.to_vec() };
    let address = if core.faults.wrong_server_address { "other.example" } else { &core.address };
    element(
        0x30,
        &[
            &element(0x80, &[transaction_id]),
            &element(0x81, &[&challenge]),
            &element(0x83, &[address.as_bytes()]),
            &element(0x84, &[server_challenge]),
        ],
    )
}

fn first_16(octets: [u8; 32]) -> [u8; 16] {
    std::array::from_fn(|at| octets.get(at).copied().unwrap_or_default())
}

/// Checks authenticateServerResponse: chain, signature, session.
pub(super) fn authenticate(core: &mut Core, request: &Value) -> Result<Authenticated, Refusal> {
    let transaction_id = json::transaction_id(request)?;
    let server_challenge = core.open_session(&transaction_id)?.server_challenge;
    let octets = json::octets(request, "authenticateServerResponse")?;
    let response: AuthenticateServerResponse = asn1::decode(&octets).map_err(|_| Refusal::INVALID)?;
    let response = match response {
        AuthenticateServerResponse::AuthenticateResponseOk(response) => response,
        AuthenticateServerResponse::AuthenticateResponseError(_) => return Err(Refusal::new("8.1", "4.2")),
        AuthenticateServerResponse::CompactAuthenticateResponseOk(_) => return Err(Refusal::INVALID),
    };
    let (eid, chain) = verify(core, &response, &transaction_id, &server_challenge)?;
    let CtxParams1::CtxParamsForCommonAuthentication(context) = &response.euicc_signed1.value().ctx_params1;
    Ok(Authenticated {
        transaction_id,
        eid,
        chain,
        matching_id: context.matching_id.clone().filter(|text| !text.is_empty()),
        euicc_signature1: response.euicc_signature1.as_slice().to_vec(),
    })
}

fn verify(
    core: &Core,
    response: &AuthenticateResponseOk,
    transaction_id: &[u8],
    server_challenge: &[u8],
) -> Result<(Eid, VerifiedChain), Refusal> {
    let (eum, euicc) = (response.eum_certificate.der(), response.euicc_certificate.der());
    let eid = euicc_certificate_eid(euicc).map_err(|_| Refusal::new("8.1.3", "6.1"))?;
    let now = core.now.parse().map_err(|_| Refusal::EXECUTION)?;
    let chain = verify_euicc_chain(&core.trust, eum, euicc, now, &eid).map_err(|error| refusal_of(&error))?;
    let session = AuthenticationSession { server_challenge, transaction_id, server_address: Some(&core.address) };
    verify_authenticate_response(&core.trust, response, &session, now, &eid).map_err(|error| refusal_of(&error))?;
    Ok((eid, chain))
}

/// The codes of SGP.22 v2.5 5.6.3.
fn refusal_of(error: &TrustError) -> Refusal {
    let of_role = |role: Role, reason| Refusal::new(if role == Role::Eum { "8.1.2" } else { "8.1.3" }, reason);
    match error {
        TrustError::UntrustedCi { .. } => Refusal::new("8.11.1", "3.9"),
        TrustError::CertificateExpired { role: Role::Ci, .. } => Refusal::new("8.11.1", "3.9"),
        TrustError::CertificateExpired { role, .. } => of_role(*role, "6.3"),
        TrustError::Certificate { role, .. }
        | TrustError::Chain { role, .. }
        | TrustError::NotACa { role }
        | TrustError::CertificateNotYetValid { role, .. }
        | TrustError::CertificatePolicy { role }
        | TrustError::KeyUsage { role, .. } => of_role(*role, "6.1"),
        TrustError::NameConstraint { .. } => Refusal::new("8.1.3", "6.1"),
        _ => Refusal::SIGNATURE,
    }
}
