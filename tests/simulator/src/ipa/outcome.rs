//! What came of a poll.

use super::binding::Package;

/// The eIM's answer to a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// eimAcknowledgements with these seqNumbers.
    Acknowledged(Vec<i64>),
    /// emptyResponse.
    Empty,
    /// provideEimPackageResultError.
    Error(i64),
    /// HTTP 204: the answer to HandleNotification.
    NoContent,
}

/// One poll: what came, what went back, what was said to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollOutcome {
    /// What the eIM had, with its octets as received.
    pub package: Package,
    /// The body of the getEimPackage response as received.
    pub response: Vec<u8>,
    /// The EimPackageResult, delivered unless the behaviour loses it; `None` when there was nothing to answer.
    pub result: Option<Vec<u8>>,
    /// The eIM's answer; `None` when nothing was delivered.
    pub answer: Option<Answer>,
    /// The seqNumbers that were removed from the eUICC.
    pub removed: Vec<i64>,
}

impl PollOutcome {
    /// Whether the eIM had nothing: noEimPackageAvailable(1).
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.package == Package::Error(1)
    }

    /// The package as received, `BF51`, `BF52` or `BF54`.
    #[must_use]
    pub fn request(&self) -> Option<&[u8]> {
        match &self.package {
            Package::Error(_) => None,
            Package::EuiccPackage(octets) | Package::IpaEuiccData(octets) | Package::DownloadTrigger(octets) => {
                Some(octets)
            }
        }
    }
}
