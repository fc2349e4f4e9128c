//! What an eIM signs: euiccPackageSigned (SGP.32 v1.2 2.11.1.1). Both sides: signing, and the eUICC's verification.

use super::error::TrustError;
use super::public_key::PublicKey;
use super::verified::{Claim, Verified};
use crate::asn1::{EuiccPackageRequest, EuiccPackageSigned};
use crate::ids::AssociationToken;

/// The octets that eimSignature covers: euiccPackageSigned with its header, and the token's data object.
///
/// Give exactly the octets that are sent; the token itself is not.
#[must_use]
pub fn package_signature_input(euicc_package_signed: &[u8], token: Option<AssociationToken>) -> Vec<u8> {
    [euicc_package_signed, &AssociationToken::suffix(token)].concat()
}

/// Verifies eimSignature as an eUICC does, for simulators and tests. The signer of the proof is `key`.
///
/// Whether the package is for this eUICC and not replayed is the eUICC's own business.
///
/// # Errors
/// [`TrustError::Signature`] when the value has no known form or does not verify.
pub fn verify_package_request(
    key: &PublicKey,
    request: &EuiccPackageRequest,
    token: Option<AssociationToken>,
) -> Result<Verified<EuiccPackageSigned, PublicKey>, TrustError> {
    let claim = Claim {
        object: &request.euicc_package_signed,
        appended: &AssociationToken::suffix(token),
        field: "eimSignature",
        signature: request.eim_signature.as_ref(),
    };
    claim.verify(key, key.clone(), &[])
}
