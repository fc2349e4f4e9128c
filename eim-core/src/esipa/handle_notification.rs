//! handleNotification: notifications, and results of devices that send these so (SGP.32 v1.2 6.4.1.7).
//!
//! It has no answer but "stored". What can't be attributed to an eUICC, or believed, is kept as octets all the same.

use super::package_result::{self, Processed};
use super::provide_eim_package_result::source;
use super::{Caller, EsipaAnswer, EsipaError, TOO_MUCH, home};
use crate::Eim;
use crate::asn1::{self, HandleNotificationEsipa, Lenient, PendingNotification, ProfileInstallationResult, Raw};
use crate::domain::{Received, ReceivedKind, ReceivedStatus};
use crate::ids::{Eid, TransactionId};
use crate::pki;
use crate::store::ResultKeys;

pub(super) async fn answer(
    notification: HandleNotificationEsipa,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    let (processed, kind, raw) = match notification {
        HandleNotificationEsipa::ProvideEimPackageResult(result) => {
            let processed = match source(&result, eim).await? {
                Ok(eid) => package_result::process(eid, &result.eim_package_result, eim).await?,
                Err(_) => Processed::UnknownEuicc,
            };
            (processed, ReceivedKind::PackageResult, asn1::encode(&result)?)
        }
        HandleNotificationEsipa::PendingNotification(notification) => {
            let processed = match signer(&notification, caller, eim).await? {
                Some(eid) => package_result::notification(eid, &notification, eim).await?,
                None => Processed::UnknownEuicc,
            };
            (processed, ReceivedKind::Notification, notification.octets().to_vec())
        }
    };
    match processed {
        Processed::Stored { .. } => Ok(EsipaAnswer::Empty),
        Processed::UnknownEuicc => {
            caller.meets_stranger();
            keep(kind, raw, eim).await
        }
        Processed::TooMuch => Ok(TOO_MUCH),
    }
}

/// The eUICC that a notification says it is from. Not proven yet. An installation result names none: its session tells, or
/// the connection on which the device polled.
async fn signer(
    notification: &Lenient<Raw<PendingNotification>>,
    caller: &Caller,
    eim: &Eim,
) -> Result<Option<Eid>, EsipaError> {
    let transaction = match notification.value() {
        Some(PendingNotification::OtherSignedNotification(notification)) => {
            return Ok(pki::euicc_certificate_eid(notification.euicc_certificate.der()).ok());
        }
        Some(PendingNotification::CompactOtherSignedNotification(notification)) => {
            let named = notification.eid_value.as_ref().and_then(|eid| Eid::from_octets(eid).ok());
            return Ok(named.or_else(|| caller.last_named()));
        }
        Some(PendingNotification::ProfileInstallationResult(result)) => {
            &result.profile_installation_result_data.value().transaction_id
        }
        Some(PendingNotification::CompactProfileInstallationResult(compact)) => {
            &compact.compact_profile_installation_result_data.transaction_id
        }
        None => return Ok(None),
    };
    let Ok(transaction) = TransactionId::from_octets(transaction) else { return Ok(None) };
    let eids = eim.store().eids_of_session(&transaction).await?;
    let last_named = caller.last_named();
    if last_named.is_some_and(|eid| eids.is_empty() || eids.contains(&eid)) {
        return Ok(last_named);
    }
    if let ([_, _, ..], Some(PendingNotification::ProfileInstallationResult(result))) =
        (eids.as_slice(), notification.value())
    {
        return who_signed(result, &transaction, &eids, eim).await;
    }
    Ok(eids.first().copied())
}

/// Two servers may choose the same transactionId: the signature tells whose session it is.
async fn who_signed(
    result: &ProfileInstallationResult,
    transaction: &TransactionId,
    eids: &[Eid],
    eim: &Eim,
) -> Result<Option<Eid>, EsipaError> {
    let now = eim.clock().now();
    for eid in eids {
        let keys = ResultKeys { sessions: vec![transaction.clone()], ..ResultKeys::default() };
        let Some((snapshot, _)) =
            home(eid, eim).await?.store().result_snapshot(*eid, keys, now.timestamp_millis()).await?
        else {
            continue;
        };
        let signed = snapshot.sessions.iter().any(|session| {
            let facts = &session.facts;
            facts.eum_certificate.as_ref().zip(facts.euicc_certificate.as_ref()).is_some_and(|(eum, euicc)| {
                eim.chains()
                    .verify(&eum.0, &euicc.0, now, eid)
                    .and_then(|chain| pki::verify_installation_result(&chain, result))
                    .is_ok()
            })
        });
        if signed {
            return Ok(Some(*eid));
        }
    }
    Ok(eids.first().copied())
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
