//! The PKIs of the simulator pass the eIM's checks, and only theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_core::pki::{Curve, TrustStore, verify_euicc_chain};
use eim_simulator::fleet::Fleet;
use eim_simulator::pki::{FleetPki, TestPki};
use std::path::PathBuf;

#[test]
fn a_fleet_pki_passes_the_chain_check_on_both_curves_and_another_one_does_not() {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    for curve in [Curve::P256, Curve::BrainpoolP256r1] {
        let pki = FleetPki::generate_on(curve, 42).unwrap();
        let other = FleetPki::generate_on(curve, 43).unwrap();
        let trust = TrustStore::from_certificates([pki.ci_certificate()]).unwrap();
        assert_eq!(trust.key_ids().map(|id| id.octets().to_vec()).collect::<Vec<_>>(), [pki.ci_key_id().to_vec()]);
        for index in [0, 1, 99_999] {
            let euicc = pki.euicc(index).unwrap();
            assert!(euicc.eid.check_digits_ok(), "{}", euicc.eid);
            let chain =
                verify_euicc_chain(&trust, &euicc.eum_certificate, &euicc.certificate, now, &euicc.eid).unwrap();
            assert_eq!((chain.eid(), chain.key(), chain.warnings()), (euicc.eid, euicc.key.public_key(), &[][..]));
            let foreign = other.euicc(index).unwrap();
            assert!(
                verify_euicc_chain(&trust, &foreign.eum_certificate, &foreign.certificate, now, &foreign.eid).is_err()
            );
        }
    }
}

#[test]
fn the_ci_folder_can_be_loaded_and_a_seed_gives_the_same_fleet() {
    let dir = std::env::temp_dir().join(format!("eim-simulator-ci-{}", std::process::id()));
    let fleet = Fleet::generate(5, 3).unwrap();
    fleet.write_ci_dir(&dir).unwrap();
    let trust = TrustStore::from_dir(&dir).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(trust.key_ids().count(), 1);
    assert_eq!(fleet.registrations(), Fleet::generate(5, 3).unwrap().registrations());
    assert_ne!(fleet.registrations(), Fleet::generate(6, 3).unwrap().registrations());
    assert!(fleet.devices().iter().all(|device| device.euicc.profiles().len() == 3));
}

#[test]
fn the_test_pki_passes_the_chain_check() {
    let pki = TestPki::load(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors/pki")).unwrap();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    for curve in [Curve::P256, Curve::BrainpoolP256r1] {
        let trust = TrustStore::from_certificates([pki.certificate(curve, "ci").unwrap()]).unwrap();
        for name in ["euicc1", "euicc2", "euicc3"] {
            let euicc = pki.euicc(curve, name).unwrap();
            assert!(verify_euicc_chain(&trust, &euicc.eum_certificate, &euicc.certificate, now, &euicc.eid).is_ok());
        }
    }
}
