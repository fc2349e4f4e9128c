//! The comparison finds what is different.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::cli::demo::table;

fn iccid(number: u8) -> Iccid {
    eim_simulator::fleet::fleet_iccid(0, number).unwrap()
}

/// Profiles 1, 2 and 3 (the Fallback Profile), perhaps 4 which was downloaded; this one is enabled.
fn profiles(downloaded: bool, on: u8) -> Profiles {
    let last = if downloaded { 4 } else { 3 };
    (1..=last)
        .map(|number| (iccid(number).to_string(), Held { enabled: number == on, fallback: number == 3 }))
        .collect()
}

/// A device of which everything is as it should be.
fn row(part: Part) -> Row {
    let on = match part {
        Part::Direct | Part::Indirect => 4,
        Part::FallsBack => 3,
        Part::RollsBack | Part::NoRoom | Part::Impostor => 1,
    };
    let downloaded = !matches!(part, Part::NoRoom | Part::Impostor);
    let truth = profiles(downloaded, on);
    let believed = part != Part::Impostor;
    Row {
        eid: "89990001000000000000000000000032".parse().unwrap(),
        part,
        binding: Binding::Asn1,
        first: iccid(1),
        fallback: iccid(3),
        record: Record {
            wave: 0,
            outcome: part.outcome().to_owned(),
            why: String::new(),
            target: downloaded.then(|| iccid(4).to_string()),
            profiles: if believed { truth.clone() } else { Profiles::new() },
            verified: believed,
        },
        truth,
    }
}

const PARTS: [Part; 6] = [Part::Direct, Part::Indirect, Part::RollsBack, Part::FallsBack, Part::NoRoom, Part::Impostor];

fn ended(rows: Vec<Row>) -> Ended {
    let mut outcomes = BTreeMap::new();
    for row in &rows {
        *outcomes.entry(row.record.outcome.clone()).or_default() += 1;
    }
    let waves = vec![Wave { name: "canary".to_owned(), devices: rows.len() as u64, outcomes }];
    Ended { rows, waves }
}

#[test]
fn a_fleet_that_is_where_it_should_be_has_no_differences() {
    let ended = ended(PARTS.into_iter().map(row).collect());
    assert_eq!(ended.differences(), Vec::<String>::new());
    assert!(ended.verdict().is_ok());
    assert!(!table::of(&ended).contains("WRONG"));
}

#[test]
fn a_device_that_is_elsewhere_than_the_server_says_is_wrong() {
    for part in PARTS {
        for on in 1..=3 {
            let mut moved = row(part);
            let before = moved.truth.clone();
            moved.truth = profiles(before.len() == 4, on);
            if moved.truth == before {
                continue;
            }
            let ended = ended(vec![moved]);
            assert!(!ended.differences().is_empty(), "{part:?} on {on}");
            assert!(ended.verdict().is_err(), "the command fails");
            let table = table::of(&ended);
            assert!(table.lines().any(|line| line.starts_with("WRONG 8999")), "{table}");
        }
    }
}

#[test]
fn a_profile_that_only_one_side_has_is_wrong() {
    for (part, others) in [(Part::Direct, profiles(false, 1)), (Part::NoRoom, profiles(true, 1))] {
        let mut row = row(part);
        row.record.profiles = others;
        assert!(!row.differences().is_empty(), "{part:?}");
    }
    let mut row = row(Part::FallsBack);
    row.record.profiles.values_mut().for_each(|held| held.fallback = false);
    assert!(!row.differences().is_empty());
}

#[test]
fn an_outcome_that_is_not_that_of_the_part_is_wrong() {
    for part in PARTS {
        for outcome in ["proven", "rolledBack", "fellBack", "downloadFailed", "refused", "noShow", "none"] {
            let mut row = row(part);
            outcome.clone_into(&mut row.record.outcome);
            assert_eq!(row.differences().is_empty(), outcome == part.outcome(), "{part:?} {outcome}");
        }
    }
}

/// Server and device agree, and both are not where the outcome says.
#[test]
fn an_outcome_that_the_device_does_not_bear_out_is_wrong() {
    for part in [Part::Direct, Part::RollsBack, Part::FallsBack, Part::NoRoom] {
        let mut row = row(part);
        row.truth = profiles(row.truth.len() == 4, 2);
        row.record.profiles = row.truth.clone();
        assert_eq!(row.differences().len(), 1, "{part:?}: {:?}", row.differences());
    }
}

#[test]
fn an_impostor_that_is_believed_and_a_list_that_nobody_verified_are_wrong() {
    let mut impostor = row(Part::Impostor);
    impostor.record.profiles = impostor.truth.clone();
    assert!(!impostor.differences().is_empty());
    let mut unverified = row(Part::Direct);
    unverified.record.verified = false;
    assert!(!unverified.differences().is_empty());
}

#[test]
fn counts_of_a_wave_that_are_not_those_of_its_devices_are_wrong() {
    let mut ended = ended(vec![row(Part::Direct), row(Part::RollsBack)]);
    ended.waves[0].outcomes.insert("proven".to_owned(), 2);
    assert_eq!(ended.differences().len(), 1);
    assert!(table::of(&ended).contains("WRONG wave canary"));
}
