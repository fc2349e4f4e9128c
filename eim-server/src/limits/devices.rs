//! What one device, or whoever says that it is one, may ask for.
//!
//! The EID in a message is proven by nobody. So it is counted twice: with the address that it came from, and altogether at four times the rate.
//! Whoever floods an EID from elsewhere uses up their own part of it first.

use super::rate::Rate;
use super::strangers::Strangers;
use super::table::{Name, Table};
use super::turns::{Place, Turns};
use super::{TooMany, block_of};
use crate::config::Limits;
use eim_core::ids::Eid;
use std::net::IpAddr;
use std::sync::Arc;

/// EIDs that are remembered. Of a larger fleet those that polled last.
const EIDS: usize = 131_072;
/// EIDs, and sessions, with an address.
const PAIRS: usize = 65_536;
/// What all addresses together may ask for under one EID, in parts of what one may.
const ALL_ADDRESSES: u32 = 4;

/// Whose request it is, as far as it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject<'a> {
    /// An EID that the message names.
    Eid(Eid),
    /// A session with an SM-DP+ or SM-DS, by its transactionId.
    Session(&'a [u8]),
}

/// The limits for devices.
#[derive(Debug)]
pub(crate) struct Devices {
    eids: Table,
    pairs: Table,
    each: Rate,
    all: Rate,
    strangers: Strangers,
    turns: Arc<Turns>,
}

/// A request that was let through, for what comes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admitted {
    name: Option<Name>,
    is_known: bool,
}

impl Devices {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (per_second, burst) = (limits.eid_per_second, limits.eid_burst);
        Self {
            eids: Table::new(EIDS),
            pairs: Table::new(PAIRS),
            each: Rate::new(per_second, burst),
            all: Rate::new(per_second.saturating_mul(ALL_ADDRESSES), burst.saturating_mul(ALL_ADDRESSES)),
            strangers: Strangers::new(limits.strangers_per_second, limits.strangers_burst),
            turns: Turns::new(limits.eid_at_once),
        }
    }

    /// Lets a request through, or says how long it has to wait. One without a subject counts as that of a stranger.
    pub(crate) fn admit(
        &self,
        subject: Option<Subject<'_>>,
        from: Option<IpAddr>,
        now_ms: i64,
    ) -> Result<Admitted, TooMany> {
        let now_us = now_ms.saturating_mul(1_000);
        let (name, is_known) = match subject {
            Some(subject) => {
                let (name, is_known) = self.take(subject, from, now_us)?;
                (Some(name), is_known)
            }
            None => (None, false),
        };
        if !is_known {
            self.strangers.may_try(now_us).map_err(|wait| TooMany::after(wait, "strangers"))?;
        }
        Ok(Admitted { name, is_known })
    }

    fn take(&self, subject: Subject<'_>, from: Option<IpAddr>, now_us: i64) -> Result<(Name, bool), TooMany> {
        let beyond = |wait| match subject {
            Subject::Eid(_) => TooMany::after(wait, "eid"),
            Subject::Session(_) => TooMany::after(wait, "session"),
        };
        let pair = self.pairs.name((subject, from.map(block_of)));
        self.pairs.with(pair, |entry| self.each.take(&mut entry.bucket, now_us)).map_err(beyond)?;
        let name = self.eids.name(subject);
        let (taken, is_known) =
            self.eids.with(name, |entry| (self.all.take(&mut entry.bucket, now_us), entry.is_known()));
        taken.map_err(beyond)?;
        Ok((name, is_known))
    }

    /// A place among the requests under an EID, which are worked on one after the other; none is needed without an EID.
    pub(crate) fn line_up(&self, subject: Option<Subject<'_>>, from: Option<IpAddr>) -> Result<Option<Place>, TooMany> {
        let Some(subject @ Subject::Eid(_)) = subject else { return Ok(None) };
        let pair = self.pairs.name((subject, from.map(block_of)));
        let place = self.turns.enter(pair, self.eids.name(subject));
        place.map(Some).ok_or(TooMany { reason: "eidAtOnce", retry_after_s: 1 })
    }

    /// Notes a session that the eIM itself has just given to a device.
    pub(crate) fn introduce(&self, subject: Subject<'_>) {
        self.eids.with(self.eids.name(subject), |entry| entry.set_known(true));
    }

    /// Notes whether it was from somebody whom the store knows.
    pub(crate) fn answered(&self, admitted: Admitted, is_stranger: bool, now_ms: i64) {
        if !admitted.is_known {
            self.strangers.tried(is_stranger, admitted.name, &self.eids, now_ms.saturating_mul(1_000));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Config;

    const NOW: i64 = 1_767_225_600_000;

    fn devices() -> Devices {
        let mut limits = Config::default().limits;
        (limits.eid_per_second, limits.eid_burst) = (1, 10);
        (limits.strangers_per_second, limits.strangers_burst) = (1, 5);
        Devices::new(&limits)
    }

    fn eid(number: u32) -> Subject<'static> {
        Subject::Eid(format!("890440459300000000000000{number:08}").parse().unwrap())
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// How many of a hundred are let through, all of them known.
    fn let_through(devices: &Devices, subject: Subject<'_>, from: u8, now: i64) -> usize {
        let admitted = |_: &usize| {
            let admitted = devices.admit(Some(subject), address(from), now);
            admitted.map(|admitted| devices.answered(admitted, false, now)).is_ok()
        };
        (0..100).filter(admitted).count()
    }

    #[test]
    fn whoever_floods_an_eid_from_elsewhere_uses_up_their_own_part_of_it() {
        let devices = devices();
        assert_eq!(let_through(&devices, eid(1), 1, NOW), 10);
        assert_eq!(let_through(&devices, eid(1), 2, NOW), 10, "another address has its own part");
        assert_eq!(let_through(&devices, eid(2), 1, NOW), 10, "another EID as well");
        let all: usize = (3..60).map(|from| let_through(&devices, eid(1), from, NOW)).sum();
        assert_eq!(all, 20, "and altogether there are four parts");
        assert_eq!(let_through(&devices, eid(1), 1, NOW + 3_000), 3);
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let devices = devices();
        let_through(&devices, eid(1), 1, NOW);
        let refused = devices.admit(Some(eid(1)), address(1), NOW).unwrap_err();
        assert_eq!((refused.reason, refused.retry_after_s), ("eid", 1));
        let session = Subject::Session(&[1, 2, 3]);
        let_through(&devices, session, 1, NOW);
        assert_eq!(devices.admit(Some(session), address(1), NOW).unwrap_err().reason, "session");
    }

    #[test]
    fn strangers_share_what_they_may_try_and_hold_up_nobody_who_is_known() {
        let devices = devices();
        assert_eq!(let_through(&devices, eid(1), 1, NOW), 10);
        let stranger = |number| {
            let admitted = devices.admit(Some(eid(number)), address(9), NOW)?;
            devices.answered(admitted, true, NOW);
            Ok::<_, TooMany>(())
        };
        assert_eq!((100..200).filter(|number| stranger(*number).is_ok()).count(), 5);
        assert_eq!(stranger(300).unwrap_err().reason, "strangers");
        assert_eq!(devices.admit(None, address(9), NOW).unwrap_err().reason, "strangers", "without a name, too");
        assert!(devices.admit(Some(eid(1)), address(1), NOW + 1_000).is_ok());
        assert!(devices.admit(None, address(9), NOW + 1_000).is_ok());
        assert!(
            devices.admit(Some(eid(400)), address(9), NOW + 1_000).is_ok(),
            "and after a while there is room again"
        );
    }
}
