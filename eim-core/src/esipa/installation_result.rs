//! ProfileInstallationResult, in whichever message it comes: verified, applied, and sent on its way to the SM-DP+ where the
//! IPA does not do that itself (SGP.32 v1.2 3.2.3, 3.7; SGP.22 3.5).

use super::received_notification::forwarded;
use crate::Eim;
use crate::asn1::{
    self, CompactProfileInstallationResult, ProfileInstallationResult, ProfileInstallationResultData, Raw,
    StoreMetadataRequest,
};
use crate::domain::{
    Capabilities, DownloadSession, OperationState, Received, ReceivedKind, ReceivedStatus, Work, apply, download,
    expand,
};
use crate::ids::{OperationId, SeqNumber, TransactionId};
use crate::pki::{self, Accepted, LabPolicy, TrustError, VerifiedChain, accept_unverified};

/// How many addresses a compact result is rebuilt with, to find the one that was signed.
const ADDRESSES_TRIED: usize = 8;

/// The way that a result took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Inside a profileDownloadTriggerResult that answers this operation: the IPA has talked to the SM-DP+ itself, unless the
    /// eIM ran the session.
    Trigger(Option<OperationId>),
    /// As a notification.
    Notification,
}

/// A result with what it is kept and forwarded as.
pub(super) struct Arrival<'a> {
    pub result: &'a ProfileInstallationResult,
    /// The object as it is kept.
    pub raw: Vec<u8>,
    /// The object as the SM-DP+ takes it, `BF37`.
    pub full: Vec<u8>,
    pub way: Way,
}

/// What was known before of a result.
pub(super) struct Before {
    /// Whether the same was believed before.
    pub believed: bool,
    /// The operation that it ended then.
    pub operation: Option<OperationId>,
    pub status: Option<ReceivedStatus>,
}

/// What identifies a result, whichever way it takes.
pub(super) fn identity(data: &Raw<ProfileInstallationResultData>) -> Vec<u8> {
    Received::identity(ReceivedKind::DownloadResult, data.octets())
}

/// Takes a result in and gives the number to acknowledge.
pub(super) fn take(
    work: &mut Work,
    arrival: &Arrival<'_>,
    before: &Before,
    chain: Option<&Result<VerifiedChain, TrustError>>,
    lab: Option<&LabPolicy>,
    eim: &Eim,
) -> Option<SeqNumber> {
    let data = &arrival.result.profile_installation_result_data;
    let seq_number = Some(SeqNumber::new(data.value().notification_metadata.value().seq_number));
    let sessions: Vec<DownloadSession> = work
        .state
        .sessions
        .iter()
        .filter(|session| session.transaction_id.octets() == &*data.value().transaction_id)
        // Two servers may have chosen the same transactionId.
        .filter(|session| session.facts.server_oid.as_ref().is_none_or(|oid| *oid == data.value().smdp_oid.to_string()))
        .cloned()
        .collect();
    let (accepted, session) = match believe(arrival.result, &sessions, work, chain, lab, eim) {
        Ok(believed) => believed,
        Err((status, reason)) => {
            let same_as_before = before.believed || before.status == Some(status);
            if !same_as_before {
                let operation = operation(work, arrival, sessions.first());
                keep(work, arrival, seq_number, status, Some(reason), operation);
                work.event(
                    "downloadResultReceived",
                    serde_json::json!({ "status": status.as_str(), "reason": reason }),
                );
            }
            if status == ReceivedStatus::Held {
                apply::ask_certificates(work);
            }
            // One in a trigger result has no number of its own to acknowledge before it is believed.
            return seq_number.filter(|_| arrival.way == Way::Notification);
        }
    };
    let operation = operation(work, arrival, session.as_ref());
    let open = operation.and_then(|id| work.operation(id)).is_some_and(|operation| !operation.state.is_final());
    // A device may bring the result of an earlier download again, also in answer to a later one.
    if before.believed && (!open || before.operation.is_some()) {
        return seq_number;
    }
    let metadata = session.as_ref().and_then(|session| session.facts.metadata.as_ref());
    let metadata = metadata.and_then(|der| asn1::decode::<StoreMetadataRequest>(&der.0).ok());
    download::installed(work, &accepted, operation, metadata.as_ref());
    if let Some(session) = &session {
        download::end_session(work, session.seq);
    }
    if before.believed {
        return seq_number;
    }
    let status = if accepted.is_verified() { ReceivedStatus::Verified } else { ReceivedStatus::Unverified };
    keep(work, arrival, seq_number, status, None, operation);
    let by_the_ipa = matches!(arrival.way, Way::Trigger(_)) && session.is_none();
    if accepted.is_verified() && !by_the_ipa {
        let metadata = accepted.value().notification_metadata.value();
        forwarded(work, metadata, identity(data), arrival.full.clone());
    }
    seq_number
}

type Believed = (Accepted<ProfileInstallationResultData>, Option<DownloadSession>);

/// Believes a result by the certificates of its session, else by those of the message or the store.
fn believe(
    result: &ProfileInstallationResult,
    sessions: &[DownloadSession],
    work: &Work,
    chain: Option<&Result<VerifiedChain, TrustError>>,
    lab: Option<&LabPolicy>,
    eim: &Eim,
) -> Result<Believed, (ReceivedStatus, &'static str)> {
    if let Some(policy) = lab {
        let accepted = accept_unverified(policy, &result.profile_installation_result_data);
        return Ok((accepted.into(), sessions.first().cloned()));
    }
    let mut refused = None;
    for session in sessions {
        let facts = &session.facts;
        let Some((eum, euicc)) = facts.eum_certificate.as_ref().zip(facts.euicc_certificate.as_ref()) else { continue };
        let verified = eim
            .chains()
            .verify(&eum.0, &euicc.0, eim.clock().now(), &work.state.euicc.eid)
            .and_then(|chain| pki::verify_installation_result(&chain, result));
        match verified {
            Ok(verified) => return Ok((verified.into(), Some(session.clone()))),
            Err(error) => refused = Some(error.reason()),
        }
    }
    match chain {
        Some(Ok(chain)) => match pki::verify_installation_result(chain, result) {
            Ok(verified) => Ok((verified.into(), sessions.first().cloned())),
            Err(error) => Err((ReceivedStatus::Refused, error.reason())),
        },
        _ if refused.is_some() => Err((ReceivedStatus::Refused, refused.unwrap_or("signature"))),
        Some(Err(error)) => Err((ReceivedStatus::Held, error.reason())),
        None => Err((ReceivedStatus::Held, "certificates-unknown")),
    }
}

/// The operation that a result ends: that of its session or of the trigger result it came in; else the one download under
/// way, where its server is the one that the result is for.
fn operation(work: &Work, arrival: &Arrival<'_>, session: Option<&DownloadSession>) -> Option<OperationId> {
    if let Some(session) = session {
        return Some(session.operation);
    }
    if let Way::Trigger(named) = arrival.way {
        return named;
    }
    let data = arrival.result.profile_installation_result_data.value();
    let address = data.notification_metadata.value().notification_address.parse().ok()?;
    let capabilities = Capabilities(work.state.euicc.capabilities.as_ref());
    download::under_way(&work.state.operations)
        .filter(|operation| operation.state == OperationState::Delivered)
        .filter(|operation| download::order(operation).and_then(|order| order.server(capabilities)) == Some(address))
        .map(|operation| operation.id)
}

fn keep(
    work: &mut Work,
    arrival: &Arrival<'_>,
    seq_number: Option<SeqNumber>,
    status: ReceivedStatus,
    reason: Option<&str>,
    operation: Option<OperationId>,
) {
    let kind = match arrival.way {
        Way::Trigger(_) => ReceivedKind::DownloadResult,
        Way::Notification => ReceivedKind::Notification,
    };
    let at = work.now();
    work.receive(Received {
        seq: 0,
        kind,
        seq_number,
        identity: identity(&arrival.result.profile_installation_result_data),
        raw: arrival.raw.clone(),
        status,
        reason: reason.map(str::to_owned),
        operation,
        at,
    });
}

/// Rebuilds a compact result from what its session knows; `None` where no session has this transactionId. The address in
/// it is that of the session, unless the signature shows that the eUICC took it from the profile's metadata.
pub(super) fn expanded(
    work: &Work,
    compact: &CompactProfileInstallationResult,
    eim: &Eim,
) -> Option<Raw<ProfileInstallationResult>> {
    let transaction = &compact.compact_profile_installation_result_data.transaction_id;
    let transaction = TransactionId::from_octets(transaction).ok()?;
    let mut first = None;
    for session in work.state.sessions.iter().filter(|session| session.transaction_id == transaction) {
        for result in forms(session, compact) {
            if is_signed(&result, session, work, eim) {
                return Some(result);
            }
            first.get_or_insert(result);
        }
    }
    first
}

fn forms(session: &DownloadSession, compact: &CompactProfileInstallationResult) -> Vec<Raw<ProfileInstallationResult>> {
    let facts = &session.facts;
    let metadata = facts.metadata.as_ref().and_then(|der| asn1::decode::<StoreMetadataRequest>(&der.0).ok());
    let Some(smdp_oid) = facts.server_oid.as_deref().and_then(|oid| oid.parse::<pki::Oid>().ok()) else {
        return vec![];
    };
    let configured = metadata.iter().flat_map(|metadata| metadata.notification_configuration_info.iter().flatten());
    let addresses = std::iter::once(session.address.as_str())
        .chain(configured.map(|configuration| configuration.notification_address.as_str()));
    addresses
        .take(ADDRESSES_TRIED)
        .filter_map(|notification_address| {
            let iccid = metadata.as_ref().map(|metadata| &metadata.iccid[..]);
            let context = expand::InstallationContext { notification_address, iccid, smdp_oid: &smdp_oid };
            expand::installation_result(compact, &context).ok()
        })
        .collect()
}

fn is_signed(result: &Raw<ProfileInstallationResult>, session: &DownloadSession, work: &Work, eim: &Eim) -> bool {
    let facts = &session.facts;
    facts.eum_certificate.as_ref().zip(facts.euicc_certificate.as_ref()).is_some_and(|(eum, euicc)| {
        eim.chains()
            .verify(&eum.0, &euicc.0, eim.clock().now(), &work.state.euicc.eid)
            .and_then(|chain| pki::verify_installation_result(&chain, result.value()))
            .is_ok()
    })
}
