//! What is kept, hinted at or refused: T12, T17 to T19, T22 to T24, CX-12.

use eim_core::asn1::{self, *};
use serde_json::{Value, json};

use crate::*;

fn provided(octets: &[u8]) -> ProvideEimPackageResult {
    match asn1::decode_from_ipa(octets).unwrap() {
        EsipaMessageFromIpaToEim::ProvideEimPackageResult(provided) => provided,
        other => panic!("{other:?}"),
    }
}

/// The operations of a signed result inside a message.
fn operations(provided: &ProvideEimPackageResult) -> &[Lenient<EuiccResultData>] {
    match provided.eim_package_result.known() {
        Some(EimPackageResult::EuiccPackageResult(EuiccPackageResult::EuiccPackageResultSigned(signed))) => {
            &signed.euicc_package_result_data_signed.value().euicc_result
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn t12_hints_of_the_eid_when_the_message_has_none() {
    let compact = octets(&format!(
        "
        BF 50 4C -- ProvideEimPackageResult
            30 4A -- ePRAndNotifications
                {RESULT}
                A0 28 -- notificationList
                    {COMPACT_NOTIFICATION}
            "
    ));
    let found = provided(&compact);
    assert_eq!(found.eid_value, None);
    assert_eq!(hex::encode(asn1::eid_hint(&found).unwrap()), "89049032000000000000000000000163");
    assert_eq!(asn1::eim_transaction_id_hint(&found).unwrap().as_slice(), [0xA1, 0xB2]);
    let data = octets(&format!(
        "
        BF 50 15 -- ProvideEimPackageResult
            BF 52 12 -- IpaEuiccDataResponse
                A0 10 -- ipaEuiccData
                    A6 0E -- euiccCertificate
                        {CERTIFICATE_PARTS}
            "
    ));
    let found = provided(&data);
    assert_eq!(asn1::eid_hint(&found), None);
    assert_eq!(hex::encode(asn1::euicc_certificate_hint(&found).unwrap().der()), "300e30030201023003060155030200aa");
}

#[test]
fn t17_a_single_integer_in_the_result_list_is_processing_terminated_and_its_octets_are_kept() {
    let message = octets(
        "
        BF 50 20 -- ProvideEimPackageResult
            BF 51 1D -- EuiccPackageResult
                A0 1B -- euiccPackageResultSigned
                    30 12 -- euiccPackageResultDataSigned
                        80 01 65 -- eimId e
                        81 01 0A -- counterValue 10
                        82 02 A1 B2 -- eimTransactionId
                        83 01 0B -- seqNumber 11
                        30 03 -- euiccResult
                            02 01 02 -- processingTerminated or a code
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
    );
    let found = provided(&message);
    assert_eq!(operations(&found), [Lenient::Known(EuiccResultData::ProcessingTerminated(2))]);
    assert_eq!(asn1::encode(&EsipaMessageFromIpaToEim::ProvideEimPackageResult(found)).unwrap(), message);
}

#[test]
fn t18_an_unknown_operation_and_an_unreadable_one_are_kept_beside_the_known() {
    let message = octets(
        "
        BF 50 29 -- ProvideEimPackageResult
            BF 51 26 -- EuiccPackageResult
                A0 24 -- euiccPackageResultSigned
                    30 1B -- euiccPackageResultDataSigned
                        80 01 65 -- eimId e
                        81 01 0A -- counterValue 10
                        82 02 A1 B2 -- eimTransactionId
                        83 01 0B -- seqNumber 11
                        30 0C -- euiccResult
                            83 01 00 -- enableResult ok(0)
                            9F 55 01 00 -- unknown arm
                            84 00 -- disableResult without a code
                            83 01 00 -- enableResult ok(0)
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
    );
    let found = provided(&message);
    let kinds: Vec<Value> = operations(&found).iter().map(json_of).collect();
    let expected = json!([
        { "enableResult": 0 },
        { "unknown": "9f550100" },
        { "unknown": "8400" },
        { "enableResult": 0 },
    ]);
    assert_eq!(json!(kinds), expected);
    assert_eq!(asn1::encode(&EsipaMessageFromIpaToEim::ProvideEimPackageResult(found)).unwrap(), message);
}

#[test]
fn t18_an_unknown_result_arm_is_kept_and_the_message_taken() {
    let message = octets(
        "
        BF 50 18 -- ProvideEimPackageResult
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            BF 7F 03 -- unknown arm
                80 01 01 -- anything
        ",
    );
    let found = provided(&message);
    let Lenient::Unknown(unknown) = &found.eim_package_result else { panic!("{found:?}") };
    assert_eq!(hex::encode(unknown.octets()), "bf7f03800101");
    assert_eq!(asn1::encode(&EsipaMessageFromIpaToEim::ProvideEimPackageResult(found)).unwrap(), message);
}

#[test]
fn t18_unknown_notifications_are_kept_beside_the_known() {
    let message = octets(&format!(
        "
        BF 50 51 -- ProvideEimPackageResult
            30 4F -- ePRAndNotifications
                {RESULT}
                A0 2D -- notificationList
                    A9 03 -- unknown arm
                        04 01 AA -- anything
                    {COMPACT_NOTIFICATION}
            "
    ));
    let found = provided(&message);
    let Some(EimPackageResult::EPRAndNotifications(both)) = found.eim_package_result.known() else { panic!() };
    assert!(both.euicc_package_result.known().is_some());
    let known: Vec<bool> = both.notification_list.iter().map(|entry| entry.known().is_some()).collect();
    assert_eq!(known, [false, true]);
    assert_eq!(asn1::encode(&EsipaMessageFromIpaToEim::ProvideEimPackageResult(found)).unwrap(), message);
}

#[test]
fn t18_a_package_result_that_cannot_be_read_does_not_lose_the_notifications_beside_it() {
    let message = octets(&format!(
        "
        BF 50 38 -- ProvideEimPackageResult
            30 36 -- ePRAndNotifications
                BF 51 05 -- EuiccPackageResult
                    A5 03 -- unknown arm
                        04 01 AA -- anything
                A0 2C -- notificationList
                    {INSTALLATION_RESULT}
            "
    ));
    let found = provided(&message);
    let Some(EimPackageResult::EPRAndNotifications(both)) = found.eim_package_result.known() else { panic!() };
    assert!(both.euicc_package_result.known().is_none());
    assert!(both.notification_list[0].known().is_some());
}

#[test]
fn t18_a_field_of_the_data_that_cannot_be_read_does_not_lose_the_others() {
    let message = octets(&format!(
        "
        BF 50 25 -- ProvideEimPackageResult
            BF 52 22 -- IpaEuiccDataResponse
                A0 20 -- ipaEuiccData
                    BF 20 05 -- euiccInfo1 without its lists
                        82 03 02 05 00 -- svn
                    BF 22 03 -- euiccInfo2 of no shape
                        04 01 AA -- anything
                    A6 0E -- euiccCertificate
                        {CERTIFICATE_PARTS}
                    A9 00 -- deviceInfo of no shape
            "
    ));
    let found = provided(&message);
    let Some(EimPackageResult::IpaEuiccDataResponse(IpaEuiccDataResponse::IpaEuiccData(data))) =
        found.eim_package_result.known()
    else {
        panic!()
    };
    assert!(data.euicc_certificate.is_some());
    let info1 = data.euicc_info1.as_ref().unwrap();
    assert!(info1.value().known().is_none());
    assert_eq!(hex::encode(info1.octets()), "bf20058203020500");
    assert!(data.euicc_info2.as_ref().unwrap().value().known().is_none());
    assert!(data.device_info.as_ref().unwrap().known().is_none());
    assert_eq!(asn1::encode(&EsipaMessageFromIpaToEim::ProvideEimPackageResult(found)).unwrap(), message);
}

#[test]
fn t19_a_der_signature_is_kept_as_it_is() {
    let message = octets(&format!(
        "
        BF 50 24 -- ProvideEimPackageResult
            BF 51 21 -- EuiccPackageResult
                A0 1F -- euiccPackageResultSigned
                    {RESULT_DATA}
                    5F 37 08 30 06 02 01 01 02 01 02 -- SEQUENCE of r and s
            "
    ));
    let found = provided(&message);
    let Some(EimPackageResult::EuiccPackageResult(EuiccPackageResult::EuiccPackageResultSigned(signed))) =
        found.eim_package_result.known()
    else {
        panic!()
    };
    assert_eq!(hex::encode(signed.euicc_sign_epr.as_slice()), "3006020101020102");
}

#[test]
fn t22_a_bare_result_and_a_whole_message_are_the_same() {
    let bare = octets(&format!(
        "
        BF 51 1D -- EuiccPackageResult
            A0 1B -- euiccPackageResultSigned
                {RESULT_DATA}
                5F 37 04 01 02 03 04 -- euiccSignEPR
            "
    ));
    let whole = octets(&format!(
        "
        BF 50 20 -- ProvideEimPackageResult
            {RESULT}
            "
    ));
    let found = asn1::decode_eim_package_result(&bare).unwrap();
    assert!(matches!(found.eim_package_result, Lenient::Known(EimPackageResult::EuiccPackageResult(_))));
    assert_eq!(asn1::decode_eim_package_result(&whole).unwrap(), found);
    assert_eq!(provided(&whole), found);
    let bare = octets(&format!(
        "
        30 22 -- ePRAndNotifications
            {RESULT}
            A0 00 -- notificationList
            "
    ));
    let whole = octets(&format!(
        "
        BF 50 24 -- ProvideEimPackageResult
            30 22 -- ePRAndNotifications
                {RESULT}
                A0 00 -- notificationList
            "
    ));
    let found = asn1::decode_eim_package_result(&bare).unwrap();
    assert!(matches!(found.eim_package_result, Lenient::Known(EimPackageResult::EPRAndNotifications(_))));
    assert_eq!(asn1::decode_eim_package_result(&whole).unwrap(), found);
    assert_eq!(provided(&whole), found);
    let bare = octets(
        "
        BF 52 05 -- IpaEuiccDataResponse
            A0 03 -- ipaEuiccData
                84 01 05 -- associationToken 5
        ",
    );
    let whole = octets(
        "
        BF 50 08 -- ProvideEimPackageResult
            BF 52 05 -- IpaEuiccDataResponse
                A0 03 -- ipaEuiccData
                    84 01 05 -- associationToken 5
        ",
    );
    let found = asn1::decode_eim_package_result(&bare).unwrap();
    assert!(matches!(found.eim_package_result, Lenient::Known(EimPackageResult::IpaEuiccDataResponse(_))));
    assert_eq!(asn1::decode_eim_package_result(&whole).unwrap(), found);
    assert_eq!(provided(&whole), found);
    let bare = octets(
        "
        BF 54 09 -- ProfileDownloadTriggerResult
            82 02 A1 B2 -- eimTransactionId
            30 03 -- profileDownloadError
                80 01 7F -- undefinedError(127)
        ",
    );
    let whole = octets(
        "
        BF 50 0C -- ProvideEimPackageResult
            BF 54 09 -- ProfileDownloadTriggerResult
                82 02 A1 B2 -- eimTransactionId
                30 03 -- profileDownloadError
                    80 01 7F -- undefinedError(127)
        ",
    );
    let found = asn1::decode_eim_package_result(&bare).unwrap();
    assert!(matches!(found.eim_package_result, Lenient::Known(EimPackageResult::ProfileDownloadTriggerResult(_))));
    assert_eq!(asn1::decode_eim_package_result(&whole).unwrap(), found);
    assert_eq!(provided(&whole), found);
    let bare = octets(
        "
        A0 03 -- eimPackageResultResponseError
            02 01 01 -- invalidPackageFormat(1)
        ",
    );
    let whole = octets(
        "
        BF 50 05 -- ProvideEimPackageResult
            A0 03 -- eimPackageResultResponseError
                02 01 01 -- invalidPackageFormat(1)
        ",
    );
    let found = asn1::decode_eim_package_result(&bare).unwrap();
    assert!(matches!(found.eim_package_result, Lenient::Known(EimPackageResult::EimPackageResultResponseError(_))));
    assert_eq!(asn1::decode_eim_package_result(&whole).unwrap(), found);
    assert_eq!(provided(&whole), found);
}

#[test]
fn t23_codes_outside_the_module_keep_their_number() {
    let message = octets(
        "
        BF 50 0C -- ProvideEimPackageResult
            BF 54 09 -- ProfileDownloadTriggerResult
                82 02 A1 B2 -- eimTransactionId
                30 03 -- profileDownloadError
                    80 01 0D -- no such reason
        ",
    );
    let value = json_of(&provided(&message));
    let reason = &value["eimPackageResult"]["profileDownloadTriggerResult"]["profileDownloadTriggerResultData"]["profileDownloadError"]
        ["profileDownloadErrorReason"];
    assert_eq!(reason, 13);
    assert_eq!(code_name(CodeTable::ProfileDownloadErrorReason, 13), None);
}

#[test]
fn t24_a_trigger_result_by_handle_notification() {
    let message = octets(&format!(
        "
        BF 3D 36 -- HandleNotification
            BF 50 33 -- ProvideEimPackageResult
                BF 54 30 -- ProfileDownloadTriggerResult
                    82 02 A1 B2 -- eimTransactionId
                    {INSTALLATION_RESULT}
            "
    ));
    let message = asn1::decode_from_ipa(&message).unwrap();
    let EsipaMessageFromIpaToEim::HandleNotificationEsipa(HandleNotificationEsipa::ProvideEimPackageResult(found)) =
        message
    else {
        panic!()
    };
    assert!(matches!(found.eim_package_result, Lenient::Known(EimPackageResult::ProfileDownloadTriggerResult(_))));
}

#[test]
fn cx_12_a_package_result_inside_the_result_arm_is_no_result() {
    let message = octets(&format!(
        "
        BF 50 25 -- ProvideEimPackageResult
            BF 51 22 -- EuiccPackageResult
                A0 20 -- euiccPackageResultSigned
                    {RESULT}
            "
    ));
    let found = provided(&message);
    assert!(matches!(found.eim_package_result, Lenient::Unknown(_)), "{found:?}");
}

#[test]
fn a_result_without_its_signature_is_no_result() {
    let message = octets(&format!(
        "
        BF 50 19 -- ProvideEimPackageResult
            BF 51 16 -- EuiccPackageResult
                A0 14 -- euiccPackageResultSigned
                    {RESULT_DATA}
            "
    ));
    let found = provided(&message);
    assert!(matches!(found.eim_package_result, Lenient::Unknown(_)), "{found:?}");
}

#[test]
fn an_eid_that_is_missing_or_of_the_wrong_size_still_makes_a_message() {
    let none = octets(
        "
        BF 4F 00 -- GetEimPackageRequest
        ",
    );
    let short = octets(
        "
        BF 4F 05 -- GetEimPackageRequest
            5A 03 89 04 90 -- eidValue of 3 octets
        ",
    );
    let provided_short = octets(&format!(
        "
        BF 50 25 -- ProvideEimPackageResult
            5A 03 89 04 90 -- eidValue of 3 octets
            {RESULT}
            "
    ));
    let eid = |octets: &[u8]| match asn1::decode_from_ipa(octets).unwrap() {
        EsipaMessageFromIpaToEim::GetEimPackageRequest(request) => request.eid_value,
        EsipaMessageFromIpaToEim::ProvideEimPackageResult(provided) => provided.eid_value,
        other => panic!("{other:?}"),
    };
    assert_eq!(eid(&none), None);
    assert_eq!(eid(&short).unwrap().as_slice(), [0x89, 0x04, 0x90]);
    assert_eq!(eid(&provided_short).unwrap().as_slice(), [0x89, 0x04, 0x90]);
}

#[test]
fn duplicate_fields_are_refused() {
    let twice = octets(
        "
        BF 4F 18 -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            81 01 01 -- stateChangeCause
            81 01 02 -- stateChangeCause
        ",
    );
    let two_eids = octets(&format!(
        "
        BF 50 44 -- ProvideEimPackageResult
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            {RESULT}
            "
    ));
    let two_results = octets(&format!(
        "
        BF 50 40 -- ProvideEimPackageResult
            {RESULT}
            {RESULT}
            "
    ));
    for octets in [twice, two_eids, two_results] {
        let error = asn1::decode_from_ipa(&octets).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
}

#[test]
fn signed_octets_are_kept_whatever_their_header_is_like() {
    let message = octets(
        "
        BF 50 22 -- ProvideEimPackageResult
            BF 51 1F -- EuiccPackageResult
                A0 1D -- euiccPackageResultSigned
                    30 14 -- euiccPackageResultDataSigned
                        80 81 01 65 -- eimId e, long length
                        81 02 00 0A -- counterValue 10, padded
                        83 01 0B -- seqNumber 11
                        30 03 -- euiccResult
                            83 01 00 -- enableResult ok(0)
                        9F 55 01 01 -- unknown field
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
    );
    let found = provided(&message);
    let Some(EimPackageResult::EuiccPackageResult(EuiccPackageResult::EuiccPackageResultSigned(signed))) =
        found.eim_package_result.known()
    else {
        panic!()
    };
    let data = &signed.euicc_package_result_data_signed;
    assert_eq!(data.value().counter_value, 10);
    assert_eq!(hex::encode(data.octets()), "3014808101658102000a83010b30038301009f550101");
}
