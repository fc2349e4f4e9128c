//! provideEimPackageResult: the answer of a device (SGP.32 v1.2 6.4.1.6).

use super::package_result::{self, Processed};
use super::{Caller, EID_NOT_FOUND, EidFault, EsipaAnswer, EsipaError, TOO_MUCH, eid_of};
use crate::Eim;
use crate::asn1::{
    self, EimAcknowledgements, Empty, EsipaMessageFromEimToIpa, ProvideEimPackageResult,
    ProvideEimPackageResultResponse,
};
use crate::ids::{Eid, EimTransactionId};
use crate::pki;

pub(super) async fn answer(
    result: ProvideEimPackageResult,
    caller: &Caller,
    eim: &Eim,
) -> Result<EsipaAnswer, EsipaError> {
    let response = match source(&result, eim).await? {
        Err(fault) => {
            caller.meets_stranger();
            ProvideEimPackageResultResponse::ProvideEimPackageResultError(fault.code())
        }
        Ok(eid) => match package_result::process(eid, &result.eim_package_result, eim).await? {
            Processed::TooMuch => return Ok(TOO_MUCH),
            Processed::UnknownEuicc => {
                caller.meets_stranger();
                ProvideEimPackageResultResponse::ProvideEimPackageResultError(EID_NOT_FOUND)
            }
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
    if let Some(certificate) = asn1::euicc_certificate_hint(result)
        && let Ok(eid) = pki::euicc_certificate_eid(certificate.der())
    {
        return Ok(Ok(eid));
    }
    let named = asn1::eim_transaction_id_hint(result).and_then(|octets| EimTransactionId::from_octets(octets).ok());
    if let Some(transaction) = named
        && let Some(eid) = eim.store().eid_of_transaction(&transaction).await?
    {
        return Ok(Ok(eid));
    }
    Ok(Err(EidFault::Missing))
}
