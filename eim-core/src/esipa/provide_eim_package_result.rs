//! provideEimPackageResult: the answer of a device (SGP.32 v1.2 5.14.5).

use super::package_result::{self, Processed};
use super::{EID_NOT_FOUND, EidFault, EsipaAnswer, EsipaError, eid_of};
use crate::Eim;
use crate::asn1::{
    self, EimAcknowledgements, EimPackageResult, Empty, EsipaMessageFromEimToIpa, IpaEuiccDataResponse, Lenient,
    ProvideEimPackageResult, ProvideEimPackageResultResponse,
};
use crate::ids::{Eid, EimTransactionId};
use crate::pki;

pub(super) async fn answer(result: ProvideEimPackageResult, eim: &Eim) -> Result<EsipaAnswer, EsipaError> {
    let response = match source(&result, eim).await? {
        Err(fault) => ProvideEimPackageResultResponse::ProvideEimPackageResultError(fault.code()),
        Ok(eid) => match package_result::process(eid, &result.eim_package_result, eim).await? {
            Processed::UnknownEuicc => ProvideEimPackageResultResponse::ProvideEimPackageResultError(EID_NOT_FOUND),
            Processed::Stored { acknowledge } if acknowledge.is_empty() => {
                ProvideEimPackageResultResponse::EmptyResponse(Empty {})
            }
            Processed::Stored { acknowledge } => {
                let numbers = acknowledge.into_iter().map(|number| asn1::SequenceNumber(number.value())).collect();
                ProvideEimPackageResultResponse::EimAcknowledgements(EimAcknowledgements(numbers))
            }
        },
    };
    Ok(EsipaMessageFromEimToIpa::ProvideEimPackageResultResponse(response).into())
}

/// Which eUICC a result is from. Many IPAs leave the EID out: then it is looked for inside, first as such, then in the
/// eUICC certificate, then by the transaction of an operation.
pub(super) async fn source(result: &ProvideEimPackageResult, eim: &Eim) -> Result<Result<Eid, EidFault>, EsipaError> {
    if result.eid_value.is_some() {
        return Ok(eid_of(result.eid_value.as_deref()));
    }
    if let Some(eid) = asn1::eid_hint(result).and_then(|octets| Eid::from_octets(&octets).ok()) {
        return Ok(Ok(eid));
    }
    let Lenient::Known(package_result) = &result.eim_package_result else { return Ok(Err(EidFault::Missing)) };
    if let EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccData(data)) = package_result
        && let Some(certificate) = &data.euicc_certificate
        && let Ok(eid) = pki::euicc_certificate_eid(certificate.der())
    {
        return Ok(Ok(eid));
    }
    for transaction in package_result::transactions(package_result) {
        let Ok(transaction) = EimTransactionId::from_octets(transaction) else { continue };
        if let Some(eid) = eim.store().eid_of_transaction(&transaction).await? {
            return Ok(Ok(eid));
        }
    }
    Ok(Err(EidFault::Missing))
}
