//! initiateAuthentication: the server proves itself to the eUICC (SGP.32 v1.2 6.4.1.1, 3.2.3.2; SGP.22 5.6.1, 5.8.1).

use super::{Refusal, UNDEFINED_ERROR, call, change_euicc, note};
use crate::Eim;
use crate::asn1::code::initiate_authentication_error_esipa as code;
use crate::asn1::{
    self, CtxParams1, CtxParamsForCommonAuthentication, DeviceInfo, EUICCInfo1, EsipaMessageFromEimToIpa,
    InitiateAuthenticationOkEs9, InitiateAuthenticationOkEsipa, InitiateAuthenticationRequestEsipa,
    InitiateAuthenticationResponseEsipa, OctetString,
};
use crate::domain::download::SECRET_UNREADABLE;
use crate::domain::operation::{Kind, Purpose};
use crate::domain::order::{SMDS_DEPTH_MAX, Source};
use crate::domain::poll::download_data;
use crate::domain::{
    Capabilities, Der, DownloadOrder, DownloadSession, Operation, OperationError, Phase, Secrets, SessionFacts,
    Snapshot, download,
};
use crate::esipa::download_trigger::{SECRET_UNREADABLE_TEXT, secrets};
use crate::esipa::{Caller, EsipaAnswer, EsipaError, home};
use crate::ids::{Eid, EimTransactionId, RspAddress, TransactionId};
use crate::pki::{self, Oid, ServerExpectation, ServerRole, TrustError, VerifiedServer};
use crate::ports::RspFunction;
use crate::rsp::{self, ServerKind};
use crate::store::ResultKeys;

const FUNCTION: RspFunction = RspFunction::InitiateAuthentication;

pub(in crate::esipa) async fn answer(
    request: InitiateAuthenticationRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    use InitiateAuthenticationResponseEsipa as Response;
    let response = match authenticate(&request, caller, eim).await? {
        Ok(ok) => Response::InitiateAuthenticationOkEsipa(ok),
        Err(code) => Response::InitiateAuthenticationErrorEsipa(code),
    };
    Ok(EsipaMessageFromEimToIpa::InitiateAuthenticationResponseEsipa(response).into())
}

async fn authenticate(
    request: &InitiateAuthenticationRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<Result<InitiateAuthenticationOkEsipa, i64>, EsipaError> {
    let Some((snapshot, operation)) = download_of(request, caller, eim).await? else {
        let named = request.eim_transaction_id.is_some();
        return Ok(Err(if named { code::INVALID_EIM_TRANSACTION_ID } else { UNDEFINED_ERROR }));
    };
    let (eid, id) = (snapshot.euicc.eid, operation.id);
    let keys = ResultKeys { operations: vec![id], without_held: true, ..ResultKeys::default() };
    let (address, outcome) = match Task::of(request, &snapshot, &operation) {
        Ok(task) => (Some(task.address.clone()), task.run(eim).await),
        Err(refusal) => (None, Err(refusal)),
    };
    match outcome {
        Ok((ok, session)) => {
            change_euicc(eid, &keys, eim, |work| {
                work.state.sessions.push(session.clone());
                download::progressed(work, id);
                let details =
                    serde_json::json!({ "operation": id, "address": session.address, "smds": session.facts.smds });
                work.event("downloadInitiated", details);
            })
            .await?;
            Ok(Ok(ok))
        }
        Err(refusal) => {
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            change_euicc(eid, &keys, eim, |work| {
                note(work, id, FUNCTION, &address, &refusal);
                if refusal.lacks("euiccInfo1Unknown") && !work.asks_already(Purpose::Refresh, Kind::EuiccData) {
                    work.ask(Purpose::Refresh, Kind::EuiccData, None, download_data());
                }
            })
            .await?;
            Ok(Err(refusal.code))
        }
    }
}

/// The download that a request is about: by its eimTransactionId, else the one under way of the device that polled on this
/// connection, else the only one under way at all.
async fn download_of(
    request: &InitiateAuthenticationRequestEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<Option<(Snapshot, Operation)>, EsipaError> {
    let now = eim.clock().now_ms();
    // What is under way is among the open operations, so nothing more need be named.
    let load = |eid: Eid| async move {
        let keys = ResultKeys { without_held: true, ..ResultKeys::default() };
        let eim = home(&eid, eim).await?;
        Ok::<_, EsipaError>(eim.store().result_snapshot(eid, keys, now).await?.map(|(snapshot, _)| snapshot))
    };
    if let Some(named) = &request.eim_transaction_id {
        let Ok(transaction) = EimTransactionId::from_octets(named) else { return Ok(None) };
        let Some(eid) = eim.store().eid_of_transaction(&transaction).await? else { return Ok(None) };
        let Some(snapshot) = load(eid).await? else { return Ok(None) };
        let found = download::under_way(&snapshot.operations)
            .filter(|operation| operation.eim_transaction_id.as_ref() == Some(&transaction))
            .cloned();
        return Ok(found.map(|operation| (snapshot, operation)));
    }
    let eid = match caller.last_named() {
        Some(eid) => Some(eid),
        None => match eim.store().eids_of_downloads().await?.as_slice() {
            [eid] => Some(*eid),
            _ => None,
        },
    };
    let Some(eid) = eid else { return Ok(None) };
    let Some(snapshot) = load(eid).await? else { return Ok(None) };
    let anonymous = caller.last_named().is_none();
    let found = download::under_way(&snapshot.operations).cloned();
    // What the eIM keeps for a device is not for somebody who has not even said who it is.
    let capabilities = Capabilities(snapshot.euicc.capabilities.as_ref());
    let keeps = found.as_ref().and_then(download::order).is_some_and(|order| order.keeps_data(capabilities));
    let makes = capabilities.has("eimCtxParams1Generation");
    if anonymous && (keeps || makes) {
        return Ok(None);
    }
    Ok(found.map(|operation| (snapshot, operation)))
}

/// What is to be asked of which server.
struct Task<'a> {
    request: &'a InitiateAuthenticationRequestEsipa,
    snapshot: &'a Snapshot,
    operation: &'a Operation,
    order: DownloadOrder,
    address: RspAddress,
    /// Whether the eIM knew the address, rather than the device.
    is_own: bool,
    euicc_info1: Vec<u8>,
    signing: Vec<OctetString>,
}

impl<'a> Task<'a> {
    fn of(
        request: &'a InitiateAuthenticationRequestEsipa,
        snapshot: &'a Snapshot,
        operation: &'a Operation,
    ) -> Result<Self, Refusal> {
        let unreadable = || OperationError::named("unreadableRequest", "The stored request can't be read.");
        let order = download::order(operation).ok_or_else(|| Refusal::ended(UNDEFINED_ERROR, unreadable()))?;
        let capabilities = Capabilities(snapshot.euicc.capabilities.as_ref());
        let own = order.server(capabilities);
        let is_own = own.is_some();
        let sent = request.smdp_address.as_ref().map(|text| text.parse::<RspAddress>());
        let address = match (own, sent) {
            (Some(own), Some(sent)) if sent.as_ref() != Ok(&own) => {
                return Err(Refusal::only(code::SMDP_ADDRESS_MISMATCH));
            }
            (Some(own), _) => own,
            // Its own default server or root SM-DS is the eUICC's to tell.
            (None, Some(Ok(sent))) => sent,
            (None, Some(Err(_))) => return Err(Refusal::only(code::INVALID_DP_ADDRESS)),
            (None, None) => {
                let message = "Neither the device nor its data say which server to ask. Name it in the request.";
                return Err(Refusal::ended(UNDEFINED_ERROR, OperationError::named("serverUnknown", message)));
            }
        };
        let reported = capabilities.der("euiccInfo1Der");
        let euicc_info1 = request.euicc_info1.as_ref().map(|info| info.octets().to_vec()).or(reported);
        let decoded = euicc_info1.and_then(|octets| Some((asn1::decode::<EUICCInfo1>(&octets).ok()?, octets)));
        let Some((info, euicc_info1)) = decoded else {
            let message = "The device sent no EUICCInfo1 and has reported none; it is asked for.";
            return Err(Refusal::passing("euiccInfo1Unknown", message));
        };
        let signing = info.euicc_ci_pk_id_list_for_signing;
        Ok(Self { request, snapshot, operation, order, address, is_own, euicc_info1, signing })
    }

    async fn run(&self, eim: &Eim) -> Result<(InitiateAuthenticationOkEsipa, DownloadSession), Refusal> {
        let asks_smds = matches!(self.order.source, Source::Smds { .. });
        let (kind, field) = if asks_smds {
            (ServerKind::SmDs, eim.smds_address_field())
        } else {
            (ServerKind::SmDpPlus, rsp::initiate_authentication::AddressField::SmdpAddress)
        };
        let challenge: &[u8] = &self.request.euicc_challenge;
        let body = rsp::initiate_authentication::body(challenge, &self.euicc_info1, &self.address, field);
        let read = rsp::initiate_authentication::read;
        let ok = call(FUNCTION, kind, &self.address, body, read, eim).await.map_err(|refusal| {
            // A device that names an address which may not be called has said nothing about the order.
            let theirs = !self.is_own && refusal.ends_as("addressRefused");
            if theirs { Refusal::only(code::INVALID_DP_ADDRESS) } else { refusal }
        })?;
        let server = self.server(&ok, asks_smds, eim)?;
        self.judge(&ok, &server, kind)?;
        let (matching_id, ctx_params1) = self.of_order(eim)?;
        let now = eim.clock().now_ms();
        let Ok(transaction_id) = TransactionId::from_octets(&ok.transaction_id) else {
            return Err(Refusal::passing("unreadableAnswer", "The server sent no usable transactionId."));
        };
        let session = DownloadSession {
            seq: 0,
            operation: self.operation.id,
            transaction_id,
            address: self.address.clone(),
            phase: Phase::Initiated,
            facts: SessionFacts {
                smds: server.signer().role == ServerRole::DsAuth,
                server_signed1: Der(ok.server_signed1.octets().to_vec()),
                server_certificate: Der(ok.server_certificate.der().to_vec()),
                server_oid: server.signer().oid.as_ref().map(Oid::to_string),
                ..SessionFacts::default()
            },
            created_at: now,
            touched_at: now,
        };
        let answer = InitiateAuthenticationOkEsipa {
            transaction_id: Some(ok.transaction_id),
            server_signed1: ok.server_signed1,
            server_signature1: ok.server_signature1,
            euicc_ci_pk_identifier_to_be_used: ok.euicc_ci_pk_id_to_be_used,
            server_certificate: ok.server_certificate,
            matching_id,
            ctx_params1,
        };
        Ok((answer, session))
    }

    /// The server's certificate, in the role that it may have here: where an SM-DS led to the server, it may be another
    /// SM-DS, but not for ever.
    fn server(&self, ok: &InitiateAuthenticationOkEs9, asks_smds: bool, eim: &Eim) -> Result<VerifiedServer, Refusal> {
        let verify =
            |role| pki::verify_server_certificate(eim.trust(), ok.server_certificate.der(), role, eim.clock().now());
        if asks_smds {
            return verify(ServerRole::DsAuth)
                .map_err(|error| Refusal::distrusted(UNDEFINED_ERROR, &error, ServerKind::SmDs));
        }
        match verify(ServerRole::DpAuth) {
            Err(TrustError::CertificatePolicy { .. }) if !self.order.via.is_empty() => {
                let server = verify(ServerRole::DsAuth)
                    .map_err(|error| Refusal::distrusted(UNDEFINED_ERROR, &error, ServerKind::SmDs))?;
                if self.order.via.len() >= SMDS_DEPTH_MAX {
                    let message = "One SM-DS after another named a further one; they are not followed any more. Tell the \
                                   provider of the profile.";
                    return Err(Refusal::ended(UNDEFINED_ERROR, OperationError::named("smdsCascade", message)));
                }
                Ok(server)
            }
            other => other.map_err(|error| Refusal::distrusted(UNDEFINED_ERROR, &error, ServerKind::SmDpPlus)),
        }
    }

    fn judge(
        &self,
        ok: &InitiateAuthenticationOkEs9,
        server: &VerifiedServer,
        kind: ServerKind,
    ) -> Result<(), Refusal> {
        let oid: Option<Oid> = match &self.order.source {
            Source::ActivationCode { oid: Some(oid), .. } => oid.parse().ok(),
            _ => None,
        };
        let expectation = ServerExpectation {
            address: self.address.as_str(),
            oid: oid.as_ref(),
            euicc_challenge: Some(&self.request.euicc_challenge),
            transaction_id: Some(&ok.transaction_id),
        };
        pki::verify_server_signed1(server, &ok.server_signed1, &ok.server_signature1, &expectation).map_err(
            |error| {
                let code = match error {
                    TrustError::ServerAddress => code::SMDP_ADDRESS_MISMATCH,
                    TrustError::ServerOid { .. } => code::SMDP_OID_MISMATCH,
                    _ => UNDEFINED_ERROR,
                };
                Refusal::distrusted(code, &error, kind)
            },
        )?;
        if !self.signing.contains(&ok.euicc_ci_pk_id_to_be_used) {
            let message = "The server chose a CI key with which the eUICC can't sign. Ask its provider for a server below a \
                           CI of this eUICC.";
            let name = "ciPKIdNotSupported".to_owned();
            let error = OperationError { code: Some(code::CI_PK_ID_NOT_SUPPORTED), name, message: message.to_owned() };
            return Err(Refusal::ended(code::CI_PK_ID_NOT_SUPPORTED, error));
        }
        Ok(())
    }

    /// What the eIM adds from the order: the matchingId where the trigger left it out, and ctxParams1 for an IPA that wants
    /// the eIM to make them.
    fn of_order(&self, eim: &Eim) -> Result<(Option<String>, Option<CtxParams1>), Refusal> {
        let capabilities = Capabilities(self.snapshot.euicc.capabilities.as_ref());
        let Some(secrets) = secrets(self.operation, eim) else {
            tracing::error!(operation = %self.operation.id, "the activation code of a download can't be read");
            return Err(Refusal::passing(SECRET_UNREADABLE, SECRET_UNREADABLE_TEXT));
        };
        let matching_id = secrets.activation_code().map(|code| code.matching_id().to_owned());
        let ctx_params1 = ctx_params1(&secrets, capabilities);
        Ok((matching_id.filter(|_| self.order.keeps_data(capabilities)), ctx_params1))
    }
}

/// ctxParams1 as the eIM makes them, for an IPA that wants that and has told about its device.
pub(super) fn ctx_params1(secrets: &Secrets, capabilities: Capabilities<'_>) -> Option<CtxParams1> {
    if !capabilities.has("eimCtxParams1Generation") {
        return None;
    }
    let device_info = asn1::decode::<DeviceInfo>(&capabilities.der("deviceInfoDer")?).ok()?;
    let matching_id = secrets.activation_code().map(|code| code.matching_id().to_owned());
    let matching_id = matching_id.filter(|matching_id| !matching_id.is_empty());
    Some(CtxParams1::CtxParamsForCommonAuthentication(CtxParamsForCommonAuthentication { matching_id, device_info }))
}
