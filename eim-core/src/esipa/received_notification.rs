//! Notifications: kept with their octets, verified where that is possible, put on the timeline, and sent on their way to
//! the server that they name (SGP.32 v1.2 3.7).
//!
//! They are acknowledged once they are stored, believed or not. Only a verified one is forwarded, in the form of SGP.22;
//! nothing here changes what is known of a profile.

use crate::Eim;
use crate::asn1::{Lenient, NotificationMetadata, PendingNotification, Raw};
use crate::domain::{NewNotification, Received, ReceivedKind, ReceivedStatus, Work, apply, expand};
use crate::ids::{Iccid, SeqNumber};
use crate::pki::{self, TrustError, VerifiedChain};
use serde_json::json;

/// Keeps a notification and gives the number to acknowledge, where it has one.
pub(super) fn take(
    work: &mut Work,
    notification: &Lenient<Raw<PendingNotification>>,
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
    if status == ReceivedStatus::Held && reason == Some("certificates-unknown") {
        apply::ask_certificates(work);
    }
    let at = work.now();
    let raw_form = raw.clone();
    work.receive(Received {
        seq: 0,
        kind: ReceivedKind::Notification,
        seq_number,
        identity: identity(notification).unwrap_or_else(|| Received::identity(ReceivedKind::Notification, &raw)),
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
    if status == ReceivedStatus::Verified
        && let Some(metadata) = metadata
        && let Some(octets) = full_form(notification, &raw_form, work)
    {
        let identity = identity(notification);
        let identity = identity.unwrap_or_else(|| Received::identity(ReceivedKind::Notification, &raw_form));
        forwarded(work, metadata, identity, octets);
    }
    seq_number
}

/// What makes a notification the same one: what was signed, whatever stands around it and in whichever form it comes.
pub(super) fn identity(notification: &Lenient<Raw<PendingNotification>>) -> Option<Vec<u8>> {
    let signed = match notification.value()? {
        PendingNotification::OtherSignedNotification(notification) => &notification.tbs_other_notification,
        PendingNotification::CompactOtherSignedNotification(compact) => &compact.tbs_other_notification,
        _ => return None,
    };
    Some(Received::identity(ReceivedKind::Notification, signed.octets()))
}

/// The notification as the server takes it: as received, or with the certificates that the compact form leaves out.
fn full_form(notification: &Lenient<Raw<PendingNotification>>, raw: &[u8], work: &Work) -> Option<Vec<u8>> {
    match notification.value() {
        Some(PendingNotification::CompactOtherSignedNotification(compact)) => {
            let euicc = &work.state.euicc;
            let (certificate, eum) = (euicc.euicc_certificate.as_deref()?, euicc.eum_certificate.as_deref()?);
            Some(expand::other_notification(compact, certificate, eum).ok()?.octets().to_vec())
        }
        _ => Some(raw.to_vec()),
    }
}

/// Sends a notification on its way to the server that it names.
pub(super) fn forwarded(work: &mut Work, metadata: &NotificationMetadata, identity: Vec<u8>, octets: Vec<u8>) {
    let Ok(address) = metadata.notification_address.parse() else {
        work.event(
            "notificationUndeliverable",
            json!({ "seqNumber": metadata.seq_number, "reason": "notificationAddress is no host name" }),
        );
        return;
    };
    let event = metadata.profile_management_operation.names().next().unwrap_or("unknown");
    let event = event.strip_prefix("notification").unwrap_or(event).to_ascii_lowercase();
    let id = work.fresh_id();
    work.forward(NewNotification {
        id,
        identity,
        seq_number: SeqNumber::new(metadata.seq_number),
        event,
        iccid: metadata.iccid.as_ref().and_then(|iccid| Iccid::from_octets(iccid).ok()),
        address,
        octets,
    });
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
    notification: &Lenient<Raw<PendingNotification>>,
    work: &Work,
    chain: Option<&Result<VerifiedChain, TrustError>>,
    eim: &Eim,
) -> Verdict {
    let Some(notification) = notification.value() else { return Verdict::Refused("structure") };
    if let PendingNotification::OtherSignedNotification(notification) = notification {
        let eid = &work.state.euicc.eid;
        let (eum, euicc) = (notification.eum_certificate.der(), notification.euicc_certificate.der());
        let chain = eim.chains().verify(eum, euicc, eim.clock().now(), eid);
        let signature = notification.euicc_notification_signature.as_ref();
        let metadata = &notification.tbs_other_notification;
        return Verdict::of(chain.and_then(|chain| pki::verify_notification_metadata(&chain, metadata, signature)));
    }
    let chain = match chain {
        None => return Verdict::Held("certificates-unknown"),
        Some(Err(error)) => return Verdict::Held(error.reason()),
        Some(Ok(chain)) => chain,
    };
    match notification {
        PendingNotification::CompactOtherSignedNotification(compact) => Verdict::of(pki::verify_notification_metadata(
            chain,
            &compact.tbs_other_notification,
            &compact.euicc_notification_signature,
        )),
        // Its signature covers fields of a download session that is not known any more.
        PendingNotification::CompactProfileInstallationResult(_) => Verdict::Refused("no-session"),
        PendingNotification::ProfileInstallationResult(_) | PendingNotification::OtherSignedNotification(_) => {
            Verdict::Refused("structure")
        }
    }
}

fn metadata(notification: &Lenient<Raw<PendingNotification>>) -> Option<&NotificationMetadata> {
    match notification.value() {
        Some(PendingNotification::ProfileInstallationResult(result)) => {
            Some(result.profile_installation_result_data.value().notification_metadata.value())
        }
        Some(PendingNotification::OtherSignedNotification(notification)) => {
            Some(notification.tbs_other_notification.value())
        }
        Some(PendingNotification::CompactOtherSignedNotification(compact)) => {
            Some(compact.tbs_other_notification.value())
        }
        _ => None,
    }
}

pub(super) fn seq_number(notification: &Lenient<Raw<PendingNotification>>) -> Option<SeqNumber> {
    let number = match notification.value() {
        Some(PendingNotification::CompactProfileInstallationResult(compact)) => {
            Some(compact.compact_profile_installation_result_data.seq_number)
        }
        _ => metadata(notification).map(|metadata| metadata.seq_number),
    };
    number.map(SeqNumber::new)
}
