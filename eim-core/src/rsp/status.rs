//! Status codes of ES9+' and ES11': what a server refused, the ESipa error that it becomes, and what to do about it
//! (SGP.22 v2.5 5.2.6, 5.6, 5.8; SGP.32 v1.2 annex A).

use super::ServerKind;
use crate::asn1::code::{
    authenticate_client_error_esipa as ac, cancel_session_error as cs, get_bound_profile_package_error_esipa as bpp,
    initiate_authentication_error_esipa as ia,
};
use crate::asn1::{CodeTable, code_name};
use crate::ports::RspFunction;
use serde_json::Value;
use std::fmt;

/// Characters of a code that are kept.
const MAX_CODE_CHARACTERS: usize = 16;
/// Characters of a message that are kept.
const MAX_MESSAGE_CHARACTERS: usize = 256;

/// statusCodeData of a server that refused. The texts are the server's: bounded, and without control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// subjectCode, such as `8.2.6`; empty if the server named none.
    pub subject: String,
    /// reasonCode, such as `3.8`; empty if the server named none.
    pub reason: String,
    /// message. A server may repeat in it what it was sent, so it does not show in `Debug` and `Display`.
    pub message: Option<String>,
}

impl fmt::Debug for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerStatus({self})")
    }
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject.is_empty() && self.reason.is_empty() {
            return f.write_str("no status code");
        }
        write!(f, "status code {}/{}", self.subject, self.reason)
    }
}

impl ServerStatus {
    /// Reads functionExecutionStatus of an answer that failed.
    pub(super) fn of(execution_status: &Value) -> Self {
        let text = |member: &str, limit: usize| {
            let text = execution_status.get("statusCodeData")?.get(member)?.as_str()?;
            Some(text.chars().filter(|c| !c.is_control()).take(limit).collect::<String>())
        };
        let code = |member| text(member, MAX_CODE_CHARACTERS).map(|code| code.trim().to_owned()).unwrap_or_default();
        let message = text("message", MAX_MESSAGE_CHARACTERS).filter(|message| !message.trim().is_empty());
        Self { subject: code("subjectCode"), reason: code("reasonCode"), message }
    }

    /// The initiateAuthenticationErrorEsipa that this becomes.
    #[must_use]
    pub fn initiate_authentication_code(&self) -> i64 {
        self.code(RspFunction::InitiateAuthentication, ServerKind::SmDpPlus)
    }

    /// The authenticateClientErrorEsipa that this becomes.
    #[must_use]
    pub fn authenticate_client_code(&self, kind: ServerKind) -> i64 {
        self.code(RspFunction::AuthenticateClient, kind)
    }

    /// The getBoundProfilePackageErrorEsipa that this becomes.
    #[must_use]
    pub fn get_bound_profile_package_code(&self) -> i64 {
        self.code(RspFunction::GetBoundProfilePackage, ServerKind::SmDpPlus)
    }

    /// The cancelSessionError that this becomes.
    #[must_use]
    pub fn cancel_session_code(&self) -> i64 {
        self.code(RspFunction::CancelSession, ServerKind::SmDpPlus)
    }

    /// The ESipa error code of a function: undefinedError(127) where the specification has no better one.
    #[must_use]
    pub fn code(&self, function: RspFunction, kind: ServerKind) -> i64 {
        self.row(function, kind).map_or(UNDEFINED_ERROR, |row| row.code)
    }

    /// The ASN.1 name of the ESipa error, for operators: `undefinedError` where there is none.
    ///
    /// An expired download order is called by its name for AuthenticateClient too, where SGP.32 v1.2 has no code for it
    /// on the wire and v1.3 has.
    #[must_use]
    pub fn name(&self, function: RspFunction, kind: ServerKind) -> &'static str {
        let Some(row) = self.row(function, kind) else { return UNDEFINED_ERROR_NAME };
        if row.code == UNDEFINED_ERROR && row.status == ("8.8.5", "4.10") {
            return code_name(CodeTable::AuthenticateClientErrorEsipa, ac::DOWNLOAD_ORDER_EXPIRED)
                .unwrap_or(UNDEFINED_ERROR_NAME);
        }
        let table = match function {
            RspFunction::InitiateAuthentication => CodeTable::InitiateAuthenticationErrorEsipa,
            RspFunction::AuthenticateClient => CodeTable::AuthenticateClientErrorEsipa,
            RspFunction::GetBoundProfilePackage => CodeTable::GetBoundProfilePackageErrorEsipa,
            RspFunction::CancelSession => CodeTable::CancelSessionError,
            RspFunction::HandleNotification => return UNDEFINED_ERROR_NAME,
        };
        code_name(table, row.code).unwrap_or(UNDEFINED_ERROR_NAME)
    }

    /// The cause and the next step, a sentence or two for the operator. The server's own message is not in it.
    #[must_use]
    pub fn explain(&self, function: RspFunction, kind: ServerKind) -> String {
        if let Some(row) = self.row(function, kind) {
            return row.sentence.replace("{server}", kind.as_str());
        }
        let (server, called) = (kind.as_str(), function.as_str());
        if self.subject.is_empty() && self.reason.is_empty() {
            return format!(
                "The {server} refused {called} without saying why. Ask its provider, with the EID and the time."
            );
        }
        let subject = meaning(SUBJECTS, &self.subject).unwrap_or("unknown subject");
        let reason = meaning(REASONS, &self.reason).unwrap_or("unknown reason");
        format!(
            "The {server} refused {called}: {subject} ({}), {reason} ({}). Ask its provider about this status code, \
             with the EID and the time.",
            self.subject, self.reason
        )
    }

    fn row(&self, function: RspFunction, kind: ServerKind) -> Option<&'static Row> {
        rows(function).iter().find(|row| {
            row.status == (self.subject.as_str(), self.reason.as_str()) && row.kind.is_none_or(|only| only == kind)
        })
    }
}

const UNDEFINED_ERROR: i64 = 127;
const UNDEFINED_ERROR_NAME: &str = "undefinedError";

/// What a status code of a function becomes.
struct Row {
    /// Subject and reason.
    status: (&'static str, &'static str),
    /// The only kind of server that it holds for, if not for both.
    kind: Option<ServerKind>,
    code: i64,
    sentence: &'static str,
}

const fn row(status: (&'static str, &'static str), code: i64, sentence: &'static str) -> Row {
    Row { status, kind: None, code, sentence }
}

const fn rows(function: RspFunction) -> &'static [Row] {
    match function {
        RspFunction::InitiateAuthentication => INITIATE_AUTHENTICATION,
        RspFunction::AuthenticateClient => AUTHENTICATE_CLIENT,
        RspFunction::GetBoundProfilePackage => GET_BOUND_PROFILE_PACKAGE,
        RspFunction::CancelSession => CANCEL_SESSION,
        RspFunction::HandleNotification => &[],
    }
}

const NO_COMMON_CI: &str = "The {server} and the eUICC have no certificate issuer in common. Use a server that works with \
    the CI of this eUICC.";

const INITIATE_AUTHENTICATION: &[Row] = &[
    row(
        ("8.8.1", "3.8"),
        ia::INVALID_DP_ADDRESS,
        "The {server} does not know itself by the address that was used. Write the address as its provider does, and \
         not an alias.",
    ),
    row(("8.8.2", "3.1"), ia::CI_PK_ID_NOT_SUPPORTED, NO_COMMON_CI),
    row(
        ("8.8.3", "3.1"),
        ia::EUICC_VERSION_NOT_SUPPORTED_BY_DP,
        "The {server} does not support the version of this eUICC. Ask its provider for a server that does.",
    ),
    row(("8.8.4", "3.7"), ia::CI_PK_ID_NOT_SUPPORTED, NO_COMMON_CI),
    of_smds(
        ("8.9.1", "3.8"),
        ia::INVALID_DP_ADDRESS,
        "The {server} does not know itself by the address that was used. Write the address as its provider does, and \
         not an alias.",
    ),
    of_smds(("8.9.2", "3.1"), ia::CI_PK_ID_NOT_SUPPORTED, NO_COMMON_CI),
    of_smds(
        ("8.9.3", "3.1"),
        ia::EUICC_VERSION_NOT_SUPPORTED_BY_DP,
        "The {server} does not support the version of this eUICC. Ask its provider for a server that does.",
    ),
    of_smds(("8.9.4", "3.7"), ia::CI_PK_ID_NOT_SUPPORTED, NO_COMMON_CI),
];

/// A row that only an SM-DS has.
const fn of_smds(status: (&'static str, &'static str), code: i64, sentence: &'static str) -> Row {
    Row { status, code, kind: Some(ServerKind::SmDs), sentence }
}

const AUTHENTICATE_CLIENT: &[Row] = &[
    row(
        ("8.1.2", "6.1"),
        ac::EUM_CERTIFICATE_INVALID,
        "The {server} does not accept the certificate of the eUICC's maker. Ask its provider whether it trusts the CI \
         of this eUICC.",
    ),
    row(
        ("8.1.2", "6.3"),
        ac::EUM_CERTIFICATE_EXPIRED,
        "The certificate of the eUICC's maker has expired for the {server}. Ask the maker of the eUICC.",
    ),
    row(
        ("8.1.3", "6.1"),
        ac::EUICC_CERTIFICATE_INVALID,
        "The {server} does not accept the eUICC's certificate. Ask its provider whether it trusts the CI of this eUICC.",
    ),
    row(
        ("8.1.3", "6.3"),
        ac::EUICC_CERTIFICATE_EXPIRED,
        "The eUICC's certificate has expired for the {server}. Ask the maker of the eUICC.",
    ),
    row(
        ("8.1", "6.1"),
        ac::EUICC_SIGNATURE_INVALID,
        "The {server} could not verify the eUICC's signature, or it belongs to another session. Begin the download \
         again; if it stays so, the eUICC's stored data is stale: refresh it.",
    ),
    row(
        ("8.2.6", "3.8"),
        ac::MATCHING_ID_REFUSED,
        "The {server} does not know the matchingId, or it is used up. Check the activation code, or order a new one \
         from the profile's owner.",
    ),
    row(
        ("8.1.1", "3.8"),
        ac::EID_MISMATCH,
        "The profile was ordered for another EID. Ask the profile's owner to order it for this eUICC.",
    ),
    row(
        ("8.2.5", "4.3"),
        ac::NO_ELIGIBLE_PROFILE,
        "The {server} has no profile that this eUICC or device can take. Ask the profile's owner for another profile \
         type.",
    ),
    row(
        ("8.2", "1.2"),
        ac::NO_ELIGIBLE_PROFILE,
        "The {server} has a profile that may not be downloaded now. Ask the profile's owner to release it.",
    ),
    row(
        ("8.11.1", "3.9"),
        ac::CI_PK_UNKNOWN,
        "The {server} does not know the CI key of the eUICC. Use a server that works with the CI of this eUICC.",
    ),
    row(
        ("8.10.1", "3.9"),
        ac::INVALID_TRANSACTION_ID,
        "The {server} no longer has this session: it took too long, or the server was restarted. Begin the download \
         again.",
    ),
    row(
        ("8.1", "4.8"),
        ac::INSUFFICIENT_MEMORY,
        "The eUICC has no memory left for this profile. Delete a profile that is not needed, then begin again.",
    ),
    row(
        ("8.8.5", "4.10"),
        ac::UNDEFINED_ERROR,
        "The download order has expired. Ask the profile's owner to order the profile anew.",
    ),
    row(
        ("8.8.5", "6.4"),
        ac::UNDEFINED_ERROR,
        "The download was tried too often, and the {server} has closed the order. Ask the profile's owner to order the \
         profile anew.",
    ),
    Row {
        kind: Some(ServerKind::SmDs),
        ..row(
            ("8.9.5", "3.9"),
            ac::EVENT_ID_UNKNOWN,
            "The {server} has no such event: it was fetched already, or deleted. Ask the profile's owner whether the \
             order still stands.",
        )
    },
];

const GET_BOUND_PROFILE_PACKAGE: &[Row] = &[
    row(
        ("8.1", "6.1"),
        bpp::EUICC_SIGNATURE_INVALID,
        "The {server} could not verify the eUICC's signature. Begin the download again; if it stays so, ask the maker \
         of the eUICC.",
    ),
    row(
        ("8.2.7", "2.2"),
        bpp::CONFIRMATION_CODE_MISSING,
        "The profile needs a confirmation code and none was given. Begin again with the code of the profile's owner.",
    ),
    row(
        ("8.2.7", "3.8"),
        bpp::CONFIRMATION_CODE_REFUSED,
        "The confirmation code is wrong. Begin again with the right one; after a few wrong ones the order is closed.",
    ),
    row(
        ("8.2.7", "6.4"),
        bpp::CONFIRMATION_CODE_RETRIES_EXCEEDED,
        "Wrong confirmation codes were given too often, and the order is closed. Ask the profile's owner to order the \
         profile anew.",
    ),
    row(
        ("8.2", "3.7"),
        bpp::BPP_REBINDING_REFUSED,
        "The profile is bound to an earlier attempt, and the {server} does not bind it again. Ask the profile's owner \
         to order the profile anew.",
    ),
    row(
        ("8.8.5", "4.10"),
        bpp::DOWNLOAD_ORDER_EXPIRED,
        "The download order has expired. Ask the profile's owner to order the profile anew.",
    ),
    row(
        ("8.10.1", "3.9"),
        bpp::INVALID_TRANSACTION_ID,
        "The {server} no longer has this session: it took too long, or the server was restarted. Begin the download \
         again.",
    ),
];

const CANCEL_SESSION: &[Row] = &[
    row(
        ("8.10.1", "3.9"),
        cs::INVALID_TRANSACTION_ID,
        "The {server} no longer has this session, so there is nothing to cancel. Nothing needs to be done.",
    ),
    row(
        ("8.1", "6.1"),
        cs::EUICC_SIGNATURE_INVALID,
        "The {server} could not verify the eUICC's signature. It ends the session by itself after a while.",
    ),
    row(
        ("8.8", "3.10"),
        cs::UNDEFINED_ERROR,
        "The session that the eUICC cancelled is another server's. The {server} ends its own by itself after a while.",
    ),
];

fn meaning(table: &'static [(&'static str, &'static str)], code: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}

/// What a status is about (SGP.22 v2.5 5.2.6.1).
const SUBJECTS: &[(&str, &str)] = &[
    ("1.2.1", "the one who asks, or the header"),
    ("8.1", "the eUICC"),
    ("8.1.1", "the EID"),
    ("8.1.2", "the certificate of the eUICC's maker"),
    ("8.1.3", "the eUICC's certificate"),
    ("8.2", "the profile"),
    ("8.2.1", "the profile's ICCID"),
    ("8.2.5", "the profile type"),
    ("8.2.6", "the matchingId"),
    ("8.2.7", "the confirmation code"),
    ("8.2.8", "the profile policy rules"),
    ("8.2.9", "the profile metadata"),
    ("8.8", "the SM-DP+"),
    ("8.8.1", "the SM-DP+ address"),
    ("8.8.2", "the security configuration of the SM-DP+"),
    ("8.8.3", "the specification version of the SM-DP+"),
    ("8.8.4", "the certificate of the SM-DP+"),
    ("8.8.5", "the download order"),
    ("8.9", "the SM-DS"),
    ("8.9.1", "the SM-DS address"),
    ("8.9.2", "the security configuration of the SM-DS"),
    ("8.9.3", "the specification version of the SM-DS"),
    ("8.9.4", "the certificate of the SM-DS"),
    ("8.9.5", "the event record"),
    ("8.10", "the RSP operation"),
    ("8.10.1", "the transactionId"),
    ("8.11.1", "the public key of the CI"),
];

/// Why (SGP.22 v2.5 5.2.6.2).
const REASONS: &[(&str, &str)] = &[
    ("1.1", "unknown"),
    ("1.2", "not allowed"),
    ("2.1", "invalid"),
    ("2.2", "a mandatory element is missing"),
    ("2.3", "a conditional element is missing"),
    ("3.1", "not supported"),
    ("3.3", "already in use"),
    ("3.5", "not possible in the present state"),
    ("3.7", "not available"),
    ("3.8", "refused"),
    ("3.9", "unknown"),
    ("3.10", "does not belong together"),
    ("4.2", "the execution failed"),
    ("4.3", "stopped with a warning"),
    ("4.8", "too little memory"),
    ("4.10", "its time to live has expired"),
    ("5.1", "can't be reached"),
    ("6.1", "the verification failed"),
    ("6.3", "expired"),
    ("6.4", "too many attempts"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    const DP: ServerKind = ServerKind::SmDpPlus;
    const DS: ServerKind = ServerKind::SmDs;

    fn status(subject: &str, reason: &str) -> ServerStatus {
        ServerStatus { subject: subject.to_owned(), reason: reason.to_owned(), message: None }
    }

    #[test]
    fn every_row_of_initiate_authentication() {
        for (subject, reason, code, name) in [
            ("8.8.1", "3.8", 1, "invalidDpAddress"),
            ("8.8.2", "3.1", 3, "ciPKIdNotSupported"),
            ("8.8.3", "3.1", 2, "euiccVersionNotSupportedByDp"),
            ("8.8.4", "3.7", 3, "ciPKIdNotSupported"),
            ("8.8.4", "3.8", 127, "undefinedError"),
            ("8.2.6", "3.8", 127, "undefinedError"),
            ("", "", 127, "undefinedError"),
        ] {
            let status = status(subject, reason);
            assert_eq!(status.initiate_authentication_code(), code, "{subject}/{reason}");
            assert_eq!(status.name(RspFunction::InitiateAuthentication, DP), name);
        }
    }

    #[test]
    fn every_row_of_authenticate_client() {
        for (subject, reason, code, name) in [
            ("8.1.2", "6.1", 1, "eumCertificateInvalid"),
            ("8.1.2", "6.3", 2, "eumCertificateExpired"),
            ("8.1.3", "6.1", 3, "euiccCertificateInvalid"),
            ("8.1.3", "6.3", 4, "euiccCertificateExpired"),
            ("8.1", "6.1", 5, "euiccSignatureInvalid"),
            ("8.2.6", "3.8", 6, "matchingIdRefused"),
            ("8.1.1", "3.8", 7, "eidMismatch"),
            ("8.2.5", "4.3", 8, "noEligibleProfile"),
            ("8.2", "1.2", 8, "noEligibleProfile"),
            ("8.11.1", "3.9", 9, "ciPKUnknown"),
            ("8.10.1", "3.9", 10, "invalidTransactionId"),
            ("8.1", "4.8", 11, "insufficientMemory"),
            ("8.8.5", "4.10", 127, "downloadOrderExpired"),
            ("8.8.5", "6.4", 127, "undefinedError"),
            ("8.10", "4.2", 127, "undefinedError"),
        ] {
            for kind in [DP, DS] {
                let status = status(subject, reason);
                assert_eq!(status.authenticate_client_code(kind), code, "{subject}/{reason}");
                assert_eq!(status.name(RspFunction::AuthenticateClient, kind), name);
            }
        }
        let event = status("8.9.5", "3.9");
        assert_eq!((event.authenticate_client_code(DS), event.authenticate_client_code(DP)), (56, 127));
        assert_eq!(event.name(RspFunction::AuthenticateClient, DS), "eventIdUnknown");
    }

    #[test]
    fn every_row_of_get_bound_profile_package() {
        for (subject, reason, code, name) in [
            ("8.1", "6.1", 1, "euiccSignatureInvalid"),
            ("8.2.7", "2.2", 2, "confirmationCodeMissing"),
            ("8.2.7", "3.8", 3, "confirmationCodeRefused"),
            ("8.2.7", "6.4", 4, "confirmationCodeRetriesExceeded"),
            ("8.2", "3.7", 5, "bppRebindingRefused"),
            ("8.8.5", "4.10", 6, "downloadOrderExpired"),
            ("8.10.1", "3.9", 95, "invalidTransactionId"),
            ("8.8", "4.2", 127, "undefinedError"),
        ] {
            let status = status(subject, reason);
            assert_eq!(status.get_bound_profile_package_code(), code, "{subject}/{reason}");
            assert_eq!(status.name(RspFunction::GetBoundProfilePackage, DP), name);
        }
    }

    #[test]
    fn every_row_of_cancel_session_and_none_of_handle_notification() {
        for (subject, reason, code, name) in [
            ("8.10.1", "3.9", 1, "invalidTransactionId"),
            ("8.1", "6.1", 2, "euiccSignatureInvalid"),
            ("8.8", "3.10", 127, "undefinedError"),
            ("8.8.5", "4.10", 127, "undefinedError"),
        ] {
            let status = status(subject, reason);
            assert_eq!(status.cancel_session_code(), code, "{subject}/{reason}");
            assert_eq!(status.name(RspFunction::CancelSession, DP), name);
            assert_eq!(status.code(RspFunction::HandleNotification, DP), 127);
            assert_eq!(status.name(RspFunction::HandleNotification, DP), "undefinedError");
        }
    }

    #[test]
    fn every_row_says_a_cause_and_what_it_leaves_to_do() {
        let mut sentences = BTreeSet::new();
        for function in RspFunction::ALL {
            for row in rows(function) {
                let kind = row.kind.unwrap_or(DP);
                let text = status(row.status.0, row.status.1).explain(function, kind);
                assert!(text.ends_with('.') && text.contains(". ") && !text.contains('{'), "{text}");
                sentences.insert(row.sentence);
            }
        }
        assert!(sentences.len() > 20, "{}", sentences.len());
    }

    #[test]
    fn other_codes_are_put_into_words() {
        let text = status("8.2.1", "3.3").explain(RspFunction::AuthenticateClient, DP);
        assert!(text.contains("the profile's ICCID (8.2.1), already in use (3.3)"), "{text}");
        let text = status("8.9.1", "3.8").explain(RspFunction::AuthenticateClient, DS);
        assert!(text.starts_with("The SM-DS refused authenticateClient: the SM-DS address"), "{text}");
        let text = status("9.9", "9").explain(RspFunction::HandleNotification, DP);
        assert!(text.contains("unknown subject (9.9), unknown reason (9)"), "{text}");
        assert!(status("", "").explain(RspFunction::CancelSession, DP).contains("without saying why"));
    }

    #[test]
    fn texts_are_bounded_and_the_message_is_not_shown() {
        let status = ServerStatus::of(&json!({ "statusCodeData": {
            "subjectCode": "8".repeat(40),
            "reasonCode": "\u{1b}[31m3.8\n",
            "message": format!("\u{0}secret\r\n{}", "\u{e9}".repeat(300)),
        } }));
        assert_eq!((status.subject.len(), status.reason.as_str()), (16, "[31m3.8"));
        let message = status.message.clone().unwrap();
        assert!(message.starts_with("secret\u{e9}") && message.chars().count() == 256);
        let shown = format!("{status} {status:?} {}", status.explain(RspFunction::AuthenticateClient, DP));
        assert!(!shown.contains("secret"), "{shown}");
        let odd = ServerStatus::of(&json!({ "statusCodeData": { "subjectCode": 8, "message": " " } }));
        assert_eq!((odd.subject.as_str(), odd.reason.as_str(), odd.message), ("", "", None));
    }
}
