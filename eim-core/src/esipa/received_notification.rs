//! Notifications: kept with their octets, verified where that is possible, and put on the timeline.
//!
//! They are acknowledged once they are stored, believed or not: the SM-DP+ judges them by itself. Forwarding is not part
//! of this version; nothing here changes what is known of a profile.

use crate::Eim;
use crate::asn1::{Lenient, NotificationMetadata, PendingNotification};
use crate::domain::{Received, ReceivedKind, ReceivedStatus, Work};
use crate::ids::{Iccid, SeqNumber};
use crate::pki::{self, TrustError, VerifiedChain};
use serde_json::json;

/// Keeps a notification and gives the number to acknowledge, where it has one.
pub(super) fn take(
    work: &mut Work,
    notification: &Lenient<PendingNotification>,
    raw: Vec<u8>,
    known: Option<ReceivedStatus>,
    chain: Option<&Result<VerifiedChain, TrustError>>,
    eim: &Eim,
) -> Option<SeqNumber> {
    let seq_number = seq_number(notification);
    if known.is_some_and(|status| status != ReceivedStatus::Held) {
        return seq_number;
    }
    let (status, reason) = match verify(notification, work, chain, eim) {
        Verdict::Verified => (ReceivedStatus::Verified, None),
        Verdict::Held(reason) => (ReceivedStatus::Held, Some(reason)),
        Verdict::Refused(reason) => (ReceivedStatus::Refused, Some(reason)),
    };
    if known == Some(ReceivedStatus::Held) && status == ReceivedStatus::Held {
        return seq_number;
    }
    let at = work.now();
    work.receive(Received {
        seq: 0,
        kind: ReceivedKind::Notification,
        seq_number,
        identity: Received::identity(ReceivedKind::Notification, &raw),
        raw,
        status,
        reason: reason.map(str::to_owned),
        operation: None,
        at,
    });
    let metadata = metadata(notification);
    work.event(
        "notificationReceived",
        json!({
            "status": status.as_str(),
            "reason": reason,
            "seqNumber": seq_number.map(SeqNumber::value),
            "profileManagementOperation": metadata.map(|metadata| &metadata.profile_management_operation),
            "notificationAddress": metadata.map(|metadata| metadata.notification_address.chars().take(255).collect::<String>()),
            "iccid": metadata
                .and_then(|metadata| metadata.iccid.as_ref())
                .and_then(|iccid| Iccid::from_octets(iccid).ok()),
        }),
    );
    seq_number
}

enum Verdict {
    Verified,
    Held(&'static str),
    Refused(&'static str),
}

impl Verdict {
    fn of<T>(verified: Result<T, TrustError>) -> Self {
        match verified {
            Ok(_) => Self::Verified,
            // A root may still be added.
            Err(error @ TrustError::UntrustedCi { .. }) => Self::Held(error.reason()),
            Err(error) => Self::Refused(error.reason()),
        }
    }
}

fn verify(
    notification: &Lenient<PendingNotification>,
    work: &Work,
    chain: Option<&Result<VerifiedChain, TrustError>>,
    eim: &Eim,
) -> Verdict {
    let Lenient::Known(notification) = notification else { return Verdict::Refused("structure") };
    if let PendingNotification::OtherSignedNotification(notification) = notification {
        let eid = &work.state.euicc.eid;
        return Verdict::of(pki::verify_notification(eim.trust(), notification, eim.clock().now(), eid));
    }
    let chain = match chain {
        None => return Verdict::Held("certificates-unknown"),
        Some(Err(error)) => return Verdict::Held(error.reason()),
        Some(Ok(chain)) => chain,
    };
    match notification {
        PendingNotification::ProfileInstallationResult(result) => {
            Verdict::of(pki::verify_installation_result(chain, result))
        }
        PendingNotification::CompactOtherSignedNotification(compact) => Verdict::of(pki::verify_notification_metadata(
            chain,
            &compact.tbs_other_notification,
            &compact.euicc_notification_signature,
        )),
        // Its signature covers fields of the download session, which is not run here.
        PendingNotification::CompactProfileInstallationResult(_) => Verdict::Held("no-session"),
        PendingNotification::OtherSignedNotification(_) => Verdict::Refused("structure"),
    }
}

fn metadata(notification: &Lenient<PendingNotification>) -> Option<&NotificationMetadata> {
    match notification {
        Lenient::Known(PendingNotification::ProfileInstallationResult(result)) => {
            Some(result.profile_installation_result_data.value().notification_metadata.value())
        }
        Lenient::Known(PendingNotification::OtherSignedNotification(notification)) => {
            Some(notification.tbs_other_notification.value())
        }
        Lenient::Known(PendingNotification::CompactOtherSignedNotification(compact)) => {
            Some(compact.tbs_other_notification.value())
        }
        _ => None,
    }
}

fn seq_number(notification: &Lenient<PendingNotification>) -> Option<SeqNumber> {
    let number = match notification {
        Lenient::Known(PendingNotification::CompactProfileInstallationResult(compact)) => {
            Some(compact.compact_profile_installation_result_data.seq_number)
        }
        _ => metadata(notification).map(|metadata| metadata.seq_number),
    };
    number.map(SeqNumber::new)
}
