//! What an IPA brings back: verified, applied and stored, in whichever message it comes.

use super::installation_result::{self, Arrival, Before, Way};
use super::received_notification;
use super::{DECIDED_AGAIN, EsipaError, home};
use crate::Eim;
use crate::asn1::{
    self, EimPackageResult, EuiccPackageErrorSigned, EuiccPackageResult, EuiccPackageResultSigned, IpaEuiccData,
    IpaEuiccDataResponse, Lenient, PendingNotification, ProfileDownloadTriggerResult,
    ProfileDownloadTriggerResultData as Data, ProfileInstallationResult, Raw,
};
use crate::domain::apply::{self, Answer};
use crate::domain::data::{self, Certificates};
use crate::domain::{Kind, Operation, Received, ReceivedKind, ReceivedStatus, ResultPolicy, Snapshot, Work, download};
use crate::ids::{Eid, EimTransactionId, SeqNumber, TransactionId};
use crate::pki::{self, Accepted, LabPolicy, Leniency, TrustError, VerifiedChain, accept_unverified};
use crate::store::{ResultKeys, Saved};
use std::collections::HashSet;

/// What became of a message.
pub(super) enum Processed {
    /// It is stored; these numbers may be acknowledged.
    Stored { acknowledge: Vec<SeqNumber> },
    /// The eUICC is not known; nothing was stored.
    UnknownEuicc,
    /// It holds more, or larger things, than any device sends; nothing was stored.
    TooMuch,
}

/// How many results and notifications one message may hold, and how large each may be. Every one costs a verification and
/// a row.
const RESULTS_MAX: usize = 64;
const NOTIFICATIONS_MAX: usize = 128;
const OBJECT_MAX_BYTES: usize = 256 * 1024;

/// A message taken apart.
#[derive(Default)]
struct Parts<'a> {
    results: Vec<&'a Lenient<EuiccPackageResult>>,
    single: Option<&'a EuiccPackageResult>,
    notifications: Vec<&'a Lenient<Raw<PendingNotification>>>,
    data: Option<&'a IpaEuiccData>,
    data_error: Option<&'a asn1::IpaEuiccDataResponseError>,
    download: Option<&'a ProfileDownloadTriggerResult>,
    ipa_error: Option<&'a asn1::EimPackageResultResponseError>,
    unknown: Option<&'a [u8]>,
}

pub(super) async fn process(eid: Eid, result: &Lenient<EimPackageResult>, eim: &Eim) -> Result<Processed, EsipaError> {
    let mut parts = Parts::default();
    match result {
        Lenient::Unknown(unknown) => parts.unknown = Some(unknown.octets()),
        Lenient::Known(EimPackageResult::EuiccPackageResult(result)) => parts.single = Some(result),
        Lenient::Known(EimPackageResult::EPRAndNotifications(both)) => {
            parts.results.push(&both.euicc_package_result);
            parts.notifications = both.notification_list.iter().collect();
            parts.notifications.sort_by_key(|notification| received_notification::seq_number(notification));
        }
        Lenient::Known(EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccData(data))) => {
            parts.results = data.euicc_package_result_list.iter().flatten().collect();
            // Applied in the order in which the packages were made, whatever the order in which they were stored.
            parts.results.sort_by_key(|result| counter(result));
            parts.notifications = data.notifications_list.iter().flatten().collect();
            parts.notifications.sort_by_key(|notification| received_notification::seq_number(notification));
            parts.data = Some(data);
        }
        Lenient::Known(EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccDataResponseError(
            error,
        ))) => {
            parts.data_error = Some(error);
        }
        Lenient::Known(EimPackageResult::ProfileDownloadTriggerResult(result)) => parts.download = Some(result),
        Lenient::Known(EimPackageResult::EimPackageResultResponseError(error)) => parts.ipa_error = Some(error),
    }
    store(eid, &parts, eim).await
}

/// A single notification, outside of any result.
pub(super) async fn notification(
    eid: Eid,
    notification: &Lenient<Raw<PendingNotification>>,
    eim: &Eim,
) -> Result<Processed, EsipaError> {
    store(eid, &Parts { notifications: vec![notification], ..Parts::default() }, eim).await
}

async fn store(eid: Eid, parts: &Parts<'_>, eim: &Eim) -> Result<Processed, EsipaError> {
    if parts.results.len() > RESULTS_MAX || parts.notifications.len() > NOTIFICATIONS_MAX {
        return Ok(Processed::TooMuch);
    }
    let keys = keys(parts)?;
    if keys.octets.iter().any(|octets| octets.len() > OBJECT_MAX_BYTES) {
        return Ok(Processed::TooMuch);
    }
    let eim = &home(&eid, eim).await?;
    for _ in 0..DECIDED_AGAIN {
        let now = eim.clock().now_ms();
        let Some((snapshot, before)) = eim.store().result_snapshot(eid, keys.clone(), now).await? else {
            return Ok(Processed::UnknownEuicc);
        };
        let version = snapshot.euicc.version;
        let foreign = foreign(&snapshot, &keys, eim).await?;
        let mut visit = Visit::new(snapshot, before, parts.data, now, eim);
        visit.foreign = foreign;
        visit.take(parts)?;
        let Visit { work, mut acknowledge, .. } = visit;
        // A number is said once, in the order of the first time.
        let mut said = HashSet::new();
        acknowledge.retain(|number| said.insert(*number));
        let changes = work.finish();
        if changes.is_empty() || eim.save(eid, version, changes, now).await? == Saved::Done {
            return Ok(Processed::Stored { acknowledge });
        }
    }
    Err(EsipaError::Contended { function: "provideEimPackageResult" })
}

/// The transactions among those named that belong to another eUICC.
async fn foreign(
    snapshot: &Snapshot,
    keys: &ResultKeys,
    eim: &Eim,
) -> Result<Vec<(EimTransactionId, Eid)>, EsipaError> {
    let mut found = Vec::new();
    for transaction in &keys.transactions {
        let own = |operation: &Operation| operation.eim_transaction_id.as_ref() == Some(transaction);
        if snapshot.operations.iter().any(own) {
            continue;
        }
        let owner = eim.store().eid_of_transaction(transaction).await?;
        found.extend(owner.filter(|owner| *owner != snapshot.euicc.eid).map(|owner| (transaction.clone(), owner)));
    }
    Ok(found)
}

fn counter(result: &Lenient<EuiccPackageResult>) -> i64 {
    match result {
        Lenient::Known(EuiccPackageResult::EuiccPackageResultSigned(signed)) => {
            signed.euicc_package_result_data_signed.value().counter_value
        }
        _ => i64::MAX,
    }
}

/// What the message names, so that it is loaded with the snapshot.
fn keys(parts: &Parts<'_>) -> Result<ResultKeys, EsipaError> {
    let mut keys = ResultKeys::default();
    let known = parts.results.iter().filter_map(|result| match result {
        Lenient::Known(result) => Some(result),
        Lenient::Unknown(_) => None,
    });
    for result in parts.single.into_iter().chain(known) {
        let (transaction, counter, identity) = match result {
            EuiccPackageResult::EuiccPackageResultSigned(signed) => {
                let raw = &signed.euicc_package_result_data_signed;
                let identity = Received::identity(ReceivedKind::PackageResult, raw.octets());
                (raw.value().eim_transaction_id.as_ref(), Some(raw.value().counter_value), Some(identity))
            }
            EuiccPackageResult::EuiccPackageErrorSigned(signed) => {
                let raw = &signed.euicc_package_error_data_signed;
                let identity = Received::identity(ReceivedKind::PackageError, raw.octets());
                (raw.value().eim_transaction_id.as_ref(), Some(raw.value().counter_value), Some(identity))
            }
            EuiccPackageResult::EuiccPackageErrorUnsigned(error) => (error.eim_transaction_id.as_ref(), None, None),
        };
        keys.identities.extend(identity);
        keys.transactions.extend(transaction.and_then(|octets| EimTransactionId::from_octets(octets).ok()));
        keys.counters.extend(counter);
        keys.octets.push(asn1::encode(result)?);
    }
    for notification in &parts.notifications {
        keys.octets.push(notification.octets().to_vec());
        keys.identities.extend(received_notification::identity(notification));
        match notification.value() {
            Some(PendingNotification::ProfileInstallationResult(result)) => name_session(result, &mut keys),
            Some(PendingNotification::CompactProfileInstallationResult(compact)) => {
                let named = &compact.compact_profile_installation_result_data.transaction_id;
                keys.sessions.extend(TransactionId::from_octets(named).ok());
            }
            _ => {}
        }
    }
    if let Some(result) = parts.download {
        keys.octets.push(asn1::encode(result)?);
        let named = result.eim_transaction_id.as_ref();
        keys.transactions.extend(named.and_then(|octets| EimTransactionId::from_octets(octets).ok()));
        if let Data::ProfileInstallationResult(result) = &result.profile_download_trigger_result_data {
            name_session(result, &mut keys);
        }
    }
    Ok(keys)
}

fn name_session(result: &ProfileInstallationResult, keys: &mut ResultKeys) {
    let data = &result.profile_installation_result_data;
    keys.identities.push(installation_result::identity(data));
    keys.sessions.extend(TransactionId::from_octets(&data.value().transaction_id).ok());
}

/// One message of one eUICC being taken in.
struct Visit<'a> {
    work: Work,
    before: Vec<Received>,
    chain: Option<Result<VerifiedChain, TrustError>>,
    certificates: Certificates,
    /// Transactions of other eUICCs that the message names.
    foreign: Vec<(EimTransactionId, Eid)>,
    lab: Option<&'a LabPolicy>,
    acknowledge: Vec<SeqNumber>,
    eim: &'a Eim,
}

impl<'a> Visit<'a> {
    fn new(snapshot: Snapshot, before: Vec<Received>, data: Option<&IpaEuiccData>, now: i64, eim: &'a Eim) -> Self {
        let (chain, certificates) = trust(&snapshot, data, eim);
        let lab = eim.lab().filter(|_| snapshot.euicc.result_policy == ResultPolicy::Lab);
        let work = eim.work(snapshot, now);
        Self { work, before, chain, certificates, foreign: vec![], lab, acknowledge: vec![], eim }
    }

    fn take(&mut self, parts: &Parts<'_>) -> Result<(), EsipaError> {
        // What is held, and compact forms, need the certificates that come with them.
        if matches!(self.certificates, Certificates::Trusted { .. }) {
            data::take_certificates(&mut self.work, self.certificates.clone());
        }
        if let Some(result) = parts.single {
            self.package_result(result, asn1::encode(result)?);
        }
        for result in &parts.results {
            match result {
                Lenient::Known(result) => self.package_result(result, asn1::encode(result)?),
                Lenient::Unknown(unknown) => self.unreadable(unknown.octets()),
            }
        }
        if let Some(octets) = parts.unknown {
            self.unreadable(octets);
        }
        self.verify_held();
        for notification in &parts.notifications {
            self.notification(notification);
        }
        if let Some(result) = parts.download {
            self.download_result(result, asn1::encode(result)?);
        }
        if let Some(data) = parts.data {
            let certificates = std::mem::replace(&mut self.certificates, Certificates::Absent);
            data::report(&mut self.work, data, certificates);
        }
        if let Some(error) = parts.data_error {
            data::error(&mut self.work, error.eim_transaction_id.as_ref(), error.ipa_euicc_data_error_code);
        }
        if let Some(error) = parts.ipa_error {
            apply::ipa_error(&mut self.work, error.eim_transaction_id.as_ref(), error.eim_package_result_error_code);
        }
        Ok(())
    }

    /// Results that were held are tried again wherever a chain is at hand.
    fn verify_held(&mut self) {
        if !matches!(self.chain, Some(Ok(_))) {
            return;
        }
        let held: Vec<Received> = self.work.state.held.clone();
        for item in held {
            if self.before.iter().any(|before| before.raw == item.raw) {
                continue;
            }
            match item.kind {
                ReceivedKind::PackageResult | ReceivedKind::PackageError => {
                    if let Ok(result) = asn1::decode::<EuiccPackageResult>(&item.raw) {
                        self.package_result(&result, item.raw);
                    }
                }
                ReceivedKind::Notification => {
                    if let Ok(notification) = asn1::decode::<Raw<PendingNotification>>(&item.raw) {
                        self.notification(&Lenient::Known(notification));
                    }
                }
                ReceivedKind::DownloadResult => {
                    if let Ok(result) = asn1::decode::<ProfileDownloadTriggerResult>(&item.raw) {
                        self.download_result(&result, item.raw);
                    }
                }
            }
        }
    }

    fn package_result(&mut self, result: &EuiccPackageResult, raw: Vec<u8>) {
        match result {
            EuiccPackageResult::EuiccPackageResultSigned(signed) => self.signed_result(signed, &raw),
            EuiccPackageResult::EuiccPackageErrorSigned(signed) => self.signed_error(signed, &raw),
            EuiccPackageResult::EuiccPackageErrorUnsigned(error) => {
                apply::unsigned_error(&mut self.work, error, self.eim.reported_token());
            }
        }
    }

    fn signed_result(&mut self, signed: &EuiccPackageResultSigned, raw: &[u8]) {
        let data = signed.euicc_package_result_data_signed.value();
        let answer = Answer {
            kind: ReceivedKind::PackageResult,
            raw,
            signed: signed.euicc_package_result_data_signed.octets(),
            seq_number: Some(SeqNumber::new(data.seq_number)),
            transaction: data.eim_transaction_id.as_ref(),
            counter: data.counter_value,
        };
        if self.is_duplicate(&answer) {
            self.acknowledge.extend(answer.seq_number);
            return;
        }
        let accepted = self.accept(&answer, &signed.euicc_package_result_data_signed, |chain, token| {
            pki::verify_package_result(chain, signed, token)
        });
        if let Some(accepted) = accepted {
            let eim_id = self.eim.eim_id_of(&self.work.state.euicc).clone();
            self.acknowledge.extend(apply::package_result(&mut self.work, &accepted, &answer, &eim_id));
        }
    }

    fn signed_error(&mut self, signed: &EuiccPackageErrorSigned, raw: &[u8]) {
        let data = signed.euicc_package_error_data_signed.value();
        let answer = Answer {
            kind: ReceivedKind::PackageError,
            raw,
            signed: signed.euicc_package_error_data_signed.octets(),
            seq_number: None,
            transaction: data.eim_transaction_id.as_ref(),
            counter: data.counter_value,
        };
        if self.is_duplicate(&answer) {
            return;
        }
        let accepted = self.accept(&answer, &signed.euicc_package_error_data_signed, |chain, token| {
            pki::verify_package_error(chain, signed, token)
        });
        if let Some(accepted) = accepted {
            let eim_id = self.eim.eim_id_of(&self.work.state.euicc).clone();
            apply::package_error(&mut self.work, &accepted, &answer, &eim_id);
        }
    }

    /// Whether the same was believed before, in an earlier message or in this one; then it changes nothing again.
    fn is_duplicate(&self, answer: &Answer<'_>) -> bool {
        let identity = Received::identity(answer.kind, answer.signed);
        let believed = |received: &Received| {
            received.identity == identity
                && matches!(received.status, ReceivedStatus::Verified | ReceivedStatus::Unverified)
        };
        self.before.iter().any(believed) || self.work.received().iter().any(believed)
    }

    fn status_before(&self, raw: &[u8]) -> Option<ReceivedStatus> {
        self.before.iter().chain(&self.work.state.held).find(|before| before.raw == raw).map(|before| before.status)
    }

    /// Believes a signed object, or holds or refuses it. The token is the one in force when the package was signed.
    fn accept<T: Clone>(
        &mut self,
        answer: &Answer<'_>,
        object: &Raw<T>,
        verify: impl FnOnce(&VerifiedChain, Option<crate::ids::AssociationToken>) -> Result<pki::Verified<T>, TrustError>,
    ) -> Option<Accepted<T>> {
        if let Some(policy) = self.lab {
            tracing::warn!(eid = %self.work.state.euicc.eid, "a result is taken unverified under the lab policy");
            return Some(accept_unverified(policy, object).into());
        }
        let named = answer.transaction.map(|transaction| transaction.as_slice());
        if let Some((_, owner)) = self.foreign.iter().find(|(foreign, _)| Some(foreign.octets()) == named) {
            apply::foreign(&mut self.work, answer, *owner);
        }
        let status = self.status_before(answer.raw);
        let token = match answer.operation(&self.work).and_then(|id| self.work.operation(id)) {
            Some(operation) => operation.association_token,
            None => self.work.state.euicc.association_token,
        };
        match &self.chain {
            None => {
                apply::hold(&mut self.work, answer, "certificates-unknown", status == Some(ReceivedStatus::Held));
                None
            }
            Some(Err(error)) => {
                let reason = error.reason();
                apply::hold(&mut self.work, answer, reason, status == Some(ReceivedStatus::Held));
                None
            }
            Some(Ok(chain)) => match verify(chain, token) {
                Ok(verified) => {
                    for leniency in verified.warnings() {
                        self.work.warn(match leniency {
                            Leniency::DerSignature => "it signs in DER form instead of r||s",
                            Leniency::EidCheckDigits => "the check digits of the EID in its certificate are wrong",
                        });
                    }
                    Some(verified.into())
                }
                Err(error) => {
                    let first = status != Some(ReceivedStatus::Refused);
                    if first && let Some(suppressed) = self.eim.may_log_disbelief() {
                        let eid = self.work.state.euicc.eid;
                        tracing::warn!(%eid, reason = error.reason(), suppressed, "a result is not believed");
                    }
                    apply::refuse(&mut self.work, answer, error.reason(), first);
                    None
                }
            },
        }
    }

    /// A result that can't be read is nobody's word: it is kept, and the package in flight notes it.
    fn unreadable(&mut self, octets: &[u8]) {
        let at = self.work.now_text();
        let in_flight = self.work.state.in_flight().map(|operation| operation.id);
        if let Some(operation) = in_flight.and_then(|id| self.work.operation(id)) {
            operation.refuse("structure", at);
        }
        let now = self.work.now();
        self.work.receive(Received {
            seq: 0,
            kind: ReceivedKind::PackageResult,
            seq_number: None,
            identity: Received::identity(ReceivedKind::PackageResult, octets),
            raw: octets.to_vec(),
            status: ReceivedStatus::Refused,
            reason: Some("structure".to_owned()),
            operation: in_flight,
            at: now,
        });
        // The field that breaks its type is a hint for whoever mends the device.
        let why = asn1::decode::<EuiccPackageResult>(octets).err().map(|error| error.to_string());
        let details = serde_json::json!({ "operation": in_flight, "reason": "structure", "detail": why });
        self.work.event("resultRefused", details);
    }

    fn notification(&mut self, notification: &Lenient<Raw<PendingNotification>>) {
        let raw = notification.octets().to_vec();
        match notification.value() {
            Some(PendingNotification::ProfileInstallationResult(result)) => {
                let full = raw.clone();
                self.installation_result(&Arrival { result, raw, full, way: Way::Notification });
                return;
            }
            Some(PendingNotification::CompactProfileInstallationResult(compact)) => {
                if let Some(expanded) = installation_result::expanded(&self.work, compact, self.eim) {
                    let (result, full) = expanded.into_parts();
                    self.installation_result(&Arrival { result: &result, raw, full, way: Way::Notification });
                    return;
                }
            }
            _ => {}
        }
        let identity = received_notification::identity(notification);
        let believed = |received: &Received| {
            Some(&received.identity) == identity.as_ref() && received.status == ReceivedStatus::Verified
        };
        let believed = self.before.iter().any(believed) || self.work.received().iter().any(believed);
        let known = if believed { Some(ReceivedStatus::Verified) } else { self.status_before(&raw) };
        let chain = self.chain.as_ref();
        let acknowledged = received_notification::take(&mut self.work, notification, raw, known, chain, self.eim);
        self.acknowledge.extend(acknowledged);
    }

    fn installation_result(&mut self, arrival: &Arrival<'_>) {
        let identity = installation_result::identity(&arrival.result.profile_installation_result_data);
        let believed = |received: &Received| {
            received.identity == identity
                && matches!(received.status, ReceivedStatus::Verified | ReceivedStatus::Unverified)
        };
        let earlier = self.before.iter().chain(self.work.received()).find(|received| believed(received));
        let before = Before {
            believed: earlier.is_some(),
            operation: earlier.and_then(|received| received.operation),
            status: self.status_before(&arrival.raw),
        };
        let chain = self.chain.as_ref();
        let acknowledged = installation_result::take(&mut self.work, arrival, &before, chain, self.lab, self.eim);
        if arrival.way == Way::Notification {
            self.acknowledge.extend(acknowledged);
        }
    }

    /// What came of a download trigger. An error is nobody's signed word: it ends the download that it names and changes
    /// nothing else.
    fn download_result(&mut self, result: &ProfileDownloadTriggerResult, raw: Vec<u8>) {
        let named = result.eim_transaction_id.as_ref();
        let operations = &self.work.state.operations;
        let operation = match named {
            Some(named) => operations.iter().find(|operation| {
                operation.kind == Kind::ProfileDownload
                    && operation.eim_transaction_id.as_ref().is_some_and(|sent| **named == *sent.octets())
            }),
            None => download::under_way(operations),
        };
        let operation = operation.map(|operation| operation.id);
        match &result.profile_download_trigger_result_data {
            Data::ProfileInstallationResult(result) => {
                let Ok(full) = asn1::encode(result) else { return };
                self.installation_result(&Arrival { result, raw, full, way: Way::Trigger(operation) });
            }
            Data::ProfileDownloadError(error) => {
                let object = error.error_response.as_ref().map(|octets| &octets[..]);
                let reason = error.profile_download_error_reason;
                self.work.event(
                    "downloadResultReceived",
                    serde_json::json!({ "operation": operation, "profileDownloadErrorReason": reason }),
                );
                if let Some(id) = operation {
                    download::device_error(&mut self.work, id, reason, object);
                }
            }
        }
    }
}

/// The chain to verify with: from the certificates in the message where they are trusted, else from the stored ones.
fn trust(
    snapshot: &Snapshot,
    data: Option<&IpaEuiccData>,
    eim: &Eim,
) -> (Option<Result<VerifiedChain, TrustError>>, Certificates) {
    let euicc = &snapshot.euicc;
    let verify = |eum: &[u8], certificate: &[u8]| eim.chains().verify(eum, certificate, eim.clock().now(), &euicc.eid);
    let sent = data.and_then(|data| Some((data.eum_certificate.as_ref()?, data.euicc_certificate.as_ref()?)));
    let certificates = match sent {
        None => Certificates::Absent,
        Some((eum, certificate)) => match verify(eum.der(), certificate.der()) {
            Ok(chain) => {
                let certificates = Certificates::Trusted { eum: eum.der().to_vec(), euicc: certificate.der().to_vec() };
                return (Some(Ok(chain)), certificates);
            }
            Err(error) => Certificates::Refused { reason: error.reason() },
        },
    };
    let stored = euicc.eum_certificate.as_deref().zip(euicc.euicc_certificate.as_deref());
    (stored.map(|(eum, certificate)| verify(eum, certificate)), certificates)
}
