//! Whom a package result is from, when the message does not say (T12).

use super::certificate::Certificate;
use super::download_trigger::ProfileDownloadTriggerResult;
use super::esipa_package::{EimPackageResult, ProvideEimPackageResult};
use super::euicc_package_result::EuiccPackageResult;
use super::ipa_euicc_data::IpaEuiccDataResponse;
use super::notification::PendingNotification;
use super::primitive::TransactionId;
use super::raw::{Lenient, Raw};

/// The EID inside the result: the `5A` of a compact notification, 16 octets. Not the eidValue of the message itself.
///
/// Unauthenticated like every other field outside a signature.
#[must_use]
pub fn eid_hint(result: &ProvideEimPackageResult) -> Option<Vec<u8>> {
    notifications(result).find_map(|notification| match notification {
        PendingNotification::CompactOtherSignedNotification(compact) => {
            compact.eid_value.as_ref().map(|eid| eid.to_vec())
        }
        _ => None,
    })
}

/// The eUICC certificate inside the result, whose subject serialNumber is the EID: that of IpaEuiccData (A6), else that
/// of a signed notification.
#[must_use]
pub fn euicc_certificate_hint(result: &ProvideEimPackageResult) -> Option<&Certificate> {
    let in_data = match result.eim_package_result.known() {
        Some(EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccData(data))) => {
            data.euicc_certificate.as_ref()
        }
        _ => None,
    };
    in_data.or_else(|| {
        notifications(result).find_map(|notification| match notification {
            PendingNotification::OtherSignedNotification(signed) => Some(&signed.euicc_certificate),
            _ => None,
        })
    })
}

/// The eimTransactionId of the result, whichever arm carries it.
#[must_use]
pub fn eim_transaction_id_hint(result: &ProvideEimPackageResult) -> Option<&TransactionId> {
    match result.eim_package_result.known()? {
        EimPackageResult::EuiccPackageResult(result) => of_package_result(result),
        EimPackageResult::EPRAndNotifications(both) => of_package_result(both.euicc_package_result.known()?),
        EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccData(data)) => {
            data.eim_transaction_id.as_ref()
        }
        EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccDataResponseError(error)) => {
            error.eim_transaction_id.as_ref()
        }
        EimPackageResult::ProfileDownloadTriggerResult(ProfileDownloadTriggerResult { eim_transaction_id, .. }) => {
            eim_transaction_id.as_ref()
        }
        EimPackageResult::EimPackageResultResponseError(error) => error.eim_transaction_id.as_ref(),
    }
}

fn of_package_result(result: &EuiccPackageResult) -> Option<&TransactionId> {
    match result {
        EuiccPackageResult::EuiccPackageResultSigned(signed) => {
            signed.euicc_package_result_data_signed.value().eim_transaction_id.as_ref()
        }
        EuiccPackageResult::EuiccPackageErrorSigned(signed) => {
            signed.euicc_package_error_data_signed.value().eim_transaction_id.as_ref()
        }
        EuiccPackageResult::EuiccPackageErrorUnsigned(error) => error.eim_transaction_id.as_ref(),
    }
}

/// The notifications that came with the result.
fn notifications(result: &ProvideEimPackageResult) -> impl Iterator<Item = &PendingNotification> {
    let list: &[Lenient<Raw<PendingNotification>>] = match result.eim_package_result.known() {
        Some(EimPackageResult::EPRAndNotifications(both)) => &both.notification_list,
        Some(EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccData(data))) => {
            data.notifications_list.as_deref().unwrap_or_default()
        }
        _ => &[],
    };
    list.iter().filter_map(Lenient::value)
}
