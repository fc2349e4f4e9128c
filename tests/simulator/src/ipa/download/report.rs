//! What an IPA says after a download, and to whom (SGP.32 v1.2 3.2.3.1, 3.2.3.2).

use super::compact;
use super::flow::{Flow, Stop};
use super::options::{Compact, DownloadMode, DownloadStep};
use super::outcome::{DownloadError, DownloadOutcome};
use super::trigger::{self, Source, Trigger};
use crate::euicc::{DeviceDescription, Euicc, NotificationKind};
use crate::ipa::{Answer, Function, Ipa, IpaError, binding};
use crate::tlv::Tlv;

const ECALL_ACTIVE: i64 = 104;
const UNDEFINED_ERROR: i64 = 127;

/// What is left to do for the poll that brought the trigger.
#[derive(Default)]
pub(in crate::ipa) struct Report {
    /// The ProfileDownloadTriggerResult that is to be delivered.
    pub result: Option<Vec<u8>>,
    /// The eIM's answer to what was delivered already.
    pub answer: Option<Answer>,
    /// The seqNumbers that were removed from the eUICC.
    pub removed: Vec<i64>,
    /// The seqNumber to remove when the result was delivered.
    pub delivered_by_result: Option<i64>,
}

impl Ipa {
    /// Does what a trigger wants, and leaves in [`Ipa::last_download`] what came of it.
    pub(in crate::ipa) async fn download(&mut self, euicc: &mut Euicc, request: &[u8]) -> Result<Report, IpaError> {
        self.last_download = None;
        let trigger = Trigger::read(request);
        let mode = trigger.as_ref().map_or(DownloadMode::Refuse, |trigger| self.download_mode(trigger));
        let (Some(trigger), true) = (trigger, mode != DownloadMode::Refuse) else {
            return Ok(Report { result: Some(trigger::refuse(request)), ..Report::default() });
        };
        let mut flow = Flow {
            direct: mode == DownloadMode::Direct,
            outcome: DownloadOutcome { mode, ..DownloadOutcome::default() },
            eim_transaction_id: trigger.eim_transaction_id.clone(),
            ipa: self,
            euicc,
        };
        let end = if flow.euicc.is_ecall_active() {
            Err(Stop::Failed(DownloadStep::Trigger, DownloadError::EcallActive))
        } else {
            flow.run(&trigger).await
        };
        let report = match end {
            Ok(()) => flow.installation().await,
            Err(Stop::Failed(step, error)) => Ok(flow.failure(step, error)),
            Err(Stop::BrokenOff) => {
                flow.outcome.stopped = true;
                Ok(Report::default())
            }
            Err(Stop::Lost(error)) => {
                let step = flow.outcome.steps.last().copied().unwrap_or(DownloadStep::Trigger);
                flow.outcome.error = Some((step, DownloadError::Unreachable(error.to_string())));
                Err(error)
            }
        };
        let outcome = flow.outcome;
        self.last_download = Some(outcome);
        report
    }

    fn download_mode(&self, trigger: &Trigger) -> DownloadMode {
        let direct = self.behaviour.device.has_feature(DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION);
        match self.behaviour.download {
            DownloadMode::Auto if trigger.source == Source::Held || !direct => DownloadMode::Indirect,
            DownloadMode::Auto => DownloadMode::Direct,
            mode => mode,
        }
    }
}

impl Flow<'_> {
    fn failure(&mut self, step: DownloadStep, error: DownloadError) -> Report {
        let reason = if error == DownloadError::EcallActive { ECALL_ACTIVE } else { UNDEFINED_ERROR };
        let response = match (step, &error) {
            (DownloadStep::AuthenticateServer, DownloadError::Euicc(_)) => {
                self.outcome.full_authenticate_server_response.as_deref()
            }
            (_, DownloadError::Euicc(_)) => self.outcome.full_prepare_download_response.as_deref(),
            _ => None,
        };
        let result = trigger::failed(self.eim_transaction_id.as_deref(), reason, response);
        let result = Some(result).filter(|_| self.ipa.behaviour.download_options.report_failure);
        self.outcome.error = Some((step, error));
        Report { result, ..Report::default() }
    }

    /// Brings the Profile Installation Result, good or bad, to where it belongs.
    async fn installation(&mut self) -> Result<Report, IpaError> {
        let pir = self.outcome.pir.clone().unwrap_or_default();
        let result = || Some(trigger::installed(self.eim_transaction_id.as_deref(), &pir));
        let ours = self.euicc.notifications().iter().find(|found| found.octets == pir).map(|found| found.seq_number);
        if self.direct {
            let result = result();
            let removed = self.notify_server().await;
            return Ok(Report { result, removed, ..Report::default() });
        }
        if self.ipa.behaviour.download_options.pir_in_result {
            return Ok(Report { result: result(), delivered_by_result: ours, ..Report::default() });
        }
        if self.ipa.behaviour.lose_result {
            return Ok(Report::default());
        }
        let sent = match self.ipa.behaviour.download_options.compact {
            Compact::No => pir,
            _ => compact::notification(&pir, &self.euicc.eid()),
        };
        self.outcome.sent_notification = Some(sent.clone());
        let body = binding::handle_notification(self.ipa.config.binding, &sent);
        let called = self.ipa.call(Function::HandleNotification, body).await;
        let failed = match called {
            Ok((204, _)) => {
                self.outcome.steps.push(DownloadStep::HandleNotification);
                let kept = self.ipa.behaviour.lose_acknowledgement;
                let removed = ours.filter(|number| !kept && self.euicc.remove_notification(*number));
                let removed = removed.into_iter().collect();
                return Ok(Report { answer: Some(Answer::NoContent), removed, ..Report::default() });
            }
            Ok((status, _)) => (DownloadError::Http(status), IpaError::Status { status }),
            Err(error) => (DownloadError::Unreachable(error.to_string()), error),
        };
        self.outcome.error.get_or_insert((DownloadStep::HandleNotification, failed.0));
        Err(failed.1)
    }

    /// Brings the Profile Installation Result, and what else this installation has to tell the SM-DP+, to the SM-DP+.
    /// What it does not take stays on the eUICC.
    async fn notify_server(&mut self) -> Vec<i64> {
        let Some(server) = self.outcome.servers.last().cloned() else { return Vec::new() };
        let pir = self.outcome.pir.clone();
        let pending = self.euicc.notifications().to_vec();
        let first = pending.iter().position(|found| Some(&found.octets) == pir.as_ref()).unwrap_or(pending.len());
        let mut removed = Vec::new();
        for notification in pending.iter().skip(first) {
            let is_result = notification.kind == NotificationKind::InstallationResult;
            let address = address(&notification.octets);
            if !is_result && !address.is_some_and(|address| address.eq_ignore_ascii_case(&server)) {
                continue;
            }
            let body = binding::handle_notification(binding::Binding::Json, &notification.octets);
            let error = match self.ipa.call_server(&server, Function::HandleNotification, body).await {
                Ok((200 | 204, _)) => {
                    if is_result {
                        self.outcome.steps.push(DownloadStep::HandleNotification);
                        self.outcome.sent_notification = Some(notification.octets.clone());
                    }
                    if self.euicc.remove_notification(notification.seq_number) {
                        removed.push(notification.seq_number);
                    }
                    continue;
                }
                Ok((status, _)) => DownloadError::Http(status),
                Err(error) => DownloadError::Unreachable(error.to_string()),
            };
            self.outcome.error.get_or_insert((DownloadStep::HandleNotification, error));
        }
        removed
    }
}

/// notificationAddress of an otherSignedNotification.
fn address(notification: &[u8]) -> Option<&str> {
    let metadata = Tlv::only(notification)?.child(0xbf2f)?;
    std::str::from_utf8(metadata.child(0x0c)?.content).ok()
}
