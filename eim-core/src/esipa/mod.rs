//! The ESipa functions, free of any transport: load, decide, save, answer (SGP.32 v1.2 6.4.1).
//!
//! An error of the specification is an answer. [`EsipaError`] is our own fault, and the IPA will try again.

mod caller;
mod download_trigger;
mod get_eim_package;
mod handle_notification;
mod installation_result;
mod package_result;
mod provide_eim_package_result;
mod received_notification;
mod relay;

pub use caller::Caller;

use crate::Eim;
use crate::asn1::code::get_eim_package_error::{EID_NOT_FOUND, INVALID_EID, MISSING_EID};
use crate::asn1::{EncodeError, EsipaMessageFromEimToIpa, EsipaMessageFromIpaToEim};
use crate::ids::Eid;
use crate::ports::SignerError;
use crate::store::StoreError;

/// What goes back to the IPA.
#[derive(Debug, Clone, PartialEq)]
pub enum EsipaAnswer {
    /// A message.
    Message(Box<EsipaMessageFromEimToIpa>),
    /// Nothing but the acknowledgement that it is stored: HTTP 204.
    Empty,
    /// No answer to the message exists, for this reason: HTTP 400. Nothing was stored.
    NotAccepted(&'static str),
}

impl From<EsipaMessageFromEimToIpa> for EsipaAnswer {
    fn from(message: EsipaMessageFromEimToIpa) -> Self {
        Self::Message(Box::new(message))
    }
}

/// Why a message could not be answered: our own fault.
#[derive(Debug, thiserror::Error)]
pub enum EsipaError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing key failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A message of our own has no encoding.
    #[error("a message could not be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// Others changed the same eUICC again and again.
    #[error("{function} met other changes of the same eUICC too often")]
    Contended {
        /// The function.
        function: &'static str,
    },
    /// The store holds a package that can't be read.
    #[error("the stored package of an operation can't be read")]
    StoredPackage,
}

impl EsipaError {
    /// Whether the same message may be answered later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.retryable(),
            Self::Signer(_) | Self::Contended { .. } => true,
            Self::Encode(_) | Self::StoredPackage => false,
        }
    }
}

/// The answer to a message that holds more than any device sends.
const TOO_MUCH: EsipaAnswer = EsipaAnswer::NotAccepted("the message holds more than is taken at once");

/// How often a decision is made again because somebody else changed the same eUICC.
const DECIDED_AGAIN: usize = 16;

/// Answers a message of an IPA; `caller` is what its connection has told so far.
///
/// # Errors
/// Our own faults; nothing of the message is lost then, since the IPA keeps what was not answered.
pub async fn answer(message: EsipaMessageFromIpaToEim, caller: &Caller, eim: &Eim) -> Result<EsipaAnswer, EsipaError> {
    use EsipaMessageFromIpaToEim as Message;
    // Each in a box of its own: an empty poll, the most frequent of all, would else carry the room for the largest.
    match message {
        Message::GetEimPackageRequest(request) => get_eim_package::answer(request, caller, eim).await,
        Message::ProvideEimPackageResult(result) => {
            Box::pin(provide_eim_package_result::answer(result, caller, eim)).await
        }
        Message::HandleNotificationEsipa(notification) => {
            Box::pin(handle_notification::answer(notification, caller, eim)).await
        }
        Message::TransferEimPackageResponse(_) => {
            Ok(EsipaAnswer::NotAccepted("transferEimPackage is a function that the eIM calls"))
        }
        Message::InitiateAuthenticationRequestEsipa(request) => {
            Box::pin(relay::initiate_authentication(request, caller, eim)).await
        }
        Message::AuthenticateClientRequestEsipa(request) => {
            Box::pin(relay::authenticate_client(request, caller, eim)).await
        }
        Message::GetBoundProfilePackageRequestEsipa(request) => {
            Box::pin(relay::get_bound_profile_package(request, caller, eim)).await
        }
        Message::CancelSessionRequestEsipa(request) => Box::pin(relay::cancel_session(request, caller, eim)).await,
    }
}

/// The application as the tenant of this eUICC has it. One that nobody has registered is unknown to the first tenant, too.
async fn home(eid: &Eid, eim: &Eim) -> Result<Eim, StoreError> {
    Ok(match eim.store().tenant_of(eid).await? {
        Some(tenant) => eim.of(tenant),
        None => eim.clone(),
    })
}

/// Why an eidValue can't be used.
enum EidFault {
    Missing,
    Invalid,
}

impl EidFault {
    /// The code in the answers of getEimPackage and provideEimPackageResult.
    const fn code(&self) -> i64 {
        match self {
            Self::Invalid => INVALID_EID,
            Self::Missing => MISSING_EID,
        }
    }
}

fn eid_of(eid_value: Option<&[u8]>) -> Result<Eid, EidFault> {
    Eid::from_octets(eid_value.ok_or(EidFault::Missing)?).map_err(|_| EidFault::Invalid)
}
