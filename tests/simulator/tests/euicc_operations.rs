//! Every operation of the software eUICC, well and badly, and what the device does to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod support;

use eim_core::asn1::{
    self, AddEimResult, AddInitialEimOkEntry, AddInitialEimRequest, AddInitialEimResponse, Eco, EimConfigurationData,
    Empty, EuiccResultData, IpaEuiccDataRequest, IpaEuiccDataResponse, ListEimResult, OctetString, Octets, OperatorId,
    PprFlags, PprIds, ProfileInfoListRequest, ProfileInfoListRequestSearchCriteria, ProfileInfoListResponse,
    ProfilePolicyAuthorisationRule, Psmo, PsmoConfigureImmediateEnable, SearchCriteriaEuiccPackageResult,
    TransactionId,
};
use eim_core::ids::{AssociationToken, Iccid};
use eim_core::pki::{Curve, SigningKey, verify_notification};
use eim_simulator::euicc::{DeviceDescription, Euicc, MemoryReset, Profile};
use eim_simulator::pki::seeded_key;
use support::{TestEim, chain, fixture, iccid, known, make, results, seq_number};

struct Bench {
    eim: TestEim,
    euicc: Euicc,
}

impl Bench {
    fn new() -> Self {
        let (eim, euicc, _) = fixture();
        Self { eim, euicc }
    }

    fn psmo(&mut self, psmo: Psmo) -> EuiccResultData {
        self.psmos(vec![psmo]).remove(0)
    }

    fn psmos(&mut self, list: Vec<Psmo>) -> Vec<EuiccResultData> {
        results(&self.euicc.load_euicc_package(&self.eim.psmo(self.euicc.eid(), list)).unwrap())
    }

    fn eco(&mut self, eco: Eco) -> EuiccResultData {
        results(&self.euicc.load_euicc_package(&self.eim.eco(self.euicc.eid(), vec![eco])).unwrap()).remove(0)
    }

    fn enabled(&self) -> Option<Iccid> {
        self.euicc.enabled_iccid()
    }
}

#[test]
fn enable_disables_the_other_profile_and_refuses_what_it_must() {
    let mut bench = Bench::new();
    assert_eq!(bench.psmo(make::enable(iccid(9))), EuiccResultData::EnableResult(1));
    assert_eq!(bench.psmo(make::enable(iccid(1))), EuiccResultData::EnableResult(2));
    bench.euicc.cat_busy = true;
    assert_eq!(bench.psmo(make::enable(iccid(2))), EuiccResultData::EnableResult(5));
    assert_eq!(bench.psmo(make::disable(iccid(1))), EuiccResultData::DisableResult(5));
    bench.euicc.cat_busy = false;
    bench.euicc.profile_mut(&iccid(1)).unwrap().ppr1 = true;
    assert_eq!(bench.psmo(make::enable(iccid(2))), EuiccResultData::EnableResult(3));
    assert_eq!(bench.psmo(make::disable(iccid(1))), EuiccResultData::DisableResult(3));
    bench.euicc.profile_mut(&iccid(1)).unwrap().ppr1 = false;
    bench.euicc.limits.rollback = false;
    assert_eq!(bench.psmo(make::enable_with_rollback(iccid(2))), EuiccResultData::EnableResult(20));
    assert_eq!(bench.enabled(), Some(iccid(1)));
    assert_eq!(bench.psmo(make::enable(iccid(2))), EuiccResultData::EnableResult(0));
    assert_eq!(bench.enabled(), Some(iccid(2)));
    assert!(!bench.euicc.profile(&iccid(1)).unwrap().enabled);
}

#[test]
fn disable_and_delete_refuse_what_they_must() {
    let mut bench = Bench::new();
    assert_eq!(bench.psmo(make::disable(iccid(9))), EuiccResultData::DisableResult(1));
    assert_eq!(bench.psmo(make::disable(iccid(2))), EuiccResultData::DisableResult(2));
    assert_eq!(bench.psmo(make::delete(iccid(9))), EuiccResultData::DeleteResult(1));
    assert_eq!(bench.psmo(make::delete(iccid(1))), EuiccResultData::DeleteResult(2));
    bench.euicc.profile_mut(&iccid(2)).unwrap().ppr2 = true;
    assert_eq!(bench.psmo(make::delete(iccid(2))), EuiccResultData::DeleteResult(3));
    assert_eq!(bench.psmo(make::disable(iccid(1))), EuiccResultData::DisableResult(0));
    assert_eq!(bench.enabled(), None);
    assert_eq!(bench.psmo(make::enable_with_rollback(iccid(2))), EuiccResultData::EnableResult(20));
    assert_eq!(bench.psmo(make::delete(iccid(1))), EuiccResultData::DeleteResult(0));
    assert_eq!(bench.euicc.profiles().len(), 2);
}

#[test]
fn list_profile_info_searches_and_selects_fields() {
    let mut bench = Bench::new();
    bench.euicc = bench.euicc.clone().with_profile(Profile {
        class: eim_simulator::euicc::ProfileClass::Test,
        nickname: Some("nick".to_owned()),
        ..Profile::operational(iccid(4), "four").rules(true, true)
    });
    let mut list = |request: ProfileInfoListRequest| match bench.psmo(Psmo::ListProfileInfo(request)) {
        EuiccResultData::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListOk(list)) => {
            list.iter().map(known).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let all = list(ProfileInfoListRequest::default());
    assert_eq!(all.len(), 4);
    assert_eq!((all[0].profile_state, all[1].profile_state), (Some(1), Some(0)));
    assert_eq!((all[2].fallback_allowed, all[3].profile_policy_rules.clone()), (Some(true), None));
    let by = |criteria| ProfileInfoListRequest { search_criteria: Some(criteria), tag_list: None };
    let wire = Octets::from_array(*iccid(2).octets());
    assert_eq!(
        list(by(ProfileInfoListRequestSearchCriteria::Iccid(wire)))[0].iccid.as_deref(),
        Some(&iccid(2).octets()[..])
    );
    assert_eq!(list(by(ProfileInfoListRequestSearchCriteria::ProfileClass(0))).len(), 1);
    let aid = Octets::new(all[0].isdp_aid.clone().unwrap().to_vec()).unwrap();
    assert_eq!(list(by(ProfileInfoListRequestSearchCriteria::IsdpAid(aid))).len(), 1);
    let tag_list = Some(OctetString::from_vec(vec![0x90, 0x99]));
    let some = list(ProfileInfoListRequest { search_criteria: None, tag_list });
    assert_eq!(
        (some[3].iccid.clone(), some[3].profile_nickname.as_ref().map(|text| text.as_str())),
        (None, Some("nick"))
    );
    assert!(some[3].profile_policy_rules.as_ref().unwrap().has("ppr2"));

    let cut_off = Some(OctetString::from_vec(vec![0x9f]));
    let error = bench.psmo(Psmo::ListProfileInfo(ProfileInfoListRequest { search_criteria: None, tag_list: cut_off }));
    let expected = |code| EuiccResultData::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListError(code));
    assert_eq!(error, expected(1));
    bench.euicc.profile_change_ongoing = true;
    assert_eq!(bench.psmo(make::list()), expected(11));
}

#[test]
fn settings_are_kept() {
    let mut bench = Bench::new();
    let rule = ProfilePolicyAuthorisationRule {
        ppr_ids: PprIds::of([1]).unwrap(),
        allowed_operators: vec![OperatorId { mcc_mnc: Octets::from_array([0xee; 3]), gid1: None, gid2: None }],
        ppr_flags: PprFlags::none(),
    };
    bench.euicc.rules_authorisation_table = vec![rule.clone()];
    assert_eq!(bench.psmo(Psmo::GetRAT(Empty {})), EuiccResultData::GetRATResult(vec![rule]));
    let on = PsmoConfigureImmediateEnable {
        immediate_enable_flag: Some(asn1::Null),
        default_smdp_oid: Some(asn1::Oid::parse("2.999.10").unwrap()),
        default_smdp_address: Some("smdp.example".to_owned()),
    };
    assert_eq!(bench.psmo(Psmo::ConfigureImmediateEnable(on)), EuiccResultData::ConfigureImmediateEnableResult(0));
    assert_eq!(bench.euicc.immediate_enable.smdp_oid.as_deref(), Some("2.999.10"));
    let off = || Psmo::ConfigureImmediateEnable(PsmoConfigureImmediateEnable::default());
    assert_eq!(bench.psmo(off()), EuiccResultData::ConfigureImmediateEnableResult(0));
    assert!(!bench.euicc.immediate_enable.flag);
    bench.euicc.limits.immediate_enable = false;
    assert_eq!(bench.psmo(off()), EuiccResultData::ConfigureImmediateEnableResult(7));
    let code = |result| match result {
        EuiccResultData::SetDefaultDpAddressResult(response) => response.set_default_dp_address_result,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(bench.psmo(make::default_dp("smdp.example"))), 0);
    assert_eq!(code(bench.psmo(make::default_dp(&"x".repeat(300)))), 127);
    assert_eq!(bench.euicc.default_dp_address.as_deref(), Some("smdp.example"));
}

#[test]
fn the_fallback_attribute_moves_and_fallback_protects_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.psmo(make::unset_fallback()), EuiccResultData::UnsetFallbackAttributeResult(2));
    assert_eq!(bench.psmo(make::set_fallback(iccid(9))), EuiccResultData::SetFallbackAttributeResult(1));
    assert_eq!(bench.psmo(make::set_fallback(iccid(2))), EuiccResultData::SetFallbackAttributeResult(2));
    assert_eq!(bench.euicc.execute_fallback(), 6);
    assert_eq!(bench.psmo(make::set_fallback(iccid(3))), EuiccResultData::SetFallbackAttributeResult(0));
    assert_eq!((bench.euicc.execute_fallback(), bench.enabled()), (0, Some(iccid(3))));
    assert_eq!(bench.euicc.execute_fallback(), 2);
    assert_eq!(bench.psmo(make::set_fallback(iccid(3))), EuiccResultData::SetFallbackAttributeResult(3));
    assert_eq!(bench.psmo(make::unset_fallback()), EuiccResultData::UnsetFallbackAttributeResult(3));
    assert_eq!(bench.psmo(make::delete(iccid(1))), EuiccResultData::DeleteResult(21));
    assert_eq!((bench.euicc.return_from_fallback(), bench.enabled()), (0, Some(iccid(1))));
    assert_eq!(bench.euicc.return_from_fallback(), 6);
    assert_eq!(bench.psmo(make::unset_fallback()), EuiccResultData::UnsetFallbackAttributeResult(0));
}

#[test]
fn rollback_replaces_the_result_until_it_was_acknowledged() {
    let mut bench = Bench::new();
    let package = vec![make::enable_with_rollback(iccid(2)), make::delete(iccid(1))];
    assert_eq!(bench.psmos(package), [EuiccResultData::EnableResult(0), EuiccResultData::DeleteResult(20)]);
    let counter = bench.eim.counter;
    let response = bench.euicc.profile_rollback().unwrap();
    let result = Euicc::rollback_result(&response).unwrap();
    assert_eq!(results(&result), [EuiccResultData::RollbackResult(0)]);
    let asn1::EuiccPackageResult::EuiccPackageResultSigned(signed) = support::decoded(&result) else {
        panic!("unsigned")
    };
    assert_eq!(signed.euicc_package_result_data_signed.value().counter_value, counter);
    assert_eq!(bench.euicc.stored_results().iter().map(|stored| stored.octets.clone()).collect::<Vec<_>>(), [result]);
    assert_eq!(bench.enabled(), Some(iccid(1)));
    let rollback: asn1::ProfileRollbackResponse = asn1::decode(&bench.euicc.profile_rollback().unwrap()).unwrap();
    assert_eq!((rollback.cmd_result, rollback.euicc_package_result), (1, None));

    let answer = bench
        .euicc
        .load_euicc_package(&bench.eim.psmo(bench.euicc.eid(), vec![make::enable_with_rollback(iccid(2))]))
        .unwrap();
    assert!(bench.euicc.rollback_available());
    bench.euicc.remove_notification(seq_number(&answer));
    assert!(!bench.euicc.rollback_available());
}

#[test]
fn notifications_are_signed_and_stay_until_acknowledged() {
    let (mut eim, mut euicc, pki) = fixture();
    euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::enable(iccid(2)), make::delete(iccid(1))])).unwrap();
    let events: Vec<u32> = euicc.notifications().iter().map(|notification| notification.event).collect();
    assert_eq!(events, [2, 3]);
    let trust = eim_core::pki::TrustStore::from_certificates([pki.ci_certificate()]).unwrap();
    for notification in euicc.notifications() {
        let asn1::PendingNotification::OtherSignedNotification(signed) = asn1::decode(&notification.octets).unwrap()
        else {
            panic!("another notification")
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let metadata = verify_notification(&trust, &signed, now, &euicc.eid()).unwrap();
        assert_eq!(metadata.value().seq_number, notification.seq_number);
    }
    assert!(euicc.remove_notification(euicc.notifications()[0].seq_number));
    assert_eq!(euicc.notifications().len(), 1);
}

fn second_eim(counter: Option<i64>, token: Option<i64>) -> EimConfigurationData {
    let mut eim = TestEim::new(Curve::P256);
    eim.key = seeded_key(Curve::P256, 2, "second").unwrap();
    eim.eim_id = "second.example".to_owned();
    EimConfigurationData {
        counter_value: counter,
        association_token: token,
        eim_id_type: Some(2),
        ..eim.configuration()
    }
}

#[test]
fn add_eim_allocates_tokens_that_never_come_again() {
    let mut bench = Bench::new();
    let code = |code| EuiccResultData::AddEimResult(AddEimResult::AddEimResultCode(code));
    let token = |token| EuiccResultData::AddEimResult(AddEimResult::AssociationToken(token));
    assert_eq!(bench.eco(Eco::AddEim(bench.eim.configuration())), code(2));
    assert_eq!(bench.eco(Eco::AddEim(second_eim(Some(8_388_608), None))), code(6));
    assert_eq!(bench.eco(Eco::AddEim(second_eim(None, Some(-2)))), code(5));
    let no_key = EimConfigurationData { eim_public_key_data: None, ..second_eim(None, None) };
    assert_eq!(bench.eco(Eco::AddEim(no_key)), code(7));
    let unknown_ci = Some(OctetString::from_vec(vec![1; 20]));
    assert_eq!(
        bench.eco(Eco::AddEim(EimConfigurationData { euicc_ci_pk_id: unknown_ci, ..second_eim(None, None) })),
        code(3)
    );
    assert_eq!(bench.eco(Eco::AddEim(second_eim(Some(5), Some(-1)))), token(1));
    assert_eq!(bench.euicc.association("second.example").unwrap().counter, 5);
    assert_eq!(bench.eco(make::delete_eim("second.example")), EuiccResultData::DeleteEimResult(0));
    assert_eq!(bench.eco(Eco::AddEim(second_eim(None, Some(-1)))), token(2));
    assert_eq!(bench.eco(make::delete_eim("second.example")), EuiccResultData::DeleteEimResult(0));
    assert_eq!(bench.eco(Eco::AddEim(second_eim(None, None))), code(0));
    bench.euicc.limits.eims = 2;
    let third = EimConfigurationData { eim_id: asn1::EimIdText::new("third").unwrap(), ..second_eim(None, None) };
    assert_eq!(bench.eco(Eco::AddEim(third)), code(1));
    let EuiccResultData::ListEimResult(ListEimResult::EimIdList(list)) = bench.eco(Eco::ListEim(Empty {})) else {
        panic!("no list")
    };
    let ids: Vec<_> = list.iter().map(|info| (info.eim_id.as_str().to_owned(), info.eim_id_type)).collect();
    assert_eq!(ids, [(support::EIM_ID.to_owned(), Some(1)), ("second.example".to_owned(), Some(2))]);
}

#[test]
fn update_eim_rotates_the_key_and_guards_the_counter() {
    let mut bench = Bench::new();
    let next: SigningKey = seeded_key(Curve::BrainpoolP256r1, 3, "next").unwrap();
    let nothing = || EimConfigurationData {
        eim_public_key_data: None,
        counter_value: None,
        eim_id_type: None,
        ..bench_configuration()
    };
    fn bench_configuration() -> EimConfigurationData {
        TestEim::new(Curve::P256).configuration()
    }
    let code = EuiccResultData::UpdateEimResult;
    let unknown = EimConfigurationData { eim_id: asn1::EimIdText::new("nobody").unwrap(), ..nothing() };
    assert_eq!(bench.eco(Eco::UpdateEim(unknown)), code(1));
    assert_eq!(bench.eco(Eco::UpdateEim(nothing())), code(0));
    let with = |counter_value| EimConfigurationData { counter_value, ..nothing() };
    assert_eq!(bench.eco(Eco::UpdateEim(with(Some(-1)))), code(6));
    assert_eq!(bench.eco(Eco::UpdateEim(with(Some(0)))), code(7));
    let unknown_ci = Some(OctetString::from_vec(vec![1; 20]));
    assert_eq!(bench.eco(Eco::UpdateEim(EimConfigurationData { euicc_ci_pk_id: unknown_ci, ..nothing() })), code(3));
    let rotated = TestEim { key: next, ..TestEim::new(Curve::P256) };
    assert_eq!(bench.eco(Eco::UpdateEim(rotated.configuration())), code(0));
    assert_eq!(bench.euicc.association(support::EIM_ID).unwrap().counter, 0);
    bench.eim = rotated;
    assert!(matches!(bench.psmo(make::list()), EuiccResultData::ListProfileInfoResult(_)));
}

#[test]
fn delete_eim_tells_when_it_was_the_last_and_the_result_is_bound_to_the_old_token() {
    let (mut eim, mut euicc, pki) = fixture();
    eim.token = Some(AssociationToken::new(4));
    euicc.association_mut(support::EIM_ID).unwrap().token = eim.token;
    let unknown = euicc.load_euicc_package(&eim.eco(euicc.eid(), vec![make::delete_eim("nobody")])).unwrap();
    assert_eq!(results(&unknown), [EuiccResultData::DeleteEimResult(1)]);
    let answer = euicc.load_euicc_package(&eim.eco(euicc.eid(), vec![make::delete_eim(support::EIM_ID)])).unwrap();
    assert_eq!(results(&answer), [EuiccResultData::DeleteEimResult(2)]);
    let asn1::EuiccPackageResult::EuiccPackageResultSigned(signed) = support::decoded(&answer) else {
        panic!("unsigned")
    };
    assert!(eim_core::pki::verify_package_result(&chain(&pki, &euicc), &signed, eim.token).is_ok());
    assert!(euicc.associations().is_empty());
}

#[test]
fn add_initial_eim_works_once_until_the_memory_is_reset() {
    let (eim, mut euicc, _) = fixture();
    let request = |token| {
        let configuration = EimConfigurationData { association_token: token, ..eim.configuration() };
        asn1::encode(&AddInitialEimRequest { eim_configuration_data_list: vec![configuration] }).unwrap()
    };
    let add = |euicc: &mut Euicc, token| {
        asn1::decode::<AddInitialEimResponse>(&euicc.add_initial_eim(&request(token)).unwrap()).unwrap()
    };
    assert_eq!(add(&mut euicc, None), AddInitialEimResponse::AddInitialEimError(2));
    let reset = MemoryReset { eim_config_data: true, ..MemoryReset::default() };
    assert_eq!((euicc.memory_reset(&reset), euicc.memory_reset(&reset)), (0, 1));
    let ok = |entry| AddInitialEimResponse::AddInitialEimOk(vec![entry]);
    assert_eq!(add(&mut euicc, Some(-1)), ok(AddInitialEimOkEntry::AssociationToken(1)));
    euicc.memory_reset(&reset);
    assert_eq!(add(&mut euicc, Some(-1)), ok(AddInitialEimOkEntry::AssociationToken(2)));
    euicc.memory_reset(&reset);
    assert_eq!(add(&mut euicc, None), ok(AddInitialEimOkEntry::AddOk(asn1::Null)));
    let everything = MemoryReset { operational_profiles: true, default_smdp_address: true, ..MemoryReset::default() };
    assert_eq!(euicc.memory_reset(&everything), 0);
    assert!(euicc.profiles().is_empty());
}

#[test]
fn undefined_errors_come_when_asked_for() {
    let mut bench = Bench::new();
    bench.euicc.faults.undefined_errors = true;
    assert_eq!(bench.psmo(make::enable(iccid(2))), EuiccResultData::EnableResult(127));
    assert_eq!(bench.eco(make::delete_eim("x")), EuiccResultData::DeleteEimResult(127));
    assert_eq!(bench.eco(Eco::ListEim(Empty {})), EuiccResultData::ListEimResult(ListEimResult::ListEimError(127)));
    assert_eq!(bench.psmo(Psmo::GetRAT(Empty {})), EuiccResultData::GetRATResult(vec![]));
}

#[test]
fn data_requests_get_what_their_tags_ask_for() {
    let (mut eim, mut euicc, _) = fixture();
    euicc.association_mut(support::EIM_ID).unwrap().token = Some(AssociationToken::new(6));
    eim.token = Some(AssociationToken::new(6));
    let first = euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::enable(iccid(2))])).unwrap();
    euicc.load_euicc_package(&eim.psmo(euicc.eid(), vec![make::list()])).unwrap();
    euicc.default_dp_address = Some("smdp.example".to_owned());
    let request = |tags: &str| IpaEuiccDataRequest {
        tag_list: OctetString::from_vec(hex::decode(tags).unwrap()),
        euicc_ci_pk_identifier_to_be_used: None,
        search_criteria_notification: None,
        search_criteria_euicc_package_result: None,
        eim_transaction_id: Some(TransactionId::new(vec![9]).unwrap()),
    };
    let ask = |euicc: &Euicc, request: IpaEuiccDataRequest| {
        let octets = asn1::encode(&request).unwrap();
        let answer = euicc.ipa_euicc_data(&octets, Some(support::EIM_ID), &DeviceDescription::default()).unwrap();
        let decoded = asn1::decode::<IpaEuiccDataResponse>(&answer).unwrap();
        assert_eq!(asn1::encode(&decoded).unwrap(), answer);
        decoded
    };
    let data = |response| match response {
        IpaEuiccDataResponse::IpaEuiccData(data) => data,
        IpaEuiccDataResponse::IpaEuiccDataResponseError(error) => panic!("{error:?}"),
    };
    let all = data(ask(&euicc, request("a081a2bf20bf228384a5a6a8a9")));
    assert_eq!(all.notifications_list.unwrap().len(), 1);
    assert_eq!(all.default_smdp_address.as_deref(), Some("smdp.example"));
    assert_eq!(all.euicc_package_result_list.unwrap().len(), 2);
    assert_eq!(all.association_token, Some(6));
    assert_eq!(all.euicc_certificate.unwrap().der(), euicc.identity().certificate);
    assert_eq!(all.eum_certificate.unwrap().der(), euicc.identity().eum_certificate);
    assert_eq!(all.eim_transaction_id.as_deref(), Some(&[9][..]));
    assert!(all.euicc_info1.is_some() && all.euicc_info2.is_some() && all.device_info.is_some());
    assert!(all.ipa_capabilities.unwrap().into_known().unwrap().ipa_features.has("directRspServerCommunication"));

    let one = IpaEuiccDataRequest {
        search_criteria_euicc_package_result: Some(SearchCriteriaEuiccPackageResult::SeqNumber(seq_number(&first))),
        ..request("a2")
    };
    assert_eq!(data(ask(&euicc, one)).euicc_package_result_list.unwrap().len(), 1);

    let code = |response| match response {
        IpaEuiccDataResponse::IpaEuiccDataResponseError(error) => error.ipa_euicc_data_error_code,
        IpaEuiccDataResponse::IpaEuiccData(data) => panic!("{data:?}"),
    };
    assert_eq!(code(ask(&euicc, request("5a"))), 1);
    let other_ci = Some(OctetString::from_vec(vec![0xff; 20]));
    assert_eq!(
        code(ask(&euicc, IpaEuiccDataRequest { euicc_ci_pk_identifier_to_be_used: other_ci, ..request("a6") })),
        5
    );
    euicc.set_ecall_active(true);
    assert_eq!(code(ask(&euicc, request("a6"))), 104);
}
