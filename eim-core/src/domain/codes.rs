//! The codes of the specification by name, each with what it means and what to do (SGP.32 v1.2 2.11, annex A).

use super::operation::OperationError;

/// A code: its number, its name and a sentence.
type Code = (i64, &'static str, &'static str);

const OK: Code = (0, "ok", "Done.");
const UNDEFINED: Code = (
    127,
    "undefinedError",
    "The eUICC gave no reason. Try again; if it stays, ask the eUICC's maker with the result's octets.",
);
const NO_PROFILE: Code =
    (1, "iccidOrAidNotFound", "The eUICC has no such profile. List its profiles and use an ICCID that is there.");
const NOT_DISABLED: Code = (
    2,
    "profileNotInDisabledState",
    "The profile is not disabled. An enabled profile must be disabled first, or another one enabled.",
);
const POLICY: Code = (
    3,
    "disallowedByPolicy",
    "A profile policy rule of the profile's owner forbids it. The owner must change the rule first.",
);
const CAT_BUSY: Code = (5, "catBusy", "The device was busy with a card application toolkit session. Try again.");
const NO_ROLLBACK: Code = (
    20,
    "rollbackNotAvailable",
    "The roll-back asked for is not possible, or would lose its target. Ask without rollback, or leave that profile.",
);
const COMMAND: Code = (
    7,
    "commandError",
    "The eUICC could not understand the command. Its version may not support it; ask for its EUICCInfo2.",
);
const NO_EIM: Code = (1, "eimNotFound", "The eUICC has no eIM of this eimId. List its eIMs.");
const NO_MEMORY: Code = (1, "insufficientMemory", "The eUICC has no memory left for it. Delete what is not needed.");
const NO_CI: Code =
    (3, "ciPKUnknown", "The eUICC does not have the CI key that the configuration names. Use one of its own list.");
const COUNTER: Code =
    (6, "counterValueOutOfRange", "The counter is out of the eUICC's range. Set it anew with updateEim and a new key.");
const FALLBACK_ENABLED: Code =
    (3, "fallbackProfileEnabled", "The Fallback Profile is in use. Wait until the device has returned from it.");

fn table(operation: &str) -> &'static [Code] {
    match operation {
        "enable" => const { &[OK, NO_PROFILE, NOT_DISABLED, POLICY, CAT_BUSY, NO_ROLLBACK, UNDEFINED] },
        "disable" => {
            const {
                &[
                    OK,
                    NO_PROFILE,
                    (2, "profileNotInEnabledState", "The profile is not enabled, so there is nothing to disable."),
                    POLICY,
                    CAT_BUSY,
                    UNDEFINED,
                ]
            }
        }
        "delete" => {
            const {
                &[
                    OK,
                    NO_PROFILE,
                    NOT_DISABLED,
                    POLICY,
                    NO_ROLLBACK,
                    (
                        21,
                        "returnFallbackProfile",
                        "The device will return to this profile from its Fallback Profile. Wait until it has.",
                    ),
                    UNDEFINED,
                ]
            }
        }
        "listProfileInfo" => {
            const {
                &[
                    (1, "incorrectInputValues", "The search or the tag list was not understood. Ask without them."),
                    (11, "profileChangeOngoing", "A profile is being changed. Ask again in a moment."),
                    UNDEFINED,
                ]
            }
        }
        "configureImmediateEnable" => const { &[OK, NO_MEMORY, COMMAND, UNDEFINED] },
        "addEim" => {
            const {
                &[
                    OK,
                    NO_MEMORY,
                    (
                        2,
                        "associatedEimAlreadyExists",
                        "An eIM of this eimId is associated already. Use updateEim, or delete it first.",
                    ),
                    NO_CI,
                    (
                        5,
                        "invalidAssociationToken",
                        "The eUICC refused the token. Ask for a fresh one with the value -1.",
                    ),
                    COUNTER,
                    COMMAND,
                    UNDEFINED,
                ]
            }
        }
        "deleteEim" => {
            const {
                &[
                    OK,
                    NO_EIM,
                    (
                        2,
                        "lastEimDeleted",
                        "Done. It was the last eIM: the eUICC takes an unsigned initial configuration again.",
                    ),
                    COMMAND,
                    UNDEFINED,
                ]
            }
        }
        "updateEim" => const { &[OK, NO_EIM, NO_CI, COUNTER, COMMAND, UNDEFINED] },
        "listEim" | "getRAT" => const { &[UNDEFINED] },
        "setFallbackAttribute" => {
            const {
                &[
                    OK,
                    NO_PROFILE,
                    (2, "fallbackNotAllowed", "The profile's owner does not allow it to be the Fallback Profile."),
                    FALLBACK_ENABLED,
                    UNDEFINED,
                ]
            }
        }
        "unsetFallbackAttribute" => {
            const {
                &[
                    OK,
                    (2, "noFallbackAttribute", "No profile has the fallback attribute, so there is nothing to unset."),
                    FALLBACK_ENABLED,
                    COMMAND,
                    UNDEFINED,
                ]
            }
        }
        "processingTerminated" => {
            const {
                &[
                    (1, "resultSizeOverflow", "The result grew too large. Ask for less in one package."),
                    (
                        2,
                        "unknownOrDamagedCommand",
                        "The eUICC did not know this operation. Its version may not support it.",
                    ),
                    (
                        3,
                        "interruption",
                        "The eUICC was interrupted, for example by a loss of power. Ask again for what is missing.",
                    ),
                    UNDEFINED,
                ]
            }
        }
        "package" => {
            const {
                &[
                    (3, "invalidEid", "The package was for another eUICC. Check which device holds this EID."),
                    (4, "replayError", "The eUICC has executed a package with this counter or a higher one before."),
                    (
                        6,
                        "counterValueOutOfRange",
                        "The eUICC refused the counter as out of range. Set it anew with updateEim and a new key.",
                    ),
                    (
                        15,
                        "sizeOverflow",
                        "The package or its result is too large for the eUICC. Ask for less in one package.",
                    ),
                    (104, "ecallActive", "An emergency call profile is enabled. The package is sent again later."),
                    UNDEFINED,
                ]
            }
        }
        "euiccData" => {
            const {
                &[
                    (1, "incorrectTagList", "The IPA does not know one of the tags. Ask for fewer."),
                    (5, "euiccCiPKIdNotFound", "The eUICC has no certificate for the CI key that was named."),
                    (104, "ecallActive", "An emergency call profile is enabled. Ask again later."),
                    UNDEFINED,
                ]
            }
        }
        "ipa" => {
            const {
                &[
                    (1, "invalidPackageFormat", "The IPA could not read the package. It may speak another version."),
                    (2, "unknownPackage", "The IPA does not know this kind of package."),
                    UNDEFINED,
                ]
            }
        }
        // setDefaultDpAddress and rollback know no other.
        _ => const { &[OK, UNDEFINED] },
    }
}

/// The name of a code and what it means; a code outside of the specification is kept by its number.
#[must_use]
pub fn code(operation: &str, code: i64) -> (String, String) {
    table(operation).iter().find(|(number, _, _)| *number == code).map_or_else(
        || (format!("code{code}"), format!("The code {code} is not in the specification. It is kept as received.")),
        |(_, name, message)| ((*name).to_owned(), (*message).to_owned()),
    )
}

/// The code as an error of an operation.
#[must_use]
pub fn error(operation: &str, number: i64) -> OperationError {
    let (name, message) = code(operation, number);
    OperationError { code: Some(number), name, message }
}

/// The name of a stateChangeCause; one outside of the specification is kept by its number.
#[must_use]
pub fn state_change_cause(cause: i64) -> String {
    let names =
        ["otherEim", "fallback", "emergencyProfile", "local", "reset", "immediateEnableProfile", "deviceChange"];
    match usize::try_from(cause).ok().and_then(|index| names.get(index)) {
        Some(name) => (*name).to_owned(),
        None if cause == 127 => "undefined".to_owned(),
        None => format!("cause{cause}"),
    }
}
