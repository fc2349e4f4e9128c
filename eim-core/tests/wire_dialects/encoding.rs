//! Forms of v1.0, cancelled sessions, BER: T16, T20, T21.

use eim_core::asn1::*;

use crate::*;

#[test]
fn t16_the_rplmn_of_v1_0() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 4F 17 -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            81 03 09 F1 07 -- rPLMN
        ",
        "
        BF 4F 17 -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            82 03 09 F1 07 -- rPLMN
        ",
    );
}

#[test]
fn t20_an_inner_bf41_left_in() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 41 1E -- CancelSessionRequest
            80 01 01 -- transactionId
            A1 19 -- cancelSessionResponse
                BF 41 16 -- CancelSessionResponse
                    A0 14 -- cancelSessionResponseOk
                        30 0B -- euiccCancelSessionSigned
                            80 01 01 -- transactionId
                            81 03 88 37 0A -- smdpOid 2.999.10
                            82 01 00 -- reason
                        5F 37 04 01 02 03 04 -- euiccCancelSessionSignature
        ",
        "
        BF 41 1B -- CancelSessionRequest
            80 01 01 -- transactionId
            A1 16 -- cancelSessionResponse
                A0 14 -- cancelSessionResponseOk
                    30 0B -- euiccCancelSessionSigned
                        80 01 01 -- transactionId
                        81 03 88 37 0A -- smdpOid 2.999.10
                        82 01 00 -- reason
                    5F 37 04 01 02 03 04 -- euiccCancelSessionSignature
        ",
    );
}

#[test]
fn t20_a_bf41_in_place_of_a1() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 41 1C -- CancelSessionRequest
            80 01 01 -- transactionId
            BF 41 16 -- CancelSessionResponse
                A0 14 -- cancelSessionResponseOk
                    30 0B -- euiccCancelSessionSigned
                        80 01 01 -- transactionId
                        81 03 88 37 0A -- smdpOid 2.999.10
                        82 01 00 -- reason
                    5F 37 04 01 02 03 04 -- euiccCancelSessionSignature
        ",
        "
        BF 41 1B -- CancelSessionRequest
            80 01 01 -- transactionId
            A1 16 -- cancelSessionResponse
                A0 14 -- cancelSessionResponseOk
                    30 0B -- euiccCancelSessionSigned
                        80 01 01 -- transactionId
                        81 03 88 37 0A -- smdpOid 2.999.10
                        82 01 00 -- reason
                    5F 37 04 01 02 03 04 -- euiccCancelSessionSignature
        ",
    );
}

#[test]
fn t21_long_form_lengths_and_padded_integers() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 4F 19 -- GetEimPackageRequest
            5A 81 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            81 04 00 00 00 04 -- stateChangeCause reset(4)
        ",
        "
        BF 4F 15 -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            81 01 04 -- stateChangeCause reset(4)
        ",
    );
}

#[test]
fn t21_negative_integers_with_padding() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 0A -- ProvideEimPackageResult
            BF 52 07 -- IpaEuiccDataResponse
                A0 05 -- ipaEuiccData
                    84 03 FF FF FF -- associationToken -1
        ",
        "
        BF 50 08 -- ProvideEimPackageResult
            BF 52 05 -- IpaEuiccDataResponse
                A0 03 -- ipaEuiccData
                    84 01 FF -- associationToken -1
        ",
    );
}

#[test]
fn t21_true_that_is_not_ff() {
    reads_as::<ProfileRollbackRequest>(
        "
        BF 58 03 -- ProfileRollbackRequest
            80 01 01 -- refreshFlag
        ",
        "
        BF 58 03 -- ProfileRollbackRequest
            80 01 FF -- refreshFlag
        ",
    );
}

#[test]
fn t21_trailing_zero_bits() {
    reads_as::<IpaCapabilities>(
        "
        30 05 -- IpaCapabilities
            80 03 00 80 00 -- ipaFeatures
        ",
        "
        30 04 -- IpaCapabilities
            80 02 07 80 -- ipaFeatures
        ",
    );
}

#[test]
fn t21_an_empty_bit_string_of_zero_octets() {
    reads_as::<IpaCapabilities>(
        "
        30 04 -- IpaCapabilities
            80 02 00 00 -- ipaFeatures
        ",
        "
        30 03 -- IpaCapabilities
            80 01 00 -- ipaFeatures
        ",
    );
}

#[test]
fn v1_0_the_default_address_and_list_in_data() {
    reads_as::<EsipaMessageFromIpaToEim>(
        &format!(
            "
        BF 50 39 -- ProvideEimPackageResult
            BF 52 36 -- IpaEuiccDataResponse
                A0 34 -- ipaEuiccData
                    80 01 61 -- defaultSmdpAddress a
                    BF 2B 2E -- RetrieveNotificationsListResponse
                        A0 2C -- notificationList
                            {INSTALLATION_RESULT}
            "
        ),
        &format!(
            "
        BF 50 36 -- ProvideEimPackageResult
            BF 52 33 -- IpaEuiccDataResponse
                A0 31 -- ipaEuiccData
                    A0 2C -- notificationsList
                        {INSTALLATION_RESULT}
                    81 01 61 -- defaultSmdpAddress a
            "
        ),
    );
}

#[test]
fn v1_0_a_download_error_without_reason() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 50 0C -- ProvideEimPackageResult
            BF 54 09 -- ProfileDownloadTriggerResult
                82 02 A1 B2 -- eimTransactionId
                30 03 -- profileDownloadError
                    04 01 AA -- errorResponse
        ",
        "
        BF 50 0F -- ProvideEimPackageResult
            BF 54 0C -- ProfileDownloadTriggerResult
                82 02 A1 B2 -- eimTransactionId
                30 06 -- profileDownloadError
                    80 01 7F -- undefinedError(127)
                    04 01 AA -- errorResponse
        ",
    );
}

#[test]
fn v1_0_nothing_to_acknowledge() {
    reads_as::<EsipaMessageFromEimToIpa>(
        "
        BF 50 00 -- ProvideEimPackageResultResponse
        ",
        "
        BF 50 02 -- ProvideEimPackageResultResponse
            30 00 -- emptyResponse
        ",
    );
}

#[test]
fn unknown_fields_are_ignored() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 4F 1D -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            9F 55 01 01 -- unknown
            80 00 -- notifyStateChange
            A7 03 -- unknown
                04 01 AA -- anything
        ",
        "
        BF 4F 14 -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            80 00 -- notifyStateChange
        ",
    );
}

#[test]
fn fields_out_of_order_are_read_by_tag() {
    reads_as::<EsipaMessageFromIpaToEim>(
        "
        BF 4F 19 -- GetEimPackageRequest
            82 03 09 F1 07 -- rPLMN
            80 00 -- notifyStateChange
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
        ",
        "
        BF 4F 19 -- GetEimPackageRequest
            5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
            80 00 -- notifyStateChange
            82 03 09 F1 07 -- rPLMN
        ",
    );
}
