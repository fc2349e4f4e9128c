//! handleNotification: notifications, and results of devices that send these so (SGP.32 v1.2 6.4.1.7).
//!
//! It has no answer but "stored". What can't be attributed to an eUICC, or believed, is kept as octets all the same.

use super::package_result::{self, Processed};
use super::provide_eim_package_result::source;
use super::{EsipaAnswer, EsipaError, TOO_MUCH};
use crate::Eim;
use crate::asn1::{self, HandleNotificationEsipa, Lenient, PendingNotification};
use crate::domain::{Received, ReceivedKind, ReceivedStatus};
use crate::ids::Eid;
use crate::pki;

pub(super) async fn answer(notification: HandleNotificationEsipa, eim: &Eim) -> Result<EsipaAnswer, EsipaError> {
    let (processed, kind, raw) = match notification {
        HandleNotificationEsipa::ProvideEimPackageResult(result) => {
            let processed = match source(&result, eim).await? {
                Ok(eid) => package_result::process(eid, &result.eim_package_result, eim).await?,
                Err(_) => Processed::UnknownEuicc,
            };
            (processed, ReceivedKind::PackageResult, asn1::encode(&result)?)
        }
        HandleNotificationEsipa::PendingNotification(notification) => {
            let processed = match signer(&notification) {
                Some(eid) => package_result::notification(eid, &notification, eim).await?,
                None => Processed::UnknownEuicc,
            };
            (processed, ReceivedKind::Notification, asn1::encode(&notification)?)
        }
    };
    match processed {
        Processed::Stored { .. } => Ok(EsipaAnswer::Empty),
        Processed::UnknownEuicc => keep(kind, raw, eim).await,
        Processed::TooMuch => Ok(TOO_MUCH),
    }
}

/// The eUICC that a notification says it is from. Not proven yet.
fn signer(notification: &Lenient<PendingNotification>) -> Option<Eid> {
    match notification {
        Lenient::Known(PendingNotification::OtherSignedNotification(notification)) => {
            pki::euicc_certificate_eid(notification.euicc_certificate.der()).ok()
        }
        Lenient::Known(PendingNotification::CompactOtherSignedNotification(notification)) => {
            Eid::from_octets(notification.eid_value.as_ref()?).ok()
        }
        _ => None,
    }
}

/// The largest object that is kept though nobody knows whose it is; notifications have a few thousand octets.
const UNATTRIBUTED_MAX_BYTES: usize = 16 * 1024;

async fn keep(kind: ReceivedKind, raw: Vec<u8>, eim: &Eim) -> Result<EsipaAnswer, EsipaError> {
    if raw.len() > UNATTRIBUTED_MAX_BYTES {
        return Ok(TOO_MUCH);
    }
    eim.metrics().notifications_total.with_label_values(&["unattributed"]).inc();
    let received = Received {
        seq: 0,
        kind,
        seq_number: None,
        identity: Received::identity(kind, &raw),
        raw,
        status: ReceivedStatus::Held,
        reason: Some("unattributed".to_owned()),
        operation: None,
        at: eim.clock().now_ms(),
    };
    eim.store().keep_unattributed(received).await?;
    Ok(EsipaAnswer::Empty)
}
