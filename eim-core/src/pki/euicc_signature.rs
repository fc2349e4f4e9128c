//! What an eUICC signs: package results and errors, notifications, installation results (SGP.32 v1.2 2.11, SGP.22 5.7).
//!
//! Verified are the octets as received, followed by what the specification appends; nothing is encoded again.

use super::chain::{VerifiedChain, verify_euicc_chain};
use super::error::{SessionField, TrustError};
use super::signature;
use super::trust_store::TrustStore;
use super::verified::{Claim, Verified};
use crate::asn1::{
    AuthenticateResponseOk, EUICCSigned2, EuiccCancelSessionSigned, EuiccPackageErrorDataSigned,
    EuiccPackageErrorSigned, EuiccPackageResultDataSigned, EuiccPackageResultSigned, EuiccSigned1,
    NotificationMetadata, OtherSignedNotification, ProfileInstallationResult, ProfileInstallationResultData, Raw,
};
use crate::ids::{AssociationToken, Eid};
use chrono::{DateTime, Utc};

/// Verifies euiccSignEPR: over euiccPackageResultDataSigned and the token's data object (SGP.32 v1.2 2.11.2.1).
///
/// `token` is the one in force when the package was signed.
///
/// # Errors
/// [`TrustError::Signature`] when the value has no known form or does not verify.
pub fn verify_package_result(
    chain: &VerifiedChain,
    result: &EuiccPackageResultSigned,
    token: Option<AssociationToken>,
) -> Result<Verified<EuiccPackageResultDataSigned>, TrustError> {
    verify(
        chain,
        Claim {
            object: &result.euicc_package_result_data_signed,
            appended: &AssociationToken::suffix(token),
            field: "euiccSignEPR",
            signature: result.euicc_sign_epr.as_ref(),
        },
    )
}

/// Verifies euiccSignEPE: over euiccPackageErrorDataSigned and the token's data object (SGP.32 v1.2 2.11.2.1).
///
/// # Errors
/// Those of [`verify_package_result`].
pub fn verify_package_error(
    chain: &VerifiedChain,
    error: &EuiccPackageErrorSigned,
    token: Option<AssociationToken>,
) -> Result<Verified<EuiccPackageErrorDataSigned>, TrustError> {
    verify(
        chain,
        Claim {
            object: &error.euicc_package_error_data_signed,
            appended: &AssociationToken::suffix(token),
            field: "euiccSignEPE",
            signature: error.euicc_sign_epe.as_ref(),
        },
    )
}

/// Verifies euiccSignPIR: over profileInstallationResultData, with the chain of the session or the stored one.
///
/// # Errors
/// Those of [`verify_package_result`].
pub fn verify_installation_result(
    chain: &VerifiedChain,
    result: &ProfileInstallationResult,
) -> Result<Verified<ProfileInstallationResultData>, TrustError> {
    verify(
        chain,
        Claim {
            object: &result.profile_installation_result_data,
            appended: &[],
            field: "euiccSignPIR",
            signature: result.euicc_sign_pir.as_ref(),
        },
    )
}

/// Verifies a notification with the certificates inside it: their chain first, then euiccNotificationSignature over
/// tbsOtherNotification. No token is appended.
///
/// # Errors
/// Those of [`verify_euicc_chain`] and [`verify_package_result`].
pub fn verify_notification(
    store: &TrustStore,
    notification: &OtherSignedNotification,
    now: DateTime<Utc>,
    expected_eid: &Eid,
) -> Result<Verified<NotificationMetadata>, TrustError> {
    let (eum, euicc) = (notification.eum_certificate.der(), notification.euicc_certificate.der());
    let chain = verify_euicc_chain(store, eum, euicc, now, expected_eid)?;
    let signature = notification.euicc_notification_signature.as_ref();
    verify_notification_metadata(&chain, &notification.tbs_other_notification, signature)
}

/// Verifies euiccNotificationSignature with a stored chain, for the compact form without certificates.
///
/// # Errors
/// Those of [`verify_package_result`].
pub fn verify_notification_metadata(
    chain: &VerifiedChain,
    metadata: &Raw<NotificationMetadata>,
    signature: &[u8],
) -> Result<Verified<NotificationMetadata>, TrustError> {
    verify(chain, Claim { object: metadata, appended: &[], field: "euiccNotificationSignature", signature })
}

/// What binds euiccSigned1 to the session of the one who issued the challenge.
#[derive(Debug, Clone, Copy)]
pub struct AuthenticationSession<'a> {
    /// serverChallenge, 16 octets, as issued.
    pub server_challenge: &'a [u8],
    /// transactionId, 1 to 16 octets, as issued.
    pub transaction_id: &'a [u8],
    /// The server's address, when it is to be compared; letter case does not matter.
    pub server_address: Option<&'a str>,
}

/// Verifies authenticateResponseOk with the certificates inside it: chain, euiccSignature1, then the session.
///
/// # Errors
/// Those of [`verify_euicc_chain`] and [`verify_euicc_signed1`].
pub fn verify_authenticate_response(
    store: &TrustStore,
    response: &AuthenticateResponseOk,
    session: &AuthenticationSession<'_>,
    now: DateTime<Utc>,
    expected_eid: &Eid,
) -> Result<Verified<EuiccSigned1>, TrustError> {
    let (eum, euicc) = (response.eum_certificate.der(), response.euicc_certificate.der());
    let chain = verify_euicc_chain(store, eum, euicc, now, expected_eid)?;
    verify_euicc_signed1(&chain, &response.euicc_signed1, response.euicc_signature1.as_ref(), session)
}

/// Verifies euiccSignature1 over the full euiccSigned1, also when it was sent compact and rebuilt; then the session.
///
/// # Errors
/// [`TrustError::Signature`], or [`TrustError::Session`] with the field that is of another session.
pub fn verify_euicc_signed1(
    chain: &VerifiedChain,
    signed: &Raw<EuiccSigned1>,
    signature: &[u8],
    session: &AuthenticationSession<'_>,
) -> Result<Verified<EuiccSigned1>, TrustError> {
    let verified = verify(chain, Claim { object: signed, appended: &[], field: "euiccSignature1", signature })?;
    let value = verified.value();
    let same = |field, equal: bool| if equal { Ok(()) } else { Err(TrustError::Session { field }) };
    same(SessionField::TransactionId, AsRef::<[u8]>::as_ref(&value.transaction_id) == session.transaction_id)?;
    same(SessionField::ServerChallenge, AsRef::<[u8]>::as_ref(&value.server_challenge) == session.server_challenge)?;
    let address: &str = value.server_address.as_ref();
    let expected = session.server_address.unwrap_or(address);
    same(SessionField::ServerAddress, address.eq_ignore_ascii_case(expected))?;
    Ok(verified)
}

/// Verifies euiccSignature2 over the full euiccSigned2 and the data object of smdpSignature2.
///
/// # Errors
/// [`TrustError::Signature`].
pub fn verify_euicc_signed2(
    chain: &VerifiedChain,
    signed: &Raw<EUICCSigned2>,
    signature: &[u8],
    smdp_signature2: &[u8],
) -> Result<Verified<EUICCSigned2>, TrustError> {
    let appended = signature::data_object(smdp_signature2);
    verify(chain, Claim { object: signed, appended: &appended, field: "euiccSignature2", signature })
}

/// Verifies euiccCancelSessionSignature over the full euiccCancelSessionSigned, also when it was sent compact and
/// rebuilt. Nothing is appended. Whether transactionId and smdpOid are those of the session is for the caller to compare.
///
/// # Errors
/// [`TrustError::Signature`].
pub fn verify_cancel_session(
    chain: &VerifiedChain,
    signed: &Raw<EuiccCancelSessionSigned>,
    signature: &[u8],
) -> Result<Verified<EuiccCancelSessionSigned>, TrustError> {
    verify(chain, Claim { object: signed, appended: &[], field: "euiccCancelSessionSignature", signature })
}

fn verify<T: Clone>(chain: &VerifiedChain, claim: Claim<'_, T>) -> Result<Verified<T>, TrustError> {
    claim.verify(chain.key(), chain.signer().clone(), chain.warnings())
}
