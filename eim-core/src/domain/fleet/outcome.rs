//! How a device's part of a switch or a campaign ended.

use crate::domain::euicc::words;

words!(
    /// How a switch ended.
    Outcome {
        /// The verified result said that the profile is enabled, and the device was seen again with it.
        Proven = "proven",
        /// The profile was enabled already, by a verified list.
        Unchanged = "unchanged",
        /// The profile was enabled, and what should prove it did not come.
        Unconfirmed = "unconfirmed",
        /// The device went back to the profile it had before.
        RolledBack = "rolledBack",
        /// The device went to its Fallback Profile.
        FellBack = "fellBack",
        /// The device was not seen again after it had taken the switch.
        LostAfterSwitch = "lostAfterSwitch",
        /// The profile could not be downloaded.
        DownloadFailed = "downloadFailed",
        /// The guard, an owner policy or the eUICC refused it.
        Refused = "refused",
        /// The device did not come to fetch it.
        NoShow = "noShow",
        /// It was withdrawn.
        Cancelled = "cancelled",
        /// A campaign of higher priority took the device before this one began with it.
        Superseded = "superseded",
        /// A list of operations: all were done.
        Succeeded = "succeeded",
        /// A list of operations: one was not done.
        Failed = "failed",
    }
);

impl Outcome {
    /// Whether what was wanted is so.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Proven | Self::Unchanged | Self::Succeeded)
    }

    /// Whether something was tried and did not come out as wanted.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        !self.is_success() && !matches!(self, Self::Cancelled | Self::Superseded)
    }
}
