//! Handing devices over to another eIM: where a hand-over and each of its devices stand, and what proves that the other eIM
//! commands a device (SGP.32 v1.2 3.5.1.1, 3.5.1.2).

use super::euicc::words;
use serde::{Deserialize, Serialize};

words!(
    /// Where a hand-over stands.
    HandoverState {
        /// Devices are still on their way.
        Running = "running",
        /// Nothing is begun until it is resumed. What was begun is followed, and proofs are taken.
        Paused = "paused",
        /// An operator has called it off. What was delivered before is still followed.
        Cancelled = "cancelled",
        /// Every device has come to its end.
        Ended = "ended",
    }
);

words!(
    /// Where a device of a hand-over stands.
    HandoverDeviceState {
        /// Nothing was asked of it yet.
        Queued = "queued",
        /// The other eIM is being added: addEim is queued or delivered.
        Adding = "adding",
        /// The other eIM is associated, and its token known. It has not proven yet that it commands the device.
        Added = "added",
        /// The other eIM commands the device. Both do, until this one is deleted.
        Proven = "proven",
        /// This eIM is being deleted. Once deleteEim was delivered there is no way back from here.
        Deleting = "deleting",
        /// This eIM was deleted from the device; the other one alone commands it.
        HandedOver = "handedOver",
        /// It ended otherwise; the reason says how.
        Failed = "failed",
        /// Called off before the other eIM was added.
        Cancelled = "cancelled",
    }
);

/// What the other eIM says, signed with the key that the eUICC was given for it: it takes the device over, and here is the
/// eUICC's own word that it obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandoverProof {
    /// The eIM that says it.
    pub eim_id: String,
    /// The hand-over, as the eIM that hands over names it.
    pub handover: String,
    /// The device.
    pub eid: String,
    /// When, RFC 3339.
    pub at: String,
    /// A euiccPackageResult that the eUICC signed for a package of the eIM that says it, octets as received, hexadecimal.
    pub result: String,
}
