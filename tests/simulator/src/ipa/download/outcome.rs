//! What came of a download, with the octets of everything that was relayed.

use super::options::{DownloadMode, DownloadStep};
use eim_core::ids::Iccid;
use std::fmt;

/// Why a download ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadError {
    /// The eIM or RSP server refused, in ASN.1.
    Refused(i64),
    /// The eIM or RSP server refused, in JSON.
    Status {
        /// subjectCode.
        subject: String,
        /// reasonCode.
        reason: String,
        /// message; the eIM may name an ASN.1 code in it.
        message: Option<String>,
    },
    /// The eUICC refused AuthenticateServer or PrepareDownload.
    Euicc(i64),
    /// The eUICC did not install the profile.
    Installation {
        /// bppCommandId.
        command: i64,
        /// errorReason.
        reason: i64,
    },
    /// The session was cancelled on purpose, with this reason.
    Cancelled(i64),
    /// An emergency call goes on.
    EcallActive,
    /// Another HTTP status.
    Http(u16),
    /// An answer that is none, or not of this session.
    Protocol(&'static str),
    /// The server can't be reached, or is not trusted.
    Unreachable(String),
    /// There is no address to go to.
    NoAddress,
    /// The server is not the one that was contacted, or not the one of the activation code.
    WrongServer,
    /// The SM-DS has no event.
    NoEvent,
}

impl DownloadError {
    /// The number in it: an error code, a reason, or a status.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Refused(code) | Self::Euicc(code) | Self::Cancelled(code) => Some(*code),
            Self::Installation { reason, .. } => Some(*reason),
            Self::EcallActive => Some(104),
            Self::Http(status) => Some(i64::from(*status)),
            _ => None,
        }
    }
}

/// The answer to a CancelSession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// The reason that was given.
    pub reason: i64,
    /// The `BF41` of the eUICC, as sent.
    pub response: Vec<u8>,
    /// Why the eIM or RSP server did not take it.
    pub error: Option<DownloadError>,
}

/// One download. What was not reached is empty; with an SM-DS before it, what is here is of the last session.
/// `Debug` shows no octets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DownloadOutcome {
    /// Which way it went.
    pub mode: DownloadMode,
    /// The steps that succeeded, in order.
    pub steps: Vec<DownloadStep>,
    /// The step that failed and why.
    pub error: Option<(DownloadStep, DownloadError)>,
    /// It was broken off because the options say so.
    pub stopped: bool,
    /// The profile, once it is installed.
    pub iccid: Option<Iccid>,
    /// The Profile Installation Result, `BF37`, as the eUICC gave it.
    pub pir: Option<Vec<u8>>,
    /// The notification as sent: the `BF37` or its compact form.
    pub sent_notification: Option<Vec<u8>>,
    /// Events of the SM-DS, direct: EventID and server.
    pub events: Vec<(String, String)>,
    /// The servers contacted, direct.
    pub servers: Vec<String>,
    /// euiccChallenge.
    pub euicc_challenge: Option<[u8; 16]>,
    /// transactionId, from serverSigned1 if nowhere else.
    pub transaction_id: Option<Vec<u8>>,
    /// serverSigned1, `30`, as received.
    pub server_signed1: Option<Vec<u8>>,
    /// matchingId that the eIM gave.
    pub eim_matching_id: Option<String>,
    /// ctxParams1 that the eIM gave, `A0`.
    pub eim_ctx_params1: Option<Vec<u8>>,
    /// `BF38` as sent.
    pub authenticate_server_response: Option<Vec<u8>>,
    /// `BF38` as the eUICC gave it.
    pub full_authenticate_server_response: Option<Vec<u8>>,
    /// Metadata, `BF25`, as received.
    pub metadata: Option<Vec<u8>>,
    /// smdpSigned2, `30`, as received.
    pub smdp_signed2: Option<Vec<u8>>,
    /// hashCc as received.
    pub eim_hash_cc: Option<[u8; 32]>,
    /// `BF21` as sent.
    pub prepare_download_response: Option<Vec<u8>>,
    /// `BF21` as the eUICC gave it.
    pub full_prepare_download_response: Option<Vec<u8>>,
    /// `BF36` as received.
    pub bound_profile_package: Option<Vec<u8>>,
    /// What became of a cancellation.
    pub cancellation: Option<Cancellation>,
}

impl DownloadOutcome {
    /// Whether a profile was installed.
    #[must_use]
    pub const fn is_installed(&self) -> bool {
        self.iccid.is_some()
    }

    /// The step that failed and the number in its error.
    #[must_use]
    pub fn error_code(&self) -> Option<(DownloadStep, i64)> {
        let (step, error) = self.error.as_ref()?;
        error.code().map(|code| (*step, code))
    }
}

impl fmt::Debug for DownloadOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadOutcome")
            .field("mode", &self.mode)
            .field("steps", &self.steps)
            .field("error", &self.error)
            .field("stopped", &self.stopped)
            .field("iccid", &self.iccid)
            .field("servers", &self.servers)
            .field("cancelled", &self.cancellation.as_ref().map(|found| (found.reason, &found.error)))
            .finish_non_exhaustive()
    }
}
