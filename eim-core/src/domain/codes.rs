//! What the codes of the specification mean and what to do about them, a sentence each (SGP.32 v1.2 2.11, annex A).

use super::operation::OperationError;
use crate::asn1::{CodeTable, code_name};

/// The name of a code that the specification does not have.
pub const UNKNOWN_RESULT: &str = "unknownResult";

/// The name of a code and what it means. One outside of the specification is kept by its number.
#[must_use]
pub fn explain(table: CodeTable, code: i64) -> (String, String) {
    match code_name(table, code) {
        Some(name) => (name.to_owned(), sentence(table, name).to_owned()),
        None => (
            UNKNOWN_RESULT.to_owned(),
            format!("The code {code} is not in the specification. It is kept as received; ask the eUICC's maker."),
        ),
    }
}

/// The code as the error of an operation.
#[must_use]
pub fn error(table: CodeTable, code: i64) -> OperationError {
    let (name, message) = explain(table, code);
    OperationError { code: Some(code), name, message }
}

/// The name of a stateChangeCause; one outside of the specification is kept by its number.
#[must_use]
pub fn state_change_cause(cause: i64) -> String {
    code_name(CodeTable::StateChangeCause, cause).map_or_else(|| format!("cause{cause}"), str::to_owned)
}

fn sentence(table: CodeTable, name: &str) -> &'static str {
    match (table, name) {
        (
            CodeTable::ErrorReason
            | CodeTable::CancelSessionReason
            | CodeTable::AuthenticateErrorCode
            | CodeTable::DownloadErrorCode
            | CodeTable::ProfileDownloadErrorReason,
            _,
        ) => download_sentence(table, name),
        (_, "ok") => "Done.",
        (_, "iccidOrAidNotFound") => "The eUICC has no such profile. List its profiles and use an ICCID that is there.",
        (_, "profileNotInDisabledState") => {
            "The profile is not disabled. An enabled profile must be disabled first, or another one enabled."
        }
        (_, "profileNotInEnabledState") => "The profile is not enabled, so there is nothing to disable.",
        (_, "disallowedByPolicy") => {
            "A profile policy rule of the profile's owner forbids it. The owner must change the rule first."
        }
        (_, "catBusy") => "The device was busy with a card application toolkit session. Try again.",
        (_, "rollbackNotAvailable") => {
            "The roll-back asked for is not possible, or would lose its target. Ask without rollback, or leave that \
             profile."
        }
        (_, "returnFallbackProfile") => {
            "The device will return to this profile from its Fallback Profile. Wait until it has."
        }
        (_, "incorrectInputValues") => "The search or the tag list was not understood. Ask without them.",
        (_, "profileChangeOngoing") => "A profile is being changed. Ask again in a moment.",
        (_, "insufficientMemory") => "The eUICC has no memory left for it. Delete what is not needed.",
        (_, "commandError") => {
            "The eUICC could not understand the command. Its version may not support it; ask for its EUICCInfo2."
        }
        (_, "associatedEimAlreadyExists") => {
            "An eIM of this eimId is associated already. Use updateEim, or delete it first."
        }
        (_, "ciPKUnknown") => {
            "The eUICC does not have the CI key that the configuration names. Use one of its own list."
        }
        (_, "invalidAssociationToken") => "The eUICC refused the token. Ask for a fresh one with the value -1.",
        (CodeTable::EuiccPackageErrorCode, "counterValueOutOfRange") => {
            "The eUICC refused the counter. Nothing more is sent until the association is renewed and its counter set."
        }
        (_, "counterValueOutOfRange") => "The counter in the configuration is out of the eUICC's range.",
        (_, "eimNotFound") => "The eUICC has no eIM of this eimId. List its eIMs.",
        (_, "lastEimDeleted") => "Done. It was the last eIM: the eUICC takes an unsigned initial configuration again.",
        (_, "fallbackNotAllowed") => "The profile's owner does not allow it to be the Fallback Profile.",
        (_, "fallbackProfileEnabled") => "The Fallback Profile is in use. Wait until the device has returned from it.",
        (_, "noFallbackAttribute") => "No profile has the fallback attribute, so there is nothing to unset.",
        (_, "resultSizeOverflow") => "The result grew too large. Ask for less in one package.",
        (_, "sizeOverflow") => "The package or its result is too large for the eUICC. Ask for less in one package.",
        (_, "unknownOrDamagedCommand") => "The eUICC did not know this operation. Its version may not support it.",
        (_, "interruption") => {
            "The eUICC was interrupted, for example by a loss of power. Ask again for what is missing."
        }
        (_, "invalidEid") => "The package was for another eUICC. Check which device holds this EID.",
        (_, "replayError") => "The eUICC has executed a package with this counter or a higher one before.",
        (_, "ecallActive") => "An emergency call profile is enabled. It is asked for again later.",
        (_, "incorrectTagList") => "The IPA does not know one of the tags. Ask for fewer.",
        (_, "euiccCiPKIdNotFound") => "The eUICC has no certificate for the CI key that was named.",
        (_, "invalidPackageFormat") => "The IPA could not read the package. It may speak another version.",
        (_, "unknownPackage") => "The IPA does not know this kind of package.",
        (CodeTable::EimPackageResultErrorCode | CodeTable::IpaEuiccDataErrorCode, "undefinedError") => {
            "The IPA gave no reason. Try again; if it stays, ask the device's maker."
        }
        (_, "undefinedError") => {
            "The eUICC gave no reason. Try again; if it stays, ask the eUICC's maker with the result's octets."
        }
        _ => "See the specification for this code.",
    }
}

/// What went wrong with a download, and what to do about it.
fn download_sentence(table: CodeTable, name: &str) -> &'static str {
    match (table, name) {
        (_, "incorrectInputValues") => "The eUICC refused a value in the bound profile package. Tell the SM-DP+.",
        (CodeTable::ErrorReason, "invalidSignature") => {
            "The eUICC refused the signature in the bound profile package. Tell the SM-DP+ and order again."
        }
        (CodeTable::ErrorReason, "invalidTransactionId") => {
            "The bound profile package was of another session. Ask for the download again."
        }
        (_, "unsupportedCrtValues" | "unsupportedRemoteOperationType") => {
            "The eUICC does not know a parameter of the bound profile package. Tell the SM-DP+ which version the eUICC has."
        }
        (_, "unsupportedProfileClass") => "The eUICC takes no profile of this class. Order one of another class.",
        (_, "scp03tStructureError") => "The bound profile package is built wrongly. Tell the SM-DP+ and order again.",
        (_, "scp03tSecurityError") => {
            "The bound profile package was damaged or is for another eUICC. Ask for the download again; if it stays, tell \
             the SM-DP+."
        }
        (_, "installFailedDueToIccidAlreadyExistsOnEuicc") => {
            "A profile with this ICCID is installed already. List the profiles; delete it first if it is to be replaced."
        }
        (_, "installFailedDueToInsufficientMemoryForProfile") => {
            "The eUICC has no room for the profile. Delete a profile that is not needed, then order again."
        }
        (_, "installFailedDueToInterruption") => {
            "The installation was interrupted, for example by a loss of power. Order again."
        }
        (_, "installFailedDueToPEProcessingError") => {
            "The eUICC could not process an element of the profile. The profile does not suit this eUICC; tell its owner."
        }
        (_, "installFailedDueToDataMismatch") => {
            "The profile does not agree with what was announced of it. Tell the SM-DP+ and order again."
        }
        (_, "testProfileInstallFailedDueToInvalidNaaKey") => {
            "It is a test profile with a key that test profiles must not have. Tell its owner."
        }
        (CodeTable::ErrorReason, "pprNotAllowed") => {
            "The eUICC does not allow the policy rules of the profile. Order a profile without them, or use another eUICC."
        }
        (_, "installFailedDueToUnknownError") => {
            "The eUICC gave no reason for not installing the profile. Order again; if it stays, ask the eUICC's maker."
        }
        (_, "endUserRejection") => "The device rejected the profile. Ask whoever runs the device.",
        (_, "postponed") => "The device postponed the download. It is asked again later.",
        (_, "timeout") => "The device ran out of time for the download. It is asked again later.",
        (_, "pprNotAllowed") => {
            "The policy rules of the profile are not allowed on this eUICC. Order one without them."
        }
        (_, "metadataMismatch") => "The device found that the profile is not what was announced. Tell the SM-DP+.",
        (_, "loadBppExecutionError") => {
            "The eUICC stopped loading the profile. Its installation result tells more; if there is none, order again."
        }
        (_, "undefinedReason") => "The device cancelled the download and gave no reason. Try again.",
        (_, "invalidCertificate") => {
            "The eUICC does not accept the server's certificate. Check that the server is below a CI that the eUICC knows."
        }
        (_, "invalidSignature") => "The eUICC does not accept the server's signature. Tell the server's provider.",
        (_, "unsupportedCurve") => {
            "The eUICC does not know the curve of the server's key. Use a server with another key."
        }
        (_, "noSessionContext") => "The eUICC had lost the session. Ask for the download again.",
        (_, "invalidOid") => {
            "The eUICC found another server than the activation code names. Check the activation code."
        }
        (_, "euiccChallengeMismatch") => {
            "The server answered another challenge. Ask again; if it stays, tell its provider."
        }
        (_, "ciPKUnknown") => "The eUICC does not know the CI of the server. Use a server below one of its CIs.",
        (_, "invalidTransactionId") => "The eUICC had another session. Ask for the download again.",
        (_, "ecallActive") => "An emergency call profile is enabled. The device is asked again later.",
        (CodeTable::ProfileDownloadErrorReason, _) => {
            "The device could not download the profile and gave no reason. Look at its connection to the server, and at \
             the order there."
        }
        _ => "The eUICC gave no reason. Ask for the download again; if it stays, ask the eUICC's maker.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_result_has_a_sentence_of_its_own() {
        let tables = [
            CodeTable::EnableProfileResult,
            CodeTable::DisableProfileResult,
            CodeTable::DeleteProfileResult,
            CodeTable::ProfileInfoListError,
            CodeTable::ConfigureImmediateEnableResult,
            CodeTable::AddEimResultCode,
            CodeTable::DeleteEimResult,
            CodeTable::UpdateEimResult,
            CodeTable::ListEimError,
            CodeTable::RollbackProfileResult,
            CodeTable::SetFallbackAttributeResult,
            CodeTable::UnsetFallbackAttributeResult,
            CodeTable::ProcessingTerminated,
            CodeTable::SetDefaultDpAddressResult,
            CodeTable::EuiccPackageErrorCode,
            CodeTable::IpaEuiccDataErrorCode,
            CodeTable::EimPackageResultErrorCode,
        ];
        for table in tables {
            for (code, name) in table.entries() {
                let (explained, message) = explain(table, *code);
                assert_eq!(explained, *name);
                assert!(!message.starts_with("See the specification"), "{table:?} {name}");
            }
        }
        assert_eq!(explain(CodeTable::EnableProfileResult, 99).0, UNKNOWN_RESULT);
    }
}
