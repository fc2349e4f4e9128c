//! Notifications about profiles, kept until they are acknowledged (SGP.22 v2.5 3.5).

use super::{Euicc, Profile};
use crate::tlv::{element, integer};
use eim_core::ids::Iccid;

/// A notification that waits to be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its seqNumber.
    pub seq_number: i64,
    /// notificationInstall(0), notificationEnable(1), notificationDisable(2), notificationDelete(3).
    pub event: u32,
    /// What it is.
    pub kind: NotificationKind,
    /// The `BF37`, or `30 { BF2F metadata, 5F37 signature, 30 euiccCertificate, 30 eumCertificate }`.
    pub octets: Vec<u8>,
}

/// The arms of PendingNotification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationKind {
    /// profileInstallationResult.
    InstallationResult,
    /// otherSignedNotification.
    OtherSigned,
}

pub(super) const INSTALL: u32 = 0;
pub(super) const ENABLE: u32 = 1;
pub(super) const DISABLE: u32 = 2;
pub(super) const DELETE: u32 = 3;

impl Euicc {
    /// Notes that something happened to a profile, once for every address that it has to tell.
    pub(super) fn notify(&mut self, event: u32, profile: &Profile) {
        for target in profile.notification_targets.iter().filter(|target| target.events.contains(&event)) {
            let seq_number = self.next_seq_number();
            let metadata = metadata(seq_number, event, &target.address, Some(&profile.iccid));
            let signature = self.signature(&metadata);
            let shown = self.faults.foreign.as_deref().unwrap_or(&self.identity);
            let parts: [&[u8]; 4] =
                [&metadata, &element(0x5f37, &[&signature]), &shown.certificate, &shown.eum_certificate];
            let octets = element(0x30, &parts);
            let kind = NotificationKind::OtherSigned;
            self.keep_notification(Notification { seq_number, event, kind, octets });
        }
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

/// NotificationMetadata, `BF2F { 80 seqNumber, 81 event, 0C address, 5A iccid? }`.
pub(super) fn metadata(seq_number: i64, event: u32, address: &str, iccid: Option<&Iccid>) -> Vec<u8> {
    let (unused, bits) = (7 - event as u8, 0x80_u8 >> event);
    element(
        0xbf2f,
        &[
            &integer(0x80, seq_number),
            &element(0x81, &[&[unused, bits]]),
            &element(0x0c, &[address.as_bytes()]),
            &iccid.map(|iccid| element(0x5a, &[iccid.octets()])).unwrap_or_default(),
        ],
    )
}
