//! Misbehaviour that tests ask for.

use crate::pki::EuiccIdentity;
use eim_core::ids::AssociationToken;
use eim_core::pki::SigningKey;
use std::sync::Arc;

/// An unsigned error instead of an answer; the package is not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsignedError {
    /// Without associationToken.
    WithoutToken,
    /// With this associationToken.
    WithToken(i64),
}

/// What the eUICC does wrong. The default is nothing; several may be combined.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Signs results with this key.
    pub signing_key: Option<Arc<SigningKey>>,
    /// Signs results as if this were the token (`Some(None)`: as if there were none).
    pub signing_token: Option<Option<AssociationToken>>,
    /// Signs with the key, and shows the certificates, of this other eUICC.
    pub foreign: Option<Box<EuiccIdentity>>,
    /// Answers packages with these octets of an earlier answer, and executes nothing.
    pub replay: Option<Vec<u8>>,
    /// Flips the lowest bit of the signed data after signing: the last result becomes another.
    pub tamper_after_signing: bool,
    /// Writes signatures in DER instead of `r || s`.
    pub der_signature: bool,
    /// Leaves eimTransactionId out of answers.
    pub omit_eim_transaction_id: bool,
    /// Answers packages with an unsigned error, and executes nothing.
    pub unsigned_error: Option<UnsignedError>,
    /// Answers authentic packages with this euiccPackageErrorCode, signed, and executes nothing.
    pub signed_error: Option<i64>,
    /// Stops after this many operations with processingTerminated of the given code.
    pub terminate_after: Option<(usize, i64)>,
    /// Executes everything, but says only so many results and then processingTerminated(interruption(3)).
    pub drop_results_after: Option<usize>,
    /// Signed errors use up the counter, which the specification leaves open.
    pub errors_use_counter: bool,
    /// Every operation that has an undefinedError(127) answers it, and does nothing.
    pub undefined_errors: bool,
    /// Does not say its token in unsigned errors.
    pub hide_token: bool,
    /// euiccSignature1 does not verify.
    pub wrong_euicc_signature1: bool,
    /// euiccSignature2 does not verify.
    pub wrong_euicc_signature2: bool,
    /// euiccCancelSessionSignature does not verify.
    pub wrong_cancel_signature: bool,
    /// The Profile Installation Result is signed with a key that is nobody's.
    pub pir_wrong_key: bool,
    /// Answers AuthenticateServer with this authenticateErrorCode.
    pub authenticate_error: Option<i64>,
    /// Answers PrepareDownload with this downloadErrorCode.
    pub prepare_error: Option<i64>,
    /// Answers LoadBoundProfilePackage with a status word: no result, and the session stays.
    pub load_refused: bool,
    /// Installs nothing, and says this bppCommandId and errorReason.
    pub install_error: Option<(i64, i64)>,
}

impl Faults {
    /// No misbehaviour.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}
