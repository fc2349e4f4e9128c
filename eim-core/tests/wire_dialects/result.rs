//! Package results: T1 to T4.

use eim_core::asn1::*;

use crate::*;

#[test]
fn t1_a_sequence_in_place_of_the_result_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 20 -- ProvideEimPackageResult
            BF 51 1D -- EuiccPackageResult
                30 1B -- in place of A0
                    {RESULT_DATA}
                    5F 37 04 01 02 03 04 -- euiccSignEPR
            "
        ),
        &format!(
            "
        BF 50 20 -- ProvideEimPackageResult
            {RESULT}
            "
        ),
    );
}

#[test]
fn t1_a_sequence_in_place_of_the_error_arm() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 17 -- ProvideEimPackageResult
            BF 51 14 -- EuiccPackageResult
                30 12 -- in place of A1
                    {ERROR_DATA}
                    5F 37 04 01 02 03 04 -- euiccSignEPE
            "
        ),
        &format!(
            "
        BF 50 17 -- ProvideEimPackageResult
            BF 51 14 -- EuiccPackageResult
                A1 12 -- euiccPackageErrorSigned
                    {ERROR_DATA}
                    5F 37 04 01 02 03 04 -- euiccSignEPE
            "
        ),
    );
}

#[test]
fn t2_a_package_result_wrapped_twice() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 23 -- ProvideEimPackageResult
            BF 51 20 -- EuiccPackageResult
                {RESULT}
            "
        ),
        &format!(
            "
        BF 50 20 -- ProvideEimPackageResult
            {RESULT}
            "
        ),
    );
}

#[test]
fn t2_a_package_result_wrapped_three_times() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 26 -- ProvideEimPackageResult
            BF 51 23 -- EuiccPackageResult
                BF 51 20 -- EuiccPackageResult
                    {RESULT}
            "
        ),
        &format!(
            "
        BF 50 20 -- ProvideEimPackageResult
            {RESULT}
            "
        ),
    );
}

#[test]
fn t2_an_ipa_euicc_data_response_wrapped_twice() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 0B -- ProvideEimPackageResult
            BF 52 08 -- IpaEuiccDataResponse
                BF 52 05 -- again
                    A0 03 -- ipaEuiccData
                        84 01 05 -- associationToken 5
        ",
        "
        BF 50 08 -- ProvideEimPackageResult
            BF 52 05 -- IpaEuiccDataResponse
                A0 03 -- ipaEuiccData
                    84 01 05 -- associationToken 5
        ",
    );
}

#[test]
fn t2_an_authenticate_server_response_wrapped_twice() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 3B 11 -- AuthenticateClientRequest
            80 01 01 -- transactionId
            BF 38 0B -- authenticateServerResponse
                BF 38 08 -- again
                    A1 06 -- authenticateResponseError
                        80 01 01 -- transactionId
                        02 01 01 -- invalidCertificate(1)
        ",
        "
        BF 3B 0E -- AuthenticateClientRequest
            80 01 01 -- transactionId
            BF 38 08 -- authenticateServerResponse
                A1 06 -- authenticateResponseError
                    80 01 01 -- transactionId
                    02 01 01 -- invalidCertificate(1)
        ",
    );
}

#[test]
fn t2_a_prepare_download_response_wrapped_twice() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 3A 11 -- GetBoundProfilePackageRequest
            80 01 01 -- transactionId
            BF 21 0B -- prepareDownloadResponse
                BF 21 08 -- again
                    A1 06 -- downloadResponseError
                        80 01 01 -- transactionId
                        02 01 01 -- invalidCertificate(1)
        ",
        "
        BF 3A 0E -- GetBoundProfilePackageRequest
            80 01 01 -- transactionId
            BF 21 08 -- prepareDownloadResponse
                A1 06 -- downloadResponseError
                    80 01 01 -- transactionId
                    02 01 01 -- invalidCertificate(1)
        ",
    );
}

#[test]
fn t3_a_bare_code_is_an_unsigned_error() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 06 -- ProvideEimPackageResult
            BF 51 03 -- EuiccPackageResult
                02 01 0F -- sizeOverflow(15)
        ",
        "
        BF 50 08 -- ProvideEimPackageResult
            BF 51 05 -- EuiccPackageResult
                A2 03 -- euiccPackageErrorUnsigned
                    8F 01 0F -- euiccPackageUnsignedErrorCode
        ",
    );
}

#[test]
fn t4_a_sequence_in_place_of_the_profile_list() {
    reads_inside_signed_data_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 34 -- ProvideEimPackageResult
            BF 51 31 -- EuiccPackageResult
                A0 2F -- euiccPackageResultSigned
                    30 26 -- euiccPackageResultDataSigned
                        80 01 65 -- eimId e
                        81 01 0A -- counterValue 10
                        82 02 A1 B2 -- eimTransactionId
                        83 01 0B -- seqNumber 11
                        30 17 -- euiccResult
                            BF 2D 14 -- listProfileInfoResult
                                30 12 -- in place of A0
                                    E3 10 -- ProfileInfo
                                        5A 0A 98 44 47 38 29 01 20 00 00 10 -- iccid
                                        9F 70 01 01 -- profileState enabled(1)
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
        "
        BF 50 34 -- ProvideEimPackageResult
            BF 51 31 -- EuiccPackageResult
                A0 2F -- euiccPackageResultSigned
                    30 26 -- euiccPackageResultDataSigned
                        80 01 65 -- eimId e
                        81 01 0A -- counterValue 10
                        82 02 A1 B2 -- eimTransactionId
                        83 01 0B -- seqNumber 11
                        30 17 -- euiccResult
                            BF 2D 14 -- listProfileInfoResult
                                A0 12 -- profileInfoListOk
                                    E3 10 -- ProfileInfo
                                        5A 0A 98 44 47 38 29 01 20 00 00 10 -- iccid
                                        9F 70 01 01 -- profileState enabled(1)
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
    );
}

#[test]
fn t4_an_integer_in_place_of_the_list_error() {
    reads_inside_signed_data_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 23 -- ProvideEimPackageResult
            BF 51 20 -- EuiccPackageResult
                A0 1E -- euiccPackageResultSigned
                    30 15 -- euiccPackageResultDataSigned
                        80 01 65 -- eimId e
                        81 01 0A -- counterValue 10
                        82 02 A1 B2 -- eimTransactionId
                        83 01 0B -- seqNumber 11
                        30 06 -- euiccResult
                            BF 2D 03 -- listProfileInfoResult
                                02 01 0B -- profileChangeOngoing(11)
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
        "
        BF 50 23 -- ProvideEimPackageResult
            BF 51 20 -- EuiccPackageResult
                A0 1E -- euiccPackageResultSigned
                    30 15 -- euiccPackageResultDataSigned
                        80 01 65 -- eimId e
                        81 01 0A -- counterValue 10
                        82 02 A1 B2 -- eimTransactionId
                        83 01 0B -- seqNumber 11
                        30 06 -- euiccResult
                            BF 2D 03 -- listProfileInfoResult
                                81 01 0B -- profileChangeOngoing(11)
                    5F 37 04 01 02 03 04 -- euiccSignEPR
        ",
    );
}
