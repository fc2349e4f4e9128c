//! GetBoundProfilePackage of ES9+' (SGP.22 v2.5 5.6.2, 6.5.2.7).

use super::RspError;
use super::json::{Answer, session_body};
use crate::asn1::{BoundProfilePackage, Raw, TransactionId};
use crate::ports::RspReply;
use std::fmt;

/// What the SM-DP+ answered.
#[derive(Clone, PartialEq, Eq)]
pub struct GetBoundProfilePackageReply {
    /// The session, if it was stated.
    pub transaction_id: Option<TransactionId>,
    /// The Bound Profile Package, its octets (BF36) as received.
    pub bound_profile_package: Raw<BoundProfilePackage>,
}

impl fmt::Debug for GetBoundProfilePackageReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GetBoundProfilePackageReply({} octets)", self.bound_profile_package.octets().len())
    }
}

/// The request: `bf21` is the PrepareDownloadResponse in its full form, with its tag.
#[must_use]
pub fn body(transaction_id: &[u8], bf21: &[u8]) -> Vec<u8> {
    session_body(transaction_id, "prepareDownloadResponse", bf21)
}

/// Reads the answer. Whether the transactionIds are those of the session is for the caller to compare.
///
/// # Errors
/// [`RspError`] for everything but a success with a Bound Profile Package.
pub fn read(reply: &RspReply) -> Result<GetBoundProfilePackageReply, RspError> {
    let answer = Answer::of(reply)?;
    Ok(GetBoundProfilePackageReply {
        transaction_id: answer.transaction_id()?,
        bound_profile_package: answer.object(&["boundProfilePackage"])?,
    })
}
