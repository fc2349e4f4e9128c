//! Which device is in which wave.
//!
//! The waves take their devices in their order, each from what the waves before it left. A part of the devices is taken
//! by a hash of campaign name and EID: spread over the fleet, always the same for the same campaign, and another part in
//! the next campaign. So a canary is not the oldest devices, and not the same ones each time.

use super::spec::{CampaignSpec, WaveSize};
use crate::domain::Euicc;
use crate::ids::Eid;
use sha2::{Digest, Sha256};
use std::borrow::Borrow;

/// Where a device belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the wave of this index.
    Wave(usize),
    /// The target does not mean it.
    NotTargeted,
    /// It is meant, and there are `maxDevices` without it.
    OverMax,
    /// It is meant, and no wave takes it.
    NoWave,
}

/// The devices with their waves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The place of each device, in the order in which they were given.
    pub places: Vec<Place>,
    /// How many devices each wave has.
    pub by_wave: Vec<u64>,
    /// How many are meant and over `maxDevices`.
    pub over_max: u64,
    /// How many are meant and in no wave.
    pub in_no_wave: u64,
}

impl Assignment {
    /// How many devices are in a wave.
    #[must_use]
    pub fn devices(&self) -> u64 {
        self.by_wave.iter().sum()
    }

    /// Waves without a device, which an operator hardly means.
    #[must_use]
    pub fn empty_waves(&self) -> Vec<usize> {
        self.by_wave.iter().enumerate().filter(|(_, devices)| **devices == 0).map(|(index, _)| index).collect()
    }
}

/// What is remembered of a device while all are counted.
struct Candidate {
    position: u64,
    index: usize,
    /// The filter waves that match it, as bits.
    matches: u64,
}

/// Gives each device its wave, at this time (milliseconds since 1970). Of the devices, a few octets each are kept.
pub fn assign<E: Borrow<Euicc>>(spec: &CampaignSpec, devices: impl IntoIterator<Item = E>, now: i64) -> Assignment {
    let mut places = Vec::new();
    let mut candidates = Vec::new();
    for (index, device) in devices.into_iter().enumerate() {
        let device = device.borrow();
        if spec.target.takes(device, now) {
            candidates.push(Candidate {
                position: position(spec, device.eid),
                index,
                matches: matches(spec, device, now),
            });
        }
        places.push(Place::NotTargeted);
    }
    candidates.sort_unstable_by_key(|candidate| (candidate.position, candidate.index));
    let mut put = |candidate: &Candidate, place| {
        if let Some(found) = places.get_mut(candidate.index) {
            *found = place;
        }
    };
    let max = spec.target.max_devices.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let over = candidates.split_off(max.min(candidates.len()));
    over.iter().for_each(|candidate| put(candidate, Place::OverMax));
    let all = candidates.len();
    let mut by_wave = Vec::new();
    for (wave, size) in spec.waves.iter().map(|wave| &wave.size).enumerate() {
        let mut room = match size {
            WaveSize::Percent(percent) => (all * usize::try_from(*percent).unwrap_or(0)).div_ceil(100),
            WaveSize::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
            WaveSize::Filter(_) | WaveSize::Rest => usize::MAX,
        };
        let before = candidates.len();
        candidates.retain(|candidate| {
            let fits = room > 0 && (!matches!(size, WaveSize::Filter(_)) || candidate.matches >> wave & 1 == 1);
            if fits {
                room -= 1;
                put(candidate, Place::Wave(wave));
            }
            !fits
        });
        by_wave.push((before - candidates.len()) as u64);
    }
    candidates.iter().for_each(|candidate| put(candidate, Place::NoWave));
    Assignment { places, by_wave, over_max: over.len() as u64, in_no_wave: candidates.len() as u64 }
}

/// The place of a device that comes later to a campaign of mode `CONTINUOUS`, when `devices` are in it already.
///
/// It goes to the first wave that takes it: a share by its hash, a filter, or the rest. Waves of a number of devices
/// are full.
#[must_use]
pub fn place_later(spec: &CampaignSpec, device: &Euicc, devices: u64, now: i64) -> Place {
    if !spec.target.takes(device, now) {
        return Place::NotTargeted;
    }
    if spec.target.max_devices.is_some_and(|max| devices >= max.unsigned_abs()) {
        return Place::OverMax;
    }
    let point = position(spec, device.eid) % 100;
    let mut percents = 0;
    let wave = spec.waves.iter().position(|wave| match &wave.size {
        WaveSize::Percent(percent) => {
            percents += percent.unsigned_abs();
            point < percents
        }
        WaveSize::Count(_) => false,
        WaveSize::Filter(filter) => filter.matches(device, now),
        WaveSize::Rest => true,
    });
    wave.map_or(Place::NoWave, Place::Wave)
}

fn matches(spec: &CampaignSpec, device: &Euicc, now: i64) -> u64 {
    // A campaign has at most 64 waves.
    spec.waves.iter().zip(0_u32..64).fold(0, |bits, (wave, index)| match &wave.size {
        WaveSize::Filter(filter) if filter.matches(device, now) => bits | 1 << index,
        _ => bits,
    })
}

fn position(spec: &CampaignSpec, eid: Eid) -> u64 {
    let hash = Sha256::new().chain_update(eid.octets()).chain_update(spec.name.as_bytes()).finalize();
    hash.iter().take(8).fold(0, |position, octet| position << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::super::test_fleet::{eid, euicc, spec};
    use super::*;
    use serde_json::{Value, json};

    fn fleet(n: u32) -> Vec<Euicc> {
        (0..n)
            .map(|number| {
                let mut device = euicc(number);
                device.tags = vec![if number % 4 == 0 { "eu" } else { "us" }.to_owned()];
                device
            })
            .collect()
    }

    fn asked(target: &Value, waves: &Value) -> CampaignSpec {
        spec(&json!({ "target": target, "waves": waves }))
    }

    #[test]
    fn waves_take_their_devices_in_their_order() {
        let all = json!({ "filter": { "all": true } });
        let eu = json!({ "filter": { "tags": ["eu"] } });
        for (waves, target, by_wave, in_no_wave, over_max) in [
            (json!([{ "percent": 10 }, { "percent": 50 }, { "rest": true }]), &all, vec![10, 50, 40], 0, 0),
            (json!([{ "percent": 1 }, { "count": 3 }]), &all, vec![1, 3], 96, 0),
            (json!([{ "filter": { "tags": ["eu"] } }, { "rest": true }]), &all, vec![25, 75], 0, 0),
            (json!([{ "filter": { "tags": ["eu"] } }, { "filter": { "all": true } }]), &all, vec![25, 75], 0, 0),
            (json!([{ "count": 1000 }, { "rest": true }]), &all, vec![100, 0], 0, 0),
            (json!([{ "filter": { "tags": ["asia"] } }, { "percent": 100 }]), &all, vec![0, 100], 0, 0),
            // Rounded up: one percent of 25 is a device, not none.
            (json!([{ "percent": 1 }, { "percent": 99 }]), &eu, vec![1, 24], 0, 0),
            (json!([{ "rest": true }]), &json!({ "filter": { "all": true }, "maxDevices": 7 }), vec![7], 0, 93),
            (
                json!([{ "percent": 50 }, { "rest": true }]),
                &json!({ "filter": { "all": true }, "exclude": [eid(1), eid(2)] }),
                vec![49, 49],
                0,
                0,
            ),
        ] {
            let spec = asked(target, &waves);
            let assignment = assign(&spec, fleet(100), 0);
            assert_eq!(assignment.by_wave, by_wave, "{waves}");
            assert_eq!((assignment.in_no_wave, assignment.over_max), (in_no_wave, over_max), "{waves}");
            assert_eq!(assignment.places.len(), 100);
            for (wave, expected) in by_wave.iter().enumerate() {
                let found = assignment.places.iter().filter(|place| **place == Place::Wave(wave)).count();
                assert_eq!(found as u64, *expected, "{waves}");
            }
        }
    }

    #[test]
    fn a_canary_is_spread_over_the_fleet_and_the_same_in_any_order() {
        let spec = asked(&json!({ "filter": { "all": true } }), &json!([{ "percent": 10 }, { "rest": true }]));
        let devices = fleet(1_000);
        let forward = assign(&spec, &devices, 0);
        let mut backward = assign(&spec, devices.iter().rev(), 0);
        backward.places.reverse();
        assert_eq!(forward, backward);
        let first_half = forward.places.iter().take(500).filter(|place| **place == Place::Wave(0)).count();
        assert!((30..=70).contains(&first_half), "{first_half} of 100 among the older half");
        let other = CampaignSpec { name: "another".to_owned(), ..spec };
        assert_ne!(assign(&other, &devices, 0).places, forward.places);
    }

    #[test]
    fn a_device_in_no_wave_or_not_meant_is_told_apart() {
        let spec = asked(
            &json!({ "filter": { "tags": ["eu"] }, "exclude": [eid(4)] }),
            &json!([{ "filter": { "eids": [eid(0)] } }]),
        );
        let assignment = assign(&spec, fleet(9), 0);
        let expected = |index| match index {
            0 => Place::Wave(0),
            8 => Place::NoWave,
            _ => Place::NotTargeted,
        };
        assert_eq!(assignment.places, (0..9).map(expected).collect::<Vec<_>>());
        assert_eq!((assignment.devices(), assignment.empty_waves()), (1, vec![]));
    }

    #[test]
    fn a_later_device_goes_to_the_first_wave_that_takes_it() {
        let target = json!({ "filter": { "anyTag": ["eu", "us"] }, "mode": "CONTINUOUS", "maxDevices": 5000 });
        let waves = json!([{ "count": 3 }, { "filter": { "tags": ["eu"] } }, { "percent": 20 }, { "rest": true }]);
        let spec = asked(&target, &waves);
        let places: Vec<Place> = fleet(4_000).iter().map(|device| place_later(&spec, device, 10, 0)).collect();
        let count = |wave| places.iter().filter(|place| **place == Place::Wave(wave)).count();
        assert_eq!((count(0), count(1)), (0, 1_000));
        assert!((500..=700).contains(&count(2)), "{} of 3,000 are about a fifth", count(2));
        assert_eq!(count(2) + count(3), 3_000);
        assert_eq!(place_later(&spec, &fleet(1)[0], 5_000, 0), Place::OverMax);
        assert_eq!(place_later(&spec, &euicc(1), 10, 0), Place::NotTargeted);
    }
}
