//! Notifications about profiles, kept until they are acknowledged (SGP.22 v2.5 3.5).

use super::{Euicc, Profile};
use crate::tlv::{element, integer};

/// otherSignedNotification that waits to be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its seqNumber.
    pub seq_number: i64,
    /// notificationInstall(0), notificationEnable(1), notificationDisable(2), notificationDelete(3).
    pub event: u32,
    /// `30 { BF2F metadata, 5F37 signature, 30 euiccCertificate, 30 eumCertificate }`.
    pub octets: Vec<u8>,
}

pub(super) const ENABLE: u32 = 1;
pub(super) const DISABLE: u32 = 2;
pub(super) const DELETE: u32 = 3;

impl Euicc {
    /// Notes that something happened to a profile, if it has an address to tell.
    pub(super) fn notify(&mut self, event: u32, profile: &Profile) {
        let Some(address) = &profile.notification_address else { return };
        let seq_number = self.next_seq_number();
        let (unused, bits) = (7 - event as u8, 0x80_u8 >> event);
        let metadata = element(
            0xbf2f,
            &[
                &integer(0x80, seq_number),
                &element(0x81, &[&[unused, bits]]),
                &element(0x0c, &[address.as_bytes()]),
                &element(0x5a, &[profile.iccid.octets()]),
            ],
        );
        let signature = self.signature(&metadata);
        let shown = self.faults.foreign.as_deref().unwrap_or(&self.identity);
        let octets =
            element(0x30, &[&metadata, &element(0x5f37, &[&signature]), &shown.certificate, &shown.eum_certificate]);
        self.notifications.push(Notification { seq_number, event, octets });
    }

    /// ES10b.RemoveNotificationFromList: forgets the notification or the package result with this number. That the eIM
    /// was reached ends the chance to roll back. False when there is none.
    pub fn remove_notification(&mut self, seq_number: i64) -> bool {
        let before = self.notifications.len() + self.stored_results.len();
        self.notifications.retain(|notification| notification.seq_number != seq_number);
        self.stored_results.retain(|result| result.seq_number != seq_number);
        if self.rollback.as_ref().is_some_and(|rollback| rollback.seq_number == seq_number) {
            self.rollback = None;
        }
        self.notifications.len() + self.stored_results.len() < before
    }
}
