//! Result and error codes: numbers to ASN.1 names and back.
//!
//! Codes are INTEGERs in the types, never enumerations: a code outside the module is a value, not a fault (T23).

/// Declares the tables, and for each a module of constants.
macro_rules! codes {
    ($($(#[$doc:meta])* $table:ident, $module:ident { $($constant:ident $name:literal = $code:literal),* $(,)? })*) => {
        /// A table of codes, named after its ASN.1 type or field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CodeTable {
            $($(#[$doc])* $table),*
        }

        impl CodeTable {
            /// Every table.
            pub const ALL: &'static [Self] = &[$(Self::$table),*];

            /// The codes and their ASN.1 names, in the order of the specification.
            #[must_use]
            pub fn entries(self) -> &'static [(i64, &'static str)] {
                match self {
                    $(Self::$table => &[$(($code, $name)),*]),*
                }
            }
        }

        /// The codes as constants, a module per table.
        pub mod code {
            $(
                $(#[$doc])*
                pub mod $module {
                    $(
                        #[doc = concat!("`", $name, "(", stringify!($code), ")`.")]
                        pub const $constant: i64 = $code;
                    )*
                }
            )*
        }
    };
}

/// The ASN.1 name of a code; `None` for one outside the module.
#[must_use]
pub fn code_name(table: CodeTable, code: i64) -> Option<&'static str> {
    table.entries().iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// The code of an ASN.1 name.
#[must_use]
pub fn code_value(table: CodeTable, name: &str) -> Option<i64> {
    table.entries().iter().find(|(_, known)| *known == name).map(|(code, _)| *code)
}

codes! {
    /// `ProfileClass` (SGP.32 v1.2 annex A).
    ProfileClass, profile_class {
        TEST "test" = 0,
        PROVISIONING "provisioning" = 1,
        OPERATIONAL "operational" = 2,
    }
    /// `EimIdType` (SGP.32 v1.2 annex A).
    EimIdType, eim_id_type {
        EIM_ID_TYPE_OID "eimIdTypeOid" = 1,
        EIM_ID_TYPE_FQDN "eimIdTypeFqdn" = 2,
        EIM_ID_TYPE_PROPRIETARY "eimIdTypeProprietary" = 3,
    }
    /// `EnableProfileResult` (SGP.32 v1.2 annex A).
    EnableProfileResult, enable_profile_result {
        OK "ok" = 0,
        ICCID_OR_AID_NOT_FOUND "iccidOrAidNotFound" = 1,
        PROFILE_NOT_IN_DISABLED_STATE "profileNotInDisabledState" = 2,
        DISALLOWED_BY_POLICY "disallowedByPolicy" = 3,
        CAT_BUSY "catBusy" = 5,
        ROLLBACK_NOT_AVAILABLE "rollbackNotAvailable" = 20,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `DisableProfileResult` (SGP.32 v1.2 annex A).
    DisableProfileResult, disable_profile_result {
        OK "ok" = 0,
        ICCID_OR_AID_NOT_FOUND "iccidOrAidNotFound" = 1,
        PROFILE_NOT_IN_ENABLED_STATE "profileNotInEnabledState" = 2,
        DISALLOWED_BY_POLICY "disallowedByPolicy" = 3,
        CAT_BUSY "catBusy" = 5,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `DeleteProfileResult` (SGP.32 v1.2 annex A).
    DeleteProfileResult, delete_profile_result {
        OK "ok" = 0,
        ICCID_OR_AID_NOT_FOUND "iccidOrAidNotFound" = 1,
        PROFILE_NOT_IN_DISABLED_STATE "profileNotInDisabledState" = 2,
        DISALLOWED_BY_POLICY "disallowedByPolicy" = 3,
        ROLLBACK_NOT_AVAILABLE "rollbackNotAvailable" = 20,
        RETURN_FALLBACK_PROFILE "returnFallbackProfile" = 21,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ConfigureImmediateEnableResult` (SGP.32 v1.2 annex A).
    ConfigureImmediateEnableResult, configure_immediate_enable_result {
        OK "ok" = 0,
        INSUFFICIENT_MEMORY "insufficientMemory" = 1,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `DeleteEimResult` (SGP.32 v1.2 annex A).
    DeleteEimResult, delete_eim_result {
        OK "ok" = 0,
        EIM_NOT_FOUND "eimNotFound" = 1,
        LAST_EIM_DELETED "lastEimDeleted" = 2,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `UpdateEimResult` (SGP.32 v1.2 annex A).
    UpdateEimResult, update_eim_result {
        OK "ok" = 0,
        EIM_NOT_FOUND "eimNotFound" = 1,
        CI_PK_UNKNOWN "ciPKUnknown" = 3,
        COUNTER_VALUE_OUT_OF_RANGE "counterValueOutOfRange" = 6,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `RollbackProfileResult` (SGP.32 v1.2 annex A).
    RollbackProfileResult, rollback_profile_result {
        OK "ok" = 0,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `SetFallbackAttributeResult` (SGP.32 v1.2 annex A).
    SetFallbackAttributeResult, set_fallback_attribute_result {
        OK "ok" = 0,
        ICCID_OR_AID_NOT_FOUND "iccidOrAidNotFound" = 1,
        FALLBACK_NOT_ALLOWED "fallbackNotAllowed" = 2,
        FALLBACK_PROFILE_ENABLED "fallbackProfileEnabled" = 3,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `UnsetFallbackAttributeResult` (SGP.32 v1.2 annex A).
    UnsetFallbackAttributeResult, unset_fallback_attribute_result {
        OK "ok" = 0,
        NO_FALLBACK_ATTRIBUTE "noFallbackAttribute" = 2,
        FALLBACK_PROFILE_ENABLED "fallbackProfileEnabled" = 3,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ProcessingTerminated` (SGP.32 v1.2 annex A).
    ProcessingTerminated, processing_terminated {
        RESULT_SIZE_OVERFLOW "resultSizeOverflow" = 1,
        UNKNOWN_OR_DAMAGED_COMMAND "unknownOrDamagedCommand" = 2,
        INTERRUPTION "interruption" = 3,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ProfileInfoListError` (SGP.32 v1.2 annex A).
    ProfileInfoListError, profile_info_list_error {
        INCORRECT_INPUT_VALUES "incorrectInputValues" = 1,
        PROFILE_CHANGE_ONGOING "profileChangeOngoing" = 11,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `AddEimResultCode` (SGP.32 v1.2 annex A).
    AddEimResultCode, add_eim_result_code {
        OK "ok" = 0,
        INSUFFICIENT_MEMORY "insufficientMemory" = 1,
        ASSOCIATED_EIM_ALREADY_EXISTS "associatedEimAlreadyExists" = 2,
        CI_PK_UNKNOWN "ciPKUnknown" = 3,
        INVALID_ASSOCIATION_TOKEN "invalidAssociationToken" = 5,
        COUNTER_VALUE_OUT_OF_RANGE "counterValueOutOfRange" = 6,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ListEimError` (SGP.32 v1.2 annex A).
    ListEimError, list_eim_error {
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `SetDefaultDpAddressResult` (SGP.32 v1.2 annex A).
    SetDefaultDpAddressResult, set_default_dp_address_result {
        OK "ok" = 0,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `EuiccPackageErrorCode` (SGP.32 v1.2 annex A).
    EuiccPackageErrorCode, euicc_package_error_code {
        INVALID_EID "invalidEid" = 3,
        REPLAY_ERROR "replayError" = 4,
        COUNTER_VALUE_OUT_OF_RANGE "counterValueOutOfRange" = 6,
        SIZE_OVERFLOW "sizeOverflow" = 15,
        ECALL_ACTIVE "ecallActive" = 104,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `EuiccPackageUnsignedErrorCode` (SGP.32 v1.2 annex A).
    EuiccPackageUnsignedErrorCode, euicc_package_unsigned_error_code {
        SIZE_OVERFLOW "sizeOverflow" = 15,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `IpaEuiccDataErrorCode` (SGP.32 v1.2 annex A).
    IpaEuiccDataErrorCode, ipa_euicc_data_error_code {
        INCORRECT_TAG_LIST "incorrectTagList" = 1,
        EUICC_CI_PK_ID_NOT_FOUND "euiccCiPKIdNotFound" = 5,
        ECALL_ACTIVE "ecallActive" = 104,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `EuiccCategory` (SGP.32 v1.2 annex A).
    EuiccCategory, euicc_category {
        OTHER "other" = 0,
        BASIC_EUICC "basicEuicc" = 1,
        MEDIUM_EUICC "mediumEuicc" = 2,
        CONTACTLESS_EUICC "contactlessEuicc" = 3,
    }
    /// `IpaMode` (SGP.32 v1.2 annex A).
    IpaMode, ipa_mode {
        IPAD "ipad" = 0,
        IPAE "ipae" = 1,
    }
    /// `ProfileState` (SGP.32 v1.2 annex A).
    ProfileState, profile_state {
        DISABLED "disabled" = 0,
        ENABLED "enabled" = 1,
    }
    /// `IconType` (SGP.32 v1.2 annex A).
    IconType, icon_type {
        JPG "jpg" = 0,
        PNG "png" = 1,
    }
    /// `ProfileDownloadErrorReason` (SGP.32 v1.2 annex A).
    ProfileDownloadErrorReason, profile_download_error_reason {
        ECALL_ACTIVE "ecallActive" = 104,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `StateChangeCause` (SGP.32 v1.2 annex A).
    StateChangeCause, state_change_cause {
        OTHER_EIM "otherEim" = 0,
        FALLBACK "fallback" = 1,
        EMERGENCY_PROFILE "emergencyProfile" = 2,
        LOCAL "local" = 3,
        RESET "reset" = 4,
        IMMEDIATE_ENABLE_PROFILE "immediateEnableProfile" = 5,
        DEVICE_CHANGE "deviceChange" = 6,
        UNDEFINED "undefined" = 127,
    }
    /// `GetEimPackageError` (SGP.32 v1.2 annex A).
    GetEimPackageError, get_eim_package_error {
        NO_EIM_PACKAGE_AVAILABLE "noEimPackageAvailable" = 1,
        EID_NOT_FOUND "eidNotFound" = 2,
        INVALID_EID "invalidEid" = 3,
        MISSING_EID "missingEid" = 4,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `EimPackageResultErrorCode` (SGP.32 v1.2 annex A).
    EimPackageResultErrorCode, eim_package_result_error_code {
        INVALID_PACKAGE_FORMAT "invalidPackageFormat" = 1,
        UNKNOWN_PACKAGE "unknownPackage" = 2,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ProvideEimPackageResultError` (SGP.32 v1.2 annex A).
    ProvideEimPackageResultError, provide_eim_package_result_error {
        EID_NOT_FOUND "eidNotFound" = 2,
        INVALID_EID "invalidEid" = 3,
        MISSING_EID "missingEid" = 4,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `TransferEimPackageError` (SGP.32 v1.3 annex A).
    TransferEimPackageError, transfer_eim_package_error {
        INVALID_PACKAGE_FORMAT "invalidPackageFormat" = 1,
        UNKNOWN_PACKAGE "unknownPackage" = 2,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `InitiateAuthenticationErrorEsipa` (SGP.32 v1.2 annex A).
    InitiateAuthenticationErrorEsipa, initiate_authentication_error_esipa {
        INVALID_DP_ADDRESS "invalidDpAddress" = 1,
        EUICC_VERSION_NOT_SUPPORTED_BY_DP "euiccVersionNotSupportedByDp" = 2,
        CI_PK_ID_NOT_SUPPORTED "ciPKIdNotSupported" = 3,
        SMDP_ADDRESS_MISMATCH "smdpAddressMismatch" = 50,
        SMDP_OID_MISMATCH "smdpOidMismatch" = 51,
        INVALID_EIM_TRANSACTION_ID "invalidEimTransactionId" = 52,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `AuthenticateClientErrorEsipa` (SGP.32 v1.2 annex A).
    AuthenticateClientErrorEsipa, authenticate_client_error_esipa {
        EUM_CERTIFICATE_INVALID "eumCertificateInvalid" = 1,
        EUM_CERTIFICATE_EXPIRED "eumCertificateExpired" = 2,
        EUICC_CERTIFICATE_INVALID "euiccCertificateInvalid" = 3,
        EUICC_CERTIFICATE_EXPIRED "euiccCertificateExpired" = 4,
        EUICC_SIGNATURE_INVALID "euiccSignatureInvalid" = 5,
        MATCHING_ID_REFUSED "matchingIdRefused" = 6,
        EID_MISMATCH "eidMismatch" = 7,
        NO_ELIGIBLE_PROFILE "noEligibleProfile" = 8,
        CI_PK_UNKNOWN "ciPKUnknown" = 9,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 10,
        INSUFFICIENT_MEMORY "insufficientMemory" = 11,
        DOWNLOAD_ORDER_EXPIRED "downloadOrderExpired" = 18,
        PPR_NOT_ALLOWED "pprNotAllowed" = 50,
        EVENT_ID_UNKNOWN "eventIdUnknown" = 56,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `GetBoundProfilePackageErrorEsipa` (SGP.32 v1.2 annex A).
    GetBoundProfilePackageErrorEsipa, get_bound_profile_package_error_esipa {
        EUICC_SIGNATURE_INVALID "euiccSignatureInvalid" = 1,
        CONFIRMATION_CODE_MISSING "confirmationCodeMissing" = 2,
        CONFIRMATION_CODE_REFUSED "confirmationCodeRefused" = 3,
        CONFIRMATION_CODE_RETRIES_EXCEEDED "confirmationCodeRetriesExceeded" = 4,
        BPP_REBINDING_REFUSED "bppRebindingRefused" = 5,
        DOWNLOAD_ORDER_EXPIRED "downloadOrderExpired" = 6,
        METADATA_MISMATCH "metadataMismatch" = 50,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 95,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `CancelSessionError` (SGP.22 v2.5 annex H).
    CancelSessionError, cancel_session_error {
        INVALID_TRANSACTION_ID "invalidTransactionId" = 1,
        EUICC_SIGNATURE_INVALID "euiccSignatureInvalid" = 2,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `CancelSessionResponseError` (SGP.32 v1.2 annex A).
    CancelSessionResponseError, cancel_session_response_error {
        INVALID_TRANSACTION_ID "invalidTransactionId" = 5,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `CancelSessionReason` (SGP.22 v2.5 annex H).
    CancelSessionReason, cancel_session_reason {
        END_USER_REJECTION "endUserRejection" = 0,
        POSTPONED "postponed" = 1,
        TIMEOUT "timeout" = 2,
        PPR_NOT_ALLOWED "pprNotAllowed" = 3,
        METADATA_MISMATCH "metadataMismatch" = 4,
        LOAD_BPP_EXECUTION_ERROR "loadBppExecutionError" = 5,
        UNDEFINED_REASON "undefinedReason" = 127,
    }
    /// `AddInitialEimError` (SGP.32 v1.2 annex A).
    AddInitialEimError, add_initial_eim_error {
        INSUFFICIENT_MEMORY "insufficientMemory" = 1,
        ASSOCIATED_EIM_ALREADY_EXISTS "associatedEimAlreadyExists" = 2,
        CI_PK_UNKNOWN "ciPKUnknown" = 3,
        INVALID_ASSOCIATION_TOKEN "invalidAssociationToken" = 5,
        COUNTER_VALUE_OUT_OF_RANGE "counterValueOutOfRange" = 6,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `GetCertsError` (SGP.32 v1.2 annex A).
    GetCertsError, get_certs_error {
        INVALID_CI_PK_ID "invalidCiPKId" = 1,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `NotificationsListResultError` (SGP.32 v1.2 annex A).
    NotificationsListResultError, notifications_list_result_error {
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `CmdResult` (SGP.32 v1.2 annex A).
    CmdResult, cmd_result {
        OK "ok" = 0,
        ROLLBACK_NOT_ALLOWED "rollbackNotAllowed" = 1,
        CAT_BUSY "catBusy" = 5,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ImmediateEnableResult` (SGP.32 v1.2 annex A).
    ImmediateEnableResult, immediate_enable_result {
        OK "ok" = 0,
        IMMEDIATE_ENABLE_NOT_AVAILABLE "immediateEnableNotAvailable" = 1,
        NO_SESSION_CONTEXT "noSessionContext" = 4,
        CAT_BUSY "catBusy" = 5,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ConfigImmediateEnableResult` (SGP.32 v1.2 annex A).
    ConfigImmediateEnableResult, config_immediate_enable_result {
        OK "ok" = 0,
        INSUFFICIENT_MEMORY "insufficientMemory" = 1,
        ASSOCIATED_EIM_ALREADY_EXISTS "associatedEimAlreadyExists" = 2,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ResetResult` (SGP.32 v1.2 annex A).
    ResetResult, reset_result {
        OK "ok" = 0,
        NOTHING_TO_DELETE "nothingToDelete" = 1,
        CAT_BUSY "catBusy" = 5,
        ECALL_ACTIVE "ecallActive" = 104,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ResetEimResult` (SGP.32 v1.2 annex A).
    ResetEimResult, reset_eim_result {
        OK "ok" = 0,
        NOTHING_TO_DELETE "nothingToDelete" = 1,
        EIM_RESET_NOT_SUPPORTED "eimResetNotSupported" = 2,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ResetImmediateEnableConfigResult` (SGP.32 v1.2 annex A).
    ResetImmediateEnableConfigResult, reset_immediate_enable_config_result {
        OK "ok" = 0,
        RESET_IEC_NOT_SUPPORTED "resetIECNotSupported" = 1,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ExecuteFallbackMechanismResult` (SGP.32 v1.2 annex A).
    ExecuteFallbackMechanismResult, execute_fallback_mechanism_result {
        OK "ok" = 0,
        PROFILE_NOT_IN_DISABLED_STATE "profileNotInDisabledState" = 2,
        CAT_BUSY "catBusy" = 5,
        FALLBACK_NOT_AVAILABLE "fallbackNotAvailable" = 6,
        COMMAND_ERROR "commandError" = 7,
        ECALL_ACTIVE "ecallActive" = 104,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ReturnFromFallbackResult` (SGP.32 v1.2 annex A).
    ReturnFromFallbackResult, return_from_fallback_result {
        OK "ok" = 0,
        CAT_BUSY "catBusy" = 5,
        FALLBACK_NOT_AVAILABLE "fallbackNotAvailable" = 6,
        COMMAND_ERROR "commandError" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `EnableEmergencyProfileResult` (SGP.32 v1.2 annex A).
    EnableEmergencyProfileResult, enable_emergency_profile_result {
        OK "ok" = 0,
        PROFILE_NOT_IN_DISABLED_STATE "profileNotInDisabledState" = 2,
        CAT_BUSY "catBusy" = 5,
        ECALL_NOT_AVAILABLE "ecallNotAvailable" = 8,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `DisableEmergencyProfileResult` (SGP.32 v1.2 annex A).
    DisableEmergencyProfileResult, disable_emergency_profile_result {
        OK "ok" = 0,
        PROFILE_NOT_IN_ENABLED_STATE "profileNotInEnabledState" = 2,
        CAT_BUSY "catBusy" = 5,
        ECALL_NOT_AVAILABLE "ecallNotAvailable" = 8,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `ConnectivityParametersError` (SGP.32 v1.2 annex A).
    ConnectivityParametersError, connectivity_parameters_error {
        PARAMETERS_NOT_AVAILABLE "parametersNotAvailable" = 1,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `AuthenticateErrorCode` (SGP.22 v2.5 annex H).
    AuthenticateErrorCode, authenticate_error_code {
        INVALID_CERTIFICATE "invalidCertificate" = 1,
        INVALID_SIGNATURE "invalidSignature" = 2,
        UNSUPPORTED_CURVE "unsupportedCurve" = 3,
        NO_SESSION_CONTEXT "noSessionContext" = 4,
        INVALID_OID "invalidOid" = 5,
        EUICC_CHALLENGE_MISMATCH "euiccChallengeMismatch" = 6,
        CI_PK_UNKNOWN "ciPKUnknown" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `DownloadErrorCode` (SGP.22 v2.5 annex H).
    DownloadErrorCode, download_error_code {
        INVALID_CERTIFICATE "invalidCertificate" = 1,
        INVALID_SIGNATURE "invalidSignature" = 2,
        UNSUPPORTED_CURVE "unsupportedCurve" = 3,
        NO_SESSION_CONTEXT "noSessionContext" = 4,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 5,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `BppCommandId` (SGP.22 v2.5 annex H).
    BppCommandId, bpp_command_id {
        INITIALISE_SECURE_CHANNEL "initialiseSecureChannel" = 0,
        CONFIGURE_ISDP "configureISDP" = 1,
        STORE_METADATA "storeMetadata" = 2,
        STORE_METADATA2 "storeMetadata2" = 3,
        REPLACE_SESSION_KEYS "replaceSessionKeys" = 4,
        LOAD_PROFILE_ELEMENTS "loadProfileElements" = 5,
    }
    /// `ErrorReason` (SGP.22 v2.5 annex H).
    ErrorReason, error_reason {
        INCORRECT_INPUT_VALUES "incorrectInputValues" = 1,
        INVALID_SIGNATURE "invalidSignature" = 2,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 3,
        UNSUPPORTED_CRT_VALUES "unsupportedCrtValues" = 4,
        UNSUPPORTED_REMOTE_OPERATION_TYPE "unsupportedRemoteOperationType" = 5,
        UNSUPPORTED_PROFILE_CLASS "unsupportedProfileClass" = 6,
        SCP03T_STRUCTURE_ERROR "scp03tStructureError" = 7,
        SCP03T_SECURITY_ERROR "scp03tSecurityError" = 8,
        INSTALL_FAILED_DUE_TO_ICCID_ALREADY_EXISTS_ON_EUICC "installFailedDueToIccidAlreadyExistsOnEuicc" = 9,
        INSTALL_FAILED_DUE_TO_INSUFFICIENT_MEMORY_FOR_PROFILE "installFailedDueToInsufficientMemoryForProfile" = 10,
        INSTALL_FAILED_DUE_TO_INTERRUPTION "installFailedDueToInterruption" = 11,
        INSTALL_FAILED_DUE_TO_PE_PROCESSING_ERROR "installFailedDueToPEProcessingError" = 12,
        INSTALL_FAILED_DUE_TO_DATA_MISMATCH "installFailedDueToDataMismatch" = 13,
        TEST_PROFILE_INSTALL_FAILED_DUE_TO_INVALID_NAA_KEY "testProfileInstallFailedDueToInvalidNaaKey" = 14,
        PPR_NOT_ALLOWED "pprNotAllowed" = 15,
        INSTALL_FAILED_DUE_TO_UNKNOWN_ERROR "installFailedDueToUnknownError" = 127,
    }
    /// `InitiateAuthenticationError` (SGP.22 v2.5 annex H).
    InitiateAuthenticationError, initiate_authentication_error {
        INVALID_DP_ADDRESS "invalidDpAddress" = 1,
        EUICC_VERSION_NOT_SUPPORTED_BY_DP "euiccVersionNotSupportedByDp" = 2,
        CI_PK_NOT_SUPPORTED "ciPKNotSupported" = 3,
    }
    /// `AuthenticateClientErrorEs9` (SGP.22 v2.5 annex H).
    AuthenticateClientErrorEs9, authenticate_client_error_es9 {
        EUM_CERTIFICATE_INVALID "eumCertificateInvalid" = 1,
        EUM_CERTIFICATE_EXPIRED "eumCertificateExpired" = 2,
        EUICC_CERTIFICATE_INVALID "euiccCertificateInvalid" = 3,
        EUICC_CERTIFICATE_EXPIRED "euiccCertificateExpired" = 4,
        EUICC_SIGNATURE_INVALID "euiccSignatureInvalid" = 5,
        MATCHING_ID_REFUSED "matchingIdRefused" = 6,
        EID_MISMATCH "eidMismatch" = 7,
        NO_ELIGIBLE_PROFILE "noEligibleProfile" = 8,
        CI_PK_UNKNOWN "ciPKUnknown" = 9,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 10,
        INSUFFICIENT_MEMORY "insufficientMemory" = 11,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `GetBoundProfilePackageError` (SGP.22 v2.5 annex H).
    GetBoundProfilePackageError, get_bound_profile_package_error {
        EUICC_SIGNATURE_INVALID "euiccSignatureInvalid" = 1,
        CONFIRMATION_CODE_MISSING "confirmationCodeMissing" = 2,
        CONFIRMATION_CODE_REFUSED "confirmationCodeRefused" = 3,
        CONFIRMATION_CODE_RETRIES_EXCEEDED "confirmationCodeRetriesExceeded" = 4,
        BPP_REBINDING_REFUSED "bppRebindingRefused" = 5,
        DOWNLOAD_ORDER_EXPIRED "downloadOrderExpired" = 6,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 95,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `AuthenticateClientErrorEs11` (SGP.22 v2.5 annex H).
    AuthenticateClientErrorEs11, authenticate_client_error_es11 {
        EUM_CERTIFICATE_INVALID "eumCertificateInvalid" = 1,
        EUM_CERTIFICATE_EXPIRED "eumCertificateExpired" = 2,
        EUICC_CERTIFICATE_INVALID "euiccCertificateInvalid" = 3,
        EUICC_CERTIFICATE_EXPIRED "euiccCertificateExpired" = 4,
        EUICC_SIGNATURE_INVALID "euiccSignatureInvalid" = 5,
        EVENT_ID_UNKNOWN "eventIdUnknown" = 6,
        INVALID_TRANSACTION_ID "invalidTransactionId" = 7,
        UNDEFINED_ERROR "undefinedError" = 127,
    }
    /// `RemoteOpId` (SGP.22 v2.5 annex H).
    RemoteOpId, remote_op_id {
        INSTALL_BOUND_PROFILE_PACKAGE "installBoundProfilePackage" = 1,
    }
}
