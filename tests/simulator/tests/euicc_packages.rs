//! The software eUICC checks packages in order, signs its answers, and misbehaves only when asked to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod support;

use eim_core::asn1::{
    EimConfigurationData, EimIdText, EimPublicKeyData, EuiccPackage, EuiccPackageResult, EuiccResultData,
};
use eim_core::ids::AssociationToken;
use eim_core::pki::{Curve, TrustError, verify_package_error, verify_package_result};
use eim_simulator::euicc::{Association, Euicc, Profile, UnsignedError};
use eim_simulator::pki::{FleetPki, TestPki, seeded_key};
use std::sync::Arc;
use support::{TestEim, chain, decoded, fixture, iccid, make, results, signed_error};

#[test]
fn the_shared_signature_vectors_are_accepted_and_refused_as_they_say() {
    let pki = TestPki::load(&support::vectors().join("pki")).unwrap();
    let text = std::fs::read_to_string(support::vectors().join("signed.jsonl")).unwrap();
    let mut seen = 0;
    for line in text.lines().filter(|line| line.contains("\"SIG-REQ-")) {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let context = &vector["context"];
        let certificate = std::fs::read(support::vectors().join(context["eimCert"].as_str().unwrap())).unwrap();
        let certificate = eim_core::asn1::Certificate::from_der(&certificate).unwrap();
        let eid = context["eid"].as_str().unwrap();
        let name = if eid.ends_with("163") { "euicc1" } else { "euicc2" };
        let identity = pki.euicc(Curve::P256, name).unwrap();
        assert_eq!(identity.eid.to_string(), eid);
        let configuration = EimConfigurationData {
            eim_id: EimIdText::new(context["eimId"].as_str().unwrap()).unwrap(),
            eim_fqdn: None,
            eim_id_type: Some(1),
            counter_value: None,
            association_token: None,
            eim_public_key_data: Some(EimPublicKeyData::EimCertificate(certificate)),
            trusted_public_key_data_tls: None,
            eim_supported_protocol: None,
            euicc_ci_pk_id: None,
            indirect_profile_download: None,
        };
        let token = context["associationToken"].as_i64().map(AssociationToken::new);
        let association = Association::new(configuration, context["lastCounter"].as_i64().unwrap(), token).unwrap();
        let mut euicc = Euicc::new(identity).with_association(association);
        let answer = euicc.load_euicc_package(&hex::decode(vector["der"].as_str().unwrap()).unwrap()).unwrap();
        let verdict = match decoded(&answer) {
            EuiccPackageResult::EuiccPackageResultSigned(_) => "valid",
            EuiccPackageResult::EuiccPackageErrorSigned(_) => match signed_error(&answer) {
                3 => "invalidEid",
                4 => "replayError",
                6 => "counterValueOutOfRange",
                code => panic!("unexpected code {code}"),
            },
            EuiccPackageResult::EuiccPackageErrorUnsigned(_) => "unsigned",
        };
        let expected = match vector["expect"]["verdict"].as_str().unwrap() {
            "valid" => "valid",
            "invalid" => "unsigned",
            _ => vector["expect"]["reason"].as_str().unwrap(),
        };
        assert_eq!(verdict, expected, "{}", vector["id"]);
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    let run = || {
        let (mut eim, mut euicc, _) = fixture();
        let first =
            euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::enable(iccid(2)), make::list()])).unwrap();
        let second = euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::delete(iccid(1))])).unwrap();
        (first, second, euicc.notifications().to_vec())
    };
    assert_eq!(run(), run());
}

#[test]
fn results_and_errors_verify_on_both_curves_with_the_stored_token_only() {
    for curve in [Curve::P256, Curve::BrainpoolP256r1] {
        let mut eim = TestEim::new(curve);
        eim.token = Some(AssociationToken::new(128));
        let pki = FleetPki::generate_on(curve, 3).unwrap();
        let mut euicc = support::euicc(&pki, &eim);
        let chain = chain(&pki, &euicc);
        let request = eim.psmo(euicc.eid(), vec![make::list()]);
        let EuiccPackageResult::EuiccPackageResultSigned(result) =
            decoded(&euicc.load_euicc_package(&request).unwrap())
        else {
            panic!("no signed result")
        };
        assert!(verify_package_result(&chain, &result, eim.token).is_ok());
        assert!(matches!(verify_package_result(&chain, &result, None), Err(TrustError::Signature { .. })));
        // the same package again
        let EuiccPackageResult::EuiccPackageErrorSigned(error) = decoded(&euicc.load_euicc_package(&request).unwrap())
        else {
            panic!("no signed error")
        };
        assert_eq!(verify_package_error(&chain, &error, eim.token).unwrap().value().euicc_package_error_code, 4);
    }
}

#[test]
fn a_wrong_token_is_answered_unsigned_and_tells_the_right_one() {
    let (mut eim, mut euicc, _) = fixture();
    euicc.association_mut(support::EIM_ID).unwrap().token = Some(AssociationToken::new(5));
    for (hide, expected) in [(false, Some(5)), (true, None)] {
        euicc.faults.hide_token = hide;
        let answer = euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::list()])).unwrap();
        let EuiccPackageResult::EuiccPackageErrorUnsigned(error) = decoded(&answer) else { panic!("signed") };
        assert_eq!(error.association_token, expected);
        assert_eq!(error.eim_id.unwrap().as_str(), support::EIM_ID);
    }
    assert_eq!(euicc.association(support::EIM_ID).unwrap().counter, 0);
}

#[test]
fn counters_eids_sizes_and_emergency_calls_are_refused_signed() {
    let (mut eim, mut euicc, pki) = fixture();
    let eid = euicc.eid();
    let list = || EuiccPackage::PsmoList(vec![make::list()]);
    let refused = |euicc: &mut Euicc, octets: &[u8]| signed_error(&euicc.load_euicc_package(octets).unwrap());
    assert_eq!(refused(&mut euicc, &eim.package(pki.eid(9), 1, list())), 3);
    assert_eq!(refused(&mut euicc, &eim.package(eid, 0, list())), 4);
    assert_eq!(refused(&mut euicc, &eim.package(eid, -1, list())), 4);
    assert_eq!(refused(&mut euicc, &eim.package(eid, 8_388_608, list())), 6);
    euicc.limits.package_bytes = 100;
    assert_eq!(refused(&mut euicc, &eim.package(eid, 1, list())), 15);
    euicc.limits = Default::default();
    euicc.set_ecall_active(true);
    assert_eq!(refused(&mut euicc, &eim.package(eid, 1, list())), 104);
    euicc.set_ecall_active(false);
    let last = eim.package(eid, 8_388_607, list());
    assert_eq!(results(&euicc.load_euicc_package(&last).unwrap()).len(), 1);
    assert_eq!(euicc.stored_results().len(), 1);
    eim.counter = 8_388_607;
    assert_eq!(refused(&mut euicc, &last), 4);
}

#[test]
fn octets_that_are_no_request_are_an_error_and_unknown_operations_end_the_list() {
    let (eim, mut euicc, _) = fixture();
    for octets in ["", "bf5100", "bf51025f37", "bf5100ff", "30800000"] {
        assert!(euicc.load_euicc_package(&hex::decode(octets).unwrap()).is_err(), "{octets}");
    }
    // 81 01 01 counter, A0 { BF2D 00, B9 00 (no such operation), BF2D 00 }
    let eid = hex::encode(euicc.eid().octets());
    let body = format!("8007322e3939392e315a10{eid}8101018204a1b2c3d4a008bf2d00b900bf2d00");
    let signed = hex::decode(format!("30{:02x}{body}", body.len() / 2)).unwrap();
    let answer = results(&euicc.load_euicc_package(&eim.sign(&signed)).unwrap());
    assert!(matches!(
        answer.as_slice(),
        [EuiccResultData::ListProfileInfoResult(_), EuiccResultData::ProcessingTerminated(2)]
    ));
}

#[test]
fn results_that_do_not_fit_end_the_list() {
    let (mut eim, mut euicc, _) = fixture();
    euicc.limits.result_bytes = 8;
    let answer = euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::enable(iccid(2)), make::list()])).unwrap();
    assert_eq!(results(&answer), [EuiccResultData::EnableResult(0), EuiccResultData::ProcessingTerminated(1)]);
}

#[test]
fn results_stay_until_they_are_acknowledged() {
    let (mut eim, mut euicc, _) = fixture();
    let first = euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::list()])).unwrap();
    let second = euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::list()])).unwrap();
    assert_eq!(
        euicc.stored_results().iter().map(|stored| stored.octets.clone()).collect::<Vec<_>>(),
        [first.clone(), second]
    );
    assert!(euicc.remove_notification(support::seq_number(&first)));
    assert!(!euicc.remove_notification(support::seq_number(&first)));
    assert_eq!(euicc.stored_results().len(), 1);
}

#[test]
fn faults_break_exactly_what_they_say() {
    let (mut eim, good, pki) = fixture();
    let chain = chain(&pki, &good);
    let request = eim.psmo(good.eid(), vec![make::enable(iccid(2)), make::list()]);
    let verdict = |euicc: &mut Euicc| {
        let answer = euicc.load_euicc_package(&request).unwrap();
        match decoded(&answer) {
            EuiccPackageResult::EuiccPackageResultSigned(result) => {
                verify_package_result(&chain, &result, None).map(|verified| verified.warnings().len())
            }
            other => panic!("{other:?}"),
        }
    };
    let with = |set: &dyn Fn(&mut Euicc)| {
        let mut euicc = good.clone();
        set(&mut euicc);
        euicc
    };
    assert_eq!(verdict(&mut good.clone()).unwrap(), 0);
    let other = Arc::new(seeded_key(Curve::P256, 99, "other").unwrap());
    assert!(verdict(&mut with(&|euicc| euicc.faults.signing_key = Some(other.clone()))).is_err());
    assert!(verdict(&mut with(&|euicc| euicc.faults.signing_token = Some(Some(AssociationToken::new(9))))).is_err());
    assert!(verdict(&mut with(&|euicc| euicc.faults.foreign = Some(Box::new(pki.euicc(2).unwrap())))).is_err());
    assert!(verdict(&mut with(&|euicc| euicc.faults.tamper_after_signing = true)).is_err());
    assert_eq!(verdict(&mut with(&|euicc| euicc.faults.der_signature = true)).unwrap(), 1);

    let mut euicc = with(&|euicc| euicc.faults.omit_eim_transaction_id = true);
    let EuiccPackageResult::EuiccPackageResultSigned(result) = decoded(&euicc.load_euicc_package(&request).unwrap())
    else {
        panic!("no result")
    };
    assert_eq!(result.euicc_package_result_data_signed.value().eim_transaction_id, None);

    let mut euicc = with(&|euicc| euicc.faults.unsigned_error = Some(UnsignedError::WithToken(3)));
    let EuiccPackageResult::EuiccPackageErrorUnsigned(error) = decoded(&euicc.load_euicc_package(&request).unwrap())
    else {
        panic!("signed")
    };
    assert_eq!(error.association_token, Some(3));
    assert_eq!(euicc.enabled_iccid(), Some(iccid(1)));

    let mut euicc = with(&|euicc| euicc.faults.signed_error = Some(127));
    assert_eq!(signed_error(&euicc.load_euicc_package(&request).unwrap()), 127);

    let mut euicc = with(&|euicc| euicc.faults.terminate_after = Some((1, 3)));
    let stopped = [EuiccResultData::EnableResult(0), EuiccResultData::ProcessingTerminated(3)];
    assert_eq!(results(&euicc.load_euicc_package(&request).unwrap()), stopped);

    let mut euicc = with(&|euicc| euicc.faults.drop_results_after = Some(1));
    assert_eq!(results(&euicc.load_euicc_package(&request).unwrap()), stopped);

    let mut euicc = with(&|euicc| euicc.faults.replay = Some(vec![0xbf, 0x51, 0x00]));
    assert_eq!(euicc.load_euicc_package(&request).unwrap(), [0xbf, 0x51, 0x00]);
    assert_eq!(euicc.enabled_iccid(), Some(iccid(1)));
}

#[test]
fn errors_use_the_counter_only_when_asked_to() {
    let (mut eim, mut euicc, _) = fixture();
    euicc = euicc.with_profile(Profile { ecall: true, ..Profile::operational(iccid(4), "ecall") });
    assert_eq!(
        (euicc.disable_emergency_profile(), euicc.enable_emergency_profile(), euicc.enable_emergency_profile()),
        (2, 0, 2)
    );
    let request = eim.psmo(euicc.eid(), vec![make::list()]);
    assert_eq!(signed_error(&euicc.load_euicc_package(&request).unwrap()), 104);
    assert_eq!(euicc.association(support::EIM_ID).unwrap().counter, 0);
    euicc.faults.errors_use_counter = true;
    assert_eq!(signed_error(&euicc.load_euicc_package(&request).unwrap()), 104);
    assert_eq!(euicc.association(support::EIM_ID).unwrap().counter, 1);
}
