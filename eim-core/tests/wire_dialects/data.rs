//! IPA data and keys: T5 to T9.

use eim_core::asn1::*;

use crate::*;

#[test]
fn t5_data_fields_without_their_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 0D -- ProvideEimPackageResult
            BF 52 0A -- IpaEuiccDataResponse
                81 01 61 -- defaultSmdpAddress a
                84 01 05 -- associationToken 5
                87 02 A1 B2 -- eimTransactionId
        ",
        "
        BF 50 0F -- ProvideEimPackageResult
            BF 52 0C -- IpaEuiccDataResponse
                A0 0A -- ipaEuiccData
                    81 01 61 -- defaultSmdpAddress a
                    84 01 05 -- associationToken 5
                    87 02 A1 B2 -- eimTransactionId
        ",
    );
}

#[test]
fn t5_a_single_data_field_without_its_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 07 -- ProvideEimPackageResult
            BF 52 04 -- IpaEuiccDataResponse
                81 02 61 62 -- defaultSmdpAddress ab
        ",
        "
        BF 50 09 -- ProvideEimPackageResult
            BF 52 06 -- IpaEuiccDataResponse
                A0 04 -- ipaEuiccData
                    81 02 61 62 -- defaultSmdpAddress ab
        ",
    );
}

#[test]
fn t5_notifications_and_fields_without_their_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 34 -- ProvideEimPackageResult
            BF 52 31 -- IpaEuiccDataResponse
                A0 2C -- notificationsList
                    {INSTALLATION_RESULT}
                84 01 05 -- associationToken 5
            "
        ),
        &format!(
            "
        BF 50 36 -- ProvideEimPackageResult
            BF 52 33 -- IpaEuiccDataResponse
                A0 31 -- ipaEuiccData
                    A0 2C -- notificationsList
                        {INSTALLATION_RESULT}
                    84 01 05 -- associationToken 5
            "
        ),
    );
}

#[test]
fn t6_notifications_without_their_list_tag() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 67 -- ProvideEimPackageResult
            BF 52 64 -- IpaEuiccDataResponse
                A0 62 -- arm or list
                    {INSTALLATION_RESULT}
                    {SIGNED_NOTIFICATION}
            "
        ),
        &format!(
            "
        BF 50 69 -- ProvideEimPackageResult
            BF 52 66 -- IpaEuiccDataResponse
                A0 64 -- ipaEuiccData
                    A0 62 -- notificationsList
                        {INSTALLATION_RESULT}
                        {SIGNED_NOTIFICATION}
            "
        ),
    );
}

#[test]
fn t6_one_compact_notification_without_its_list_tag() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 2D -- ProvideEimPackageResult
            BF 52 2A -- IpaEuiccDataResponse
                A0 28 -- arm or list
                    {COMPACT_NOTIFICATION}
            "
        ),
        &format!(
            "
        BF 50 2F -- ProvideEimPackageResult
            BF 52 2C -- IpaEuiccDataResponse
                A0 2A -- ipaEuiccData
                    A0 28 -- notificationsList
                        {COMPACT_NOTIFICATION}
            "
        ),
    );
}

#[test]
fn t6_two_nested_a0_are_arm_and_list() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 07 -- ProvideEimPackageResult
            BF 52 04 -- IpaEuiccDataResponse
                A0 02 -- ipaEuiccData
                    A0 00 -- notificationsList
        ",
        "
        BF 50 07 -- ProvideEimPackageResult
            BF 52 04 -- IpaEuiccDataResponse
                A0 02 -- ipaEuiccData
                    A0 00 -- notificationsList
        ",
    );
}

#[test]
fn t7_a_bare_data_error_code() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 06 -- ProvideEimPackageResult
            BF 52 03 -- IpaEuiccDataResponse
                02 01 01 -- incorrectTagList(1)
        ",
        "
        BF 50 08 -- ProvideEimPackageResult
            BF 52 05 -- IpaEuiccDataResponse
                A1 03 -- ipaEuiccDataResponseError
                    02 01 01 -- incorrectTagList(1)
        ",
    );
}

#[test]
fn t7_the_data_error_code_of_v1_0() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 06 -- ProvideEimPackageResult
            BF 52 03 -- IpaEuiccDataResponse
                81 01 05 -- euiccCiPKIdNotFound(5)
        ",
        "
        BF 50 08 -- ProvideEimPackageResult
            BF 52 05 -- IpaEuiccDataResponse
                A1 03 -- ipaEuiccDataResponseError
                    02 01 05 -- euiccCiPKIdNotFound(5)
        ",
    );
}

#[test]
fn t8_a_whole_certificate_inside_its_tag() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 29 -- ProvideEimPackageResult
            BF 52 26 -- IpaEuiccDataResponse
                A0 24 -- ipaEuiccData
                    A5 10 -- eumCertificate
                        30 0E -- Certificate
                            {CERTIFICATE_PARTS}
                    A6 10 -- euiccCertificate
                        30 0E -- Certificate
                            {CERTIFICATE_PARTS}
            "
        ),
        &format!(
            "
        BF 50 25 -- ProvideEimPackageResult
            BF 52 22 -- IpaEuiccDataResponse
                A0 20 -- ipaEuiccData
                    A5 0E -- eumCertificate
                        {CERTIFICATE_PARTS}
                    A6 0E -- euiccCertificate
                        {CERTIFICATE_PARTS}
            "
        ),
    );
}

#[test]
fn t9_a_whole_certificate_inside_the_arm() {
    reads_as::<EimConfigurationData>(
        &format!(
            "
        30 17 -- EimConfigurationData
            80 01 65 -- eimId e
            A5 12 -- eimPublicKeyData
                A1 10 -- eimCertificate
                    30 0E -- Certificate
                        {CERTIFICATE_PARTS}
            "
        ),
        &format!(
            "
        30 15 -- EimConfigurationData
            80 01 65 -- eimId e
            A5 10 -- eimPublicKeyData
                A1 0E -- eimCertificate
                    {CERTIFICATE_PARTS}
            "
        ),
    );
}

#[test]
fn t9_a_whole_key_inside_the_arm() {
    reads_as::<EimConfigurationData>(
        "
        30 15 -- EimConfigurationData
            80 01 65 -- eimId e
            A5 10 -- eimPublicKeyData
                A0 0E -- eimPublicKey
                    30 0C -- SubjectPublicKeyInfo
                        30 06 06 01 55 06 01 AA -- algorithm
                        03 02 00 AA -- subjectPublicKey
        ",
        "
        30 13 -- EimConfigurationData
            80 01 65 -- eimId e
            A5 0E -- eimPublicKeyData
                A0 0C -- eimPublicKey
                    30 06 06 01 55 06 01 AA -- algorithm
                    03 02 00 AA -- subjectPublicKey
        ",
    );
}
