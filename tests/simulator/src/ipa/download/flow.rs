//! The steps of a download: common mutual authentication, download, installation, and cancellation where it fails
//! (SGP.32 v1.2 3.2.3.1 to 3.2.3.3; SGP.22 v2.5 3.0.1, 3.1.3).

use super::compact;
use super::messages::{self, Authenticated, Initiate, Initiated, Offer};
use super::options::{Compact, CtxParams1Source, DownloadStep, SmdpAddress};
use super::outcome::{Cancellation, DownloadError, DownloadOutcome};
use super::target::Target;
use super::trigger::Trigger;
use crate::euicc::Euicc;
use crate::ipa::{Binding, Function, Ipa, IpaError};
use crate::tlv::Tlv;
use eim_core::ids::Iccid;
use eim_core::pki::{Certificate, hash_cc};

/// An SM-DS may point to another one, but not for ever.
const MAX_SERVERS: usize = 4;

/// CancelSessionReason.
const POSTPONED: i64 = 1;
const PPR_NOT_ALLOWED: i64 = 3;
const METADATA_MISMATCH: i64 = 4;
const LOAD_BPP_EXECUTION_ERROR: i64 = 5;
const UNDEFINED_REASON: i64 = 127;

/// Why a download goes no further.
pub(super) enum Stop {
    Failed(DownloadStep, DownloadError),
    BrokenOff,
    /// The eIM can't be reached.
    Lost(IpaError),
}

enum Next {
    Installed,
    Elsewhere(Target),
}

/// A download under way.
pub(super) struct Flow<'a> {
    pub ipa: &'a mut Ipa,
    pub euicc: &'a mut Euicc,
    pub direct: bool,
    pub outcome: DownloadOutcome,
    /// eimTransactionId of the last trigger that had one.
    pub eim_transaction_id: Option<Vec<u8>>,
}

impl Flow<'_> {
    /// From the trigger to an installed, or not installed, profile. What fails after authentication is cancelled.
    pub async fn run(&mut self, trigger: &Trigger) -> Result<(), Stop> {
        self.done(DownloadStep::Trigger)?;
        let mut target = Target::of(trigger, self.euicc, None);
        for _ in 0..MAX_SERVERS {
            self.eim_transaction_id.clone_from(&target.eim_transaction_id);
            match self.session(&target).await {
                Ok(Next::Installed) => return Ok(()),
                Ok(Next::Elsewhere(next)) => target = next,
                Err(Stop::Failed(step, error)) => {
                    if let Some(reason) = self.cancel_reason(step, &error) {
                        self.cancel(&target, reason).await?;
                    }
                    return Err(Stop::Failed(step, error));
                }
                Err(stop) => return Err(stop),
            }
        }
        Err(Stop::Failed(DownloadStep::AuthenticateClient, DownloadError::NoEvent))
    }

    async fn session(&mut self, target: &Target) -> Result<Next, Stop> {
        let initiated = self.initiate(target).await?;
        let (transaction_id, own_context) = self.authenticate_server(target, &initiated)?;
        let offer = match self.authenticate_client(target, &transaction_id, own_context).await? {
            Authenticated::Download(offer) => offer,
            Authenticated::Events(events) => {
                self.outcome.events.clone_from(&events);
                let first = events.into_iter().next();
                return first.map(|event| Next::Elsewhere(target.event(event))).ok_or_else(no_event);
            }
            Authenticated::Trigger(trigger) => {
                let trigger = trigger.as_deref().and_then(Trigger::read).ok_or_else(no_event)?;
                let eim_transaction_id = target.eim_transaction_id.clone();
                return Ok(Next::Elsewhere(Target::of(&trigger, self.euicc, eim_transaction_id)));
            }
        };
        self.outcome.metadata.clone_from(&offer.metadata);
        self.outcome.smdp_signed2 = Some(offer.smdp_signed2.clone());
        self.outcome.eim_hash_cc = offer.hash_cc;
        if let Some(reason) = self.ipa.behaviour.download_options.cancel_with {
            return Err(Stop::Failed(DownloadStep::PrepareDownload, DownloadError::Cancelled(reason)));
        }
        let prepared = self.prepare(&transaction_id, &offer)?;
        let package = self.get_package(target, &transaction_id, &prepared).await?;
        if let Some(reason) = self.ipa.behaviour.download_options.cancel_package_with {
            return Err(Stop::Failed(DownloadStep::Install, DownloadError::Cancelled(reason)));
        }
        self.install(&package)?;
        Ok(Next::Installed)
    }

    async fn initiate(&mut self, target: &Target) -> Result<Initiated, Stop> {
        let step = DownloadStep::InitiateAuthentication;
        let failed = |error| Stop::Failed(step, error);
        let challenge = self.euicc.get_euicc_challenge();
        self.outcome.euicc_challenge = Some(challenge);
        let info1 = self.euicc.euicc_info1().map_err(|_| failed(DownloadError::Protocol("euiccInfo1")))?;
        let options = &self.ipa.behaviour.download_options;
        let request = if self.direct {
            let address = target.address.as_deref().ok_or(failed(DownloadError::NoAddress))?;
            self.outcome.servers.push(address.to_owned());
            Initiate { challenge: &challenge, address: Some(address), info1: Some(&info1), eim_transaction_id: None }
        } else {
            Initiate {
                challenge: &challenge,
                address: match &options.smdp_address {
                    SmdpAddress::FromTrigger => target.address.as_deref(),
                    SmdpAddress::Absent => None,
                    SmdpAddress::Other(address) => Some(address),
                },
                info1: Some(&info1[..]).filter(|_| options.send_euicc_info1),
                eim_transaction_id: target.eim_transaction_id.as_deref().filter(|_| options.send_eim_transaction_id),
            }
        };
        let body = messages::initiate(self.binding(), &request);
        let answer = self.call(target, Function::InitiateAuthentication, step, body).await?;
        let initiated = messages::read_initiated(self.binding(), &answer).map_err(failed)?;
        self.outcome.server_signed1 = Some(initiated.server_signed1.clone());
        self.outcome.eim_matching_id.clone_from(&initiated.matching_id);
        self.outcome.eim_ctx_params1.clone_from(&initiated.ctx_params1);
        self.done(step)?;
        Ok(initiated)
    }

    /// Gives the transactionId, and whether ctxParams1 is our own. The eUICC's answer is in the outcome, error or not.
    fn authenticate_server(&mut self, target: &Target, initiated: &Initiated) -> Result<(Vec<u8>, bool), Stop> {
        let failed = |what| Stop::Failed(DownloadStep::AuthenticateServer, what);
        let signed = Tlv::only(&initiated.server_signed1).ok_or(failed(DownloadError::Protocol("serverSigned1")))?;
        let inner = signed.child(0x80).map(|tlv| tlv.content.to_vec());
        if self.direct {
            check_server(target, initiated, &signed).map_err(failed)?;
        }
        let transaction_id = initiated.transaction_id.clone().or(inner);
        let transaction_id = transaction_id.ok_or(failed(DownloadError::Protocol("transactionId")))?;
        self.outcome.transaction_id = Some(transaction_id.clone());
        let wanted = self.ipa.behaviour.download_options.ctx_params1 == CtxParams1Source::EimWhenGiven;
        let given = initiated.ctx_params1.clone().filter(|_| wanted);
        let own_context = given.is_none();
        let matching_id = target.matching_id.as_deref().or(initiated.matching_id.as_deref());
        let unwritten = |_| failed(DownloadError::Protocol("ctxParams1"));
        let ctx_params1 = match given {
            Some(given) => given,
            None => self.ipa.behaviour.device.ctx_params1(matching_id).map_err(unwritten)?,
        };
        let response = self.euicc.authenticate_server(
            &initiated.server_signed1,
            &initiated.server_signature1,
            &initiated.ci_pk_id,
            &initiated.server_certificate,
            &ctx_params1,
        );
        let response = response.map_err(|_| failed(DownloadError::Protocol("serverSigned1")))?;
        self.outcome.full_authenticate_server_response = Some(response);
        Ok((transaction_id, own_context))
    }

    /// Brings the eUICC's answer, also when it is an error; that is the end then.
    async fn authenticate_client(
        &mut self,
        target: &Target,
        transaction_id: &[u8],
        own_context: bool,
    ) -> Result<Authenticated, Stop> {
        let step = DownloadStep::AuthenticateClient;
        let full = self.outcome.full_authenticate_server_response.clone().unwrap_or_default();
        let refusal = error_arm(&full);
        let sent = match self.compact() {
            Compact::No => full,
            compact => compact::authenticate_response(&full, compact == Compact::WithCertificates, own_context),
        };
        self.outcome.authenticate_server_response = Some(sent.clone());
        if refusal.is_none() {
            self.done(DownloadStep::AuthenticateServer)?;
        }
        let body = messages::with_response(self.binding(), transaction_id, &sent);
        let answer = self.call(target, Function::AuthenticateClient, step, body).await;
        if let Some(code) = refusal {
            return Err(Stop::Failed(DownloadStep::AuthenticateServer, DownloadError::Euicc(code)));
        }
        let authenticated = messages::read_authenticated(self.binding(), &answer?);
        let authenticated = authenticated.map_err(|error| Stop::Failed(step, error))?;
        self.done(step)?;
        Ok(authenticated)
    }

    /// Gives the `BF21` as it is to be sent, its error arm among it.
    fn prepare(&mut self, transaction_id: &[u8], offer: &Offer) -> Result<Vec<u8>, Stop> {
        let signed = Tlv::only(&offer.smdp_signed2);
        let field = |tag| signed.and_then(|signed| signed.child(tag)).map(|tlv| tlv.content);
        let code_required = field(0x01).is_some_and(|flag| flag != [0]);
        let own = self.ipa.behaviour.download_options.confirmation_code.as_ref();
        let own = own.map(|code| hash_cc(code.reveal(), transaction_id));
        let hash = own.or(offer.hash_cc).filter(|_| code_required);
        let response =
            self.euicc.prepare_download(&offer.smdp_signed2, &offer.smdp_signature2, &offer.smdp_certificate, hash);
        let unread = |_| Stop::Failed(DownloadStep::PrepareDownload, DownloadError::Protocol("smdpSigned2"));
        let full = response.map_err(unread)?;
        let sent = match self.compact() {
            Compact::No => full.clone(),
            _ => {
                let own_key = field(0x5f49).is_none_or(|known| otpk(&full) != Some(known));
                compact::prepare_response(&full, own_key, hash != offer.hash_cc)
            }
        };
        self.outcome.full_prepare_download_response = Some(full);
        self.outcome.prepare_download_response = Some(sent.clone());
        Ok(sent)
    }

    async fn get_package(&mut self, target: &Target, transaction_id: &[u8], prepared: &[u8]) -> Result<Vec<u8>, Stop> {
        let step = DownloadStep::GetBoundProfilePackage;
        let refusal = error_arm(prepared);
        if refusal.is_none() {
            self.done(DownloadStep::PrepareDownload)?;
        }
        let body = messages::with_response(self.binding(), transaction_id, prepared);
        let answer = self.call(target, Function::GetBoundProfilePackage, step, body).await;
        if let Some(code) = refusal {
            return Err(Stop::Failed(DownloadStep::PrepareDownload, DownloadError::Euicc(code)));
        }
        let package = messages::read_package(self.binding(), &answer?).map_err(|error| Stop::Failed(step, error))?;
        self.outcome.bound_profile_package = Some(package.clone());
        self.done(step)?;
        Ok(package)
    }

    fn install(&mut self, package: &[u8]) -> Result<(), Stop> {
        let step = DownloadStep::Install;
        let unread = || Stop::Failed(step, DownloadError::Protocol("a bound profile package"));
        // what is no data object can't be cut into segments for the card
        let package = Tlv::only(package).filter(|tlv| tlv.tag == 0xbf36).ok_or_else(unread)?;
        // nor what belongs to no command of the card (SGP.22 v2.5 2.5.5)
        let is_command = |tlv: &Tlv<'_>| [0xbf23, 0xa0, 0xa1, 0xa2, 0xa3].contains(&tlv.tag);
        if !package.children().is_none_or(|parts| parts.iter().all(is_command)) {
            return Err(unread());
        }
        let result = self.euicc.load_bound_profile_package(package.octets).map_err(|_| unread())?;
        let data = Tlv::only(&result).and_then(|result| result.child(0xbf27));
        let iccid = data.and_then(|data| data.child(0xbf2f)?.child(0x5a)).map(|tlv| Iccid::from_octets(tlv.content));
        let refusal = data.and_then(|data| data.child(0xa2)?.child(0xa1)).map(|error| {
            let number = |tag| error.child(tag).and_then(|tlv| tlv.integer()).unwrap_or(127);
            DownloadError::Installation { command: number(0x80), reason: number(0x81) }
        });
        self.outcome.pir = Some(result.clone());
        match refusal {
            Some(error) => {
                self.outcome.error = Some((step, error));
                Ok(())
            }
            None => {
                self.outcome.iccid = iccid.and_then(Result::ok);
                self.done(step)
            }
        }
    }

    /// The reason to cancel for, if there is something to cancel and somebody to tell.
    fn cancel_reason(&self, step: DownloadStep, error: &DownloadError) -> Option<i64> {
        let subject = |subject: &str| matches!(error, DownloadError::Status { subject: found, .. } if found == subject);
        let refused = *error == DownloadError::Refused(50);
        // confirmationCodeMissing(2), confirmationCodeRefused(3)
        let code_refused = matches!(error, DownloadError::Refused(2 | 3)) || subject("8.2.7");
        let another_code = code_refused && self.ipa.behaviour.download_options.tries_another_code;
        let reason = match (step, error) {
            (_, DownloadError::Unreachable(_) | DownloadError::Euicc(_)) => return None,
            (_, DownloadError::Cancelled(reason)) => *reason,
            (DownloadStep::AuthenticateClient, _) if refused || subject("8.2.8") => PPR_NOT_ALLOWED,
            (DownloadStep::GetBoundProfilePackage, _) if refused || subject("8.2.9") => METADATA_MISMATCH,
            (DownloadStep::GetBoundProfilePackage, _) if another_code => POSTPONED,
            (DownloadStep::Install, _) => LOAD_BPP_EXECUTION_ERROR,
            _ => UNDEFINED_REASON,
        };
        Some(reason).filter(|_| self.euicc.has_cancellable_session())
    }

    async fn cancel(&mut self, target: &Target, reason: i64) -> Result<(), Stop> {
        let step = DownloadStep::CancelSession;
        let transaction_id = self.outcome.transaction_id.clone().unwrap_or_default();
        let response = self.euicc.cancel_session(&transaction_id, reason);
        let response = if self.compact() == Compact::No { response } else { compact::cancel_response(&response) };
        let body = messages::cancel(self.binding(), &transaction_id, &response);
        let answer = match self.call(target, Function::CancelSession, step, body).await {
            Ok(answer) => messages::read_cancelled(self.binding(), &answer),
            Err(Stop::Failed(_, error)) => Err(error),
            Err(stop) => return Err(stop),
        };
        self.outcome.cancellation = Some(Cancellation { reason, response, error: answer.err() });
        self.done(step)
    }

    /// Calls a function at the eIM, or at the server itself.
    async fn call(
        &mut self,
        target: &Target,
        function: Function,
        step: DownloadStep,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Stop> {
        let failed = |error| Stop::Failed(step, error);
        let (status, answer) = if self.direct {
            let address = target.address.as_deref().ok_or(failed(DownloadError::NoAddress))?;
            let answered = self.ipa.call_server(address, function, body).await;
            answered.map_err(|error| failed(DownloadError::Unreachable(error.to_string())))?
        } else {
            self.ipa.call(function, body).await.map_err(Stop::Lost)?
        };
        match status {
            200 => Ok(answer),
            503 if !self.direct && self.ipa.behaviour.download_options.waits_for_eim => {
                Err(Stop::Lost(IpaError::Status { status }))
            }
            status => Err(failed(DownloadError::Http(status))),
        }
    }

    fn done(&mut self, step: DownloadStep) -> Result<(), Stop> {
        self.outcome.steps.push(step);
        if self.ipa.behaviour.download_options.stop_after == Some(step) { Err(Stop::BrokenOff) } else { Ok(()) }
    }

    fn binding(&self) -> Binding {
        if self.direct { Binding::Json } else { self.ipa.config.binding }
    }

    fn compact(&self) -> Compact {
        if self.direct { Compact::No } else { self.ipa.behaviour.download_options.compact }
    }
}

fn no_event() -> Stop {
    Stop::Failed(DownloadStep::AuthenticateClient, DownloadError::NoEvent)
}

/// What an IPA without an eIM in between has to compare (SGP.22 v2.5 3.0.1, 3.1.3).
fn check_server(target: &Target, initiated: &Initiated, signed: &Tlv<'_>) -> Result<(), DownloadError> {
    let text = signed.child(0x83).and_then(|tlv| std::str::from_utf8(tlv.content).ok());
    let same = |address: &String| text.is_some_and(|text| text.eq_ignore_ascii_case(address));
    if !target.address.as_ref().is_some_and(same) {
        return Err(DownloadError::WrongServer);
    }
    let inner = signed.child(0x80).map(|tlv| tlv.content);
    if initiated.transaction_id.as_deref().is_some_and(|outer| Some(outer) != inner) {
        return Err(DownloadError::Protocol("transactionId"));
    }
    let Some(oid) = &target.oid else { return Ok(()) };
    let certificate = Certificate::parse(&initiated.server_certificate).ok();
    let shown = certificate.is_some_and(|certificate| {
        certificate.extensions().registered_ids.first().is_some_and(|shown| shown.to_string() == *oid)
    });
    if shown { Ok(()) } else { Err(DownloadError::WrongServer) }
}

/// The code in `tag { A1 { 80 tx, 02 code } }`.
fn error_arm(response: &[u8]) -> Option<i64> {
    let arm = Tlv::only(Tlv::only(response)?.content).filter(|arm| arm.tag == 0xa1)?;
    arm.child(0x02)?.integer()
}

/// euiccOtpk of `BF21 { A0 { 30 { 80, 5F49, 04? }, 5F37 } }`.
fn otpk(response: &[u8]) -> Option<&[u8]> {
    let arm = Tlv::only(Tlv::only(response)?.content)?;
    Some(arm.child(0x30)?.child(0x5f49)?.content)
}
