//! The SM-DP+: ES9+ from download order to notification (SGP.22 v2.5 5.6).

use super::authentication::{authenticate, initiate_authentication};
use super::core::{Core, Refusal, SessionEuicc, other_octets};
use super::http::Functions;
use super::json::{self, RspFunction, base64};
use super::order::{Order, OrderState};
use crate::bpp::{BindRequest, bind};
use crate::pki::{ServerCertificateRole, ServerIdentity};
use crate::tlv::{Tlv, element};
use eim_core::asn1::{
    self, CancelSessionResponse, EUICCSigned2, FinalResult, OtherSignedNotification, PendingNotification,
    PrepareDownloadResponse, ProfileInstallationResult,
};
use eim_core::ids::Eid;
use eim_core::pki::{
    euicc_certificate_eid, hash_cc, verify_euicc_signed2, verify_installation_result, verify_notification,
};
use serde_json::{Value, json};

/// A download order and what became of it.
pub(super) struct Download {
    pub order: Order,
    pub state: OrderState,
    pub wrong_codes: u32,
}

impl Download {
    pub const fn new(order: Order) -> Self {
        Self { order, state: OrderState::Released, wrong_codes: 0 }
    }
}

pub(super) struct Smdp {
    pub core: Core,
    pub downloads: Vec<Download>,
    pub notifications: Vec<Vec<u8>>,
}

impl Functions for Smdp {
    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn has(&self, _: RspFunction) -> bool {
        true
    }

    fn call(&mut self, function: RspFunction, request: &Value) -> Result<Option<Value>, Refusal> {
        match function {
            RspFunction::InitiateAuthentication => initiate_authentication(&mut self.core, request).map(Some),
            RspFunction::AuthenticateClient => self.authenticate_client(request).map(Some),
            RspFunction::GetBoundProfilePackage => self.get_bound_profile_package(request).map(Some),
            RspFunction::HandleNotification => self.handle_notification(request).map(|()| None),
            RspFunction::CancelSession => self.cancel_session(request).map(|()| Some(json!({}))),
        }
    }
}

impl Smdp {
    pub const fn new(core: Core) -> Self {
        Self { core, downloads: Vec::new(), notifications: Vec::new() }
    }

    fn authenticate_client(&mut self, request: &Value) -> Result<Value, Refusal> {
        let euicc = authenticate(&mut self.core, request)?;
        let order = self.find_order(euicc.matching_id.as_deref(), &euicc.eid)?;
        let Some(download) = self.downloads.get_mut(order) else { return Err(Refusal::EXECUTION) };
        let metadata = download.order.metadata().map_err(|_| Refusal::EXECUTION)?;
        let requires_code = download.order.confirmation_code.is_some();
        download.state = OrderState::Authenticated;

        let pb = self.binding_identity()?;
        let faults = &self.core.faults;
        let transaction_id = &euicc.transaction_id;
        let signed_id =
            if faults.wrong_signed2_transaction_id { other_octets(transaction_id) } else { transaction_id.clone() };
        let flag = if requires_code { 0xff } else { 0x00 };
        let signed = element(0x30, &[&element(0x80, &[&signed_id]), &element(0x01, &[&[flag]])]);
        let over = if faults.bad_smdp_signature2 { b"something else".to_vec() } else { signed.clone() };
        let appended = element(0x5f37, &[&euicc.euicc_signature1]);
        let signature = pb.key.sign_deterministic(&[over, appended].concat());
        let encoded = |octets: &[u8]| base64(octets, faults.line_breaks);
        let answer = json!({
            "transactionId": self.core.shown_transaction_id(RspFunction::AuthenticateClient, transaction_id),
            "profileMetadata": encoded(&metadata),
            "smdpSigned2": encoded(&signed),
            "smdpSignature2": encoded(&element(0x5f37, &[&signature])),
            "smdpCertificate": encoded(&pb.certificate),
        });
        self.core.open_session(transaction_id)?.euicc =
            Some(SessionEuicc { eid: euicc.eid, chain: euicc.chain, order, smdp_signature2: signature, bound: None });
        Ok(answer)
    }

    /// Position of the order that an eUICC may download.
    fn find_order(&self, matching_id: Option<&str>, eid: &Eid) -> Result<usize, Refusal> {
        const REFUSED: Refusal = Refusal::new("8.2.6", "3.8");
        let mut named = self.downloads.iter().enumerate().filter(|(_, download)| match matching_id {
            Some(matching_id) => download.order.matching_id == matching_id,
            None => {
                let order = &download.order;
                order.is_default && download.state.is_open() && order.eid.is_none_or(|of| of == *eid)
            }
        });
        let (position, download) = named.next_back().ok_or(REFUSED)?;
        if download.order.eid.is_some_and(|of| of != *eid) {
            return Err(Refusal::new("8.1.1", "3.8"));
        }
        if download.wrong_codes >= download.order.cc_attempts && download.order.confirmation_code.is_some() {
            return Err(Refusal::new("8.8.5", "6.4"));
        }
        if download.state.is_open() { Ok(position) } else { Err(REFUSED) }
    }

    fn binding_identity(&self) -> Result<ServerIdentity, Refusal> {
        self.core.identity(ServerCertificateRole::DpPb, self.core.faults.pb_certificate)
    }

    fn get_bound_profile_package(&mut self, request: &Value) -> Result<Value, Refusal> {
        let transaction_id = json::transaction_id(request)?;
        let session = self.core.open_session(&transaction_id)?;
        let euicc = session.euicc.as_ref().ok_or(Refusal::UNKNOWN_TRANSACTION)?;
        let octets = json::octets(request, "prepareDownloadResponse")?;
        let response: PrepareDownloadResponse = asn1::decode(&octets).map_err(|_| Refusal::INVALID)?;
        let response = match response {
            PrepareDownloadResponse::DownloadResponseOk(response) => response,
            PrepareDownloadResponse::DownloadResponseError(_) => return Err(Refusal::new("8.1", "4.2")),
            PrepareDownloadResponse::CompactDownloadResponseOk(_) => return Err(Refusal::INVALID),
        };
        let (signed, signature) = (&response.euicc_signed2, response.euicc_signature2.as_slice());
        let verified = verify_euicc_signed2(&euicc.chain, signed, signature, &euicc.smdp_signature2)
            .map_err(|_| Refusal::SIGNATURE)?;
        let signed = verified.value();
        if signed.transaction_id.as_slice() != transaction_id {
            return Err(Refusal::UNKNOWN_TRANSACTION);
        }
        let download = self.downloads.get_mut(euicc.order).ok_or(Refusal::EXECUTION)?;
        check_confirmation_code(download, signed, &transaction_id)?;
        let bpp = match &euicc.bound {
            Some((otpk, bpp)) if otpk.as_slice() == signed.euicc_otpk.as_slice() => bpp.clone(),
            _ => self.bind(&transaction_id, signed.euicc_otpk.as_slice())?,
        };
        let session = self.core.open_session(&transaction_id)?;
        if let Some(euicc) = &mut session.euicc {
            euicc.bound = Some((signed.euicc_otpk.as_slice().to_vec(), bpp.clone()));
            if let Some(download) = self.downloads.get_mut(euicc.order) {
                download.state = OrderState::Bound;
            }
        }
        Ok(json!({
            "transactionId":
                self.core.shown_transaction_id(RspFunction::GetBoundProfilePackage, &transaction_id),
            "boundProfilePackage": base64(&self.damaged(bpp), self.core.faults.line_breaks),
        }))
    }

    fn bind(&self, transaction_id: &[u8], euicc_otpk: &[u8]) -> Result<Vec<u8>, Refusal> {
        let session = self.core.sessions.get(transaction_id).ok_or(Refusal::UNKNOWN_TRANSACTION)?;
        let euicc = session.euicc.as_ref().ok_or(Refusal::UNKNOWN_TRANSACTION)?;
        let order = &self.downloads.get(euicc.order).ok_or(Refusal::EXECUTION)?.order;
        let bound_id = if self.core.faults.wrong_bpp_transaction_id {
            other_octets(transaction_id)
        } else {
            transaction_id.to_vec()
        };
        bind(&BindRequest {
            transaction_id: &bound_id,
            eid: *euicc.eid.octets(),
            euicc_otpk,
            smdp_ot_secret: self.core.made_up(session.number, "otSK.DP.ECKA"),
            pb_key: &self.binding_identity()?.key,
            metadata: &order.metadata().map_err(|_| Refusal::EXECUTION)?,
            profile: &order.profile(),
            protection_keys: order.protection_keys,
        })
        .map_err(|_| Refusal::INVALID)
    }

    fn damaged(&self, mut bpp: Vec<u8>) -> Vec<u8> {
        if self.core.faults.corrupt_bpp_mac
            && let Some(last) = bpp.last_mut()
        {
            *last ^= 1;
        }
        if self.core.faults.unknown_bpp_tag {
            bpp = with_unknown_tag(&bpp).unwrap_or(bpp);
        }
        if self.core.faults.truncated_bpp {
            bpp.truncate(bpp.len() / 2);
        }
        bpp
    }

    fn handle_notification(&mut self, request: &Value) -> Result<(), Refusal> {
        let octets = json::octets(request, "pendingNotification")?;
        let notification: PendingNotification = asn1::decode(&octets).map_err(|_| Refusal::INVALID)?;
        match &notification {
            PendingNotification::ProfileInstallationResult(result) => self.installation_result(result)?,
            PendingNotification::OtherSignedNotification(notification) => self.notification(notification)?,
            _ => return Err(Refusal::INVALID),
        }
        self.notifications.push(octets);
        Ok(())
    }

    fn installation_result(&mut self, result: &ProfileInstallationResult) -> Result<(), Refusal> {
        let transaction_id = result.profile_installation_result_data.value().transaction_id.as_slice();
        let session = self.core.sessions.get(transaction_id).ok_or(Refusal::UNKNOWN_TRANSACTION)?;
        let euicc = session.euicc.as_ref().ok_or(Refusal::UNKNOWN_TRANSACTION)?;
        let verified = verify_installation_result(&euicc.chain, result).map_err(|_| Refusal::SIGNATURE)?;
        if verified.value().smdp_oid.to_string() != self.core.oid {
            return Err(Refusal::new("8.8", "3.10"));
        }
        if let Some(download) = self.downloads.get_mut(euicc.order) {
            download.state = match verified.value().final_result {
                FinalResult::SuccessResult(_) => OrderState::Installed,
                FinalResult::ErrorResult(_) => OrderState::Failed,
            };
        }
        if let Some(session) = self.core.sessions.get_mut(transaction_id) {
            session.is_closed = true;
        }
        Ok(())
    }

    fn notification(&self, notification: &OtherSignedNotification) -> Result<(), Refusal> {
        let eid = euicc_certificate_eid(notification.euicc_certificate.der()).map_err(|_| Refusal::SIGNATURE)?;
        let now = self.core.now.parse().map_err(|_| Refusal::EXECUTION)?;
        verify_notification(&self.core.trust, notification, now, &eid).map_err(|_| Refusal::SIGNATURE)?;
        Ok(())
    }

    fn cancel_session(&mut self, request: &Value) -> Result<(), Refusal> {
        let transaction_id = json::transaction_id(request)?;
        let own_oid = self.core.oid.clone();
        let session = self.core.open_session(&transaction_id)?;
        let euicc = session.euicc.as_ref().ok_or(Refusal::SIGNATURE)?;
        let octets = json::octets(request, "cancelSessionResponse")?;
        let response: CancelSessionResponse = asn1::decode(&octets).map_err(|_| Refusal::INVALID)?;
        let CancelSessionResponse::CancelSessionResponseOk(response) = response else {
            return Err(Refusal::SIGNATURE);
        };
        let signed = &response.euicc_cancel_session_signed;
        euicc
            .chain
            .key()
            .verify(signed.octets(), response.euicc_cancel_session_signature.as_slice())
            .map_err(|_| Refusal::SIGNATURE)?;
        if signed.value().transaction_id.as_slice() != transaction_id {
            return Err(Refusal::UNKNOWN_TRANSACTION);
        }
        if signed.value().smdp_oid.to_string() != own_oid {
            return Err(Refusal::new("8.8", "3.10"));
        }
        let order = euicc.order;
        session.is_closed = true;
        if let Some(download) = self.downloads.get_mut(order) {
            download.state = OrderState::Cancelled(signed.value().reason);
        }
        Ok(())
    }
}

/// The same package with a data object more, behind the metadata.
fn with_unknown_tag(bpp: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Tlv::only(bpp)?.children()?.iter().map(|part| part.octets).collect();
    let unknown = element(0xab, &[&element(0x8b, &[b"of no command"])]);
    let behind = parts.iter().position(|part| part.first() == Some(&0xa1))? + 1;
    parts.insert(behind, &unknown);
    Some(element(0xbf36, &parts))
}

/// hashCc of a download order that requires a code (SGP.22 v2.5 5.6.2).
fn check_confirmation_code(
    download: &mut Download,
    signed: &EUICCSigned2,
    transaction_id: &[u8],
) -> Result<(), Refusal> {
    let Some(code) = &download.order.confirmation_code else { return Ok(()) };
    if download.wrong_codes >= download.order.cc_attempts {
        return Err(Refusal::new("8.2.7", "6.4"));
    }
    let Some(found) = &signed.hash_cc else { return Err(Refusal::new("8.2.7", "2.2")) };
    if found.as_slice() == hash_cc(code, transaction_id) {
        return Ok(());
    }
    download.wrong_codes += 1;
    if download.wrong_codes < download.order.cc_attempts {
        return Err(Refusal::new("8.2.7", "3.8"));
    }
    download.state = OrderState::Failed;
    Err(Refusal::new("8.2.7", "6.4"))
}
