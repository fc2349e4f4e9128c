//! Downloads that fail: what SM-DP+ and SM-DS refuse or do wrong, eUICCs and IPAs that misbehave, and addresses that must
//! not be called (06 6.1, 6.5; "Bad input"). The device gets the defined error, the operator the cause and the next step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{
    Binding, Device, FLEET_SEED, Mode, THIN_IPA, World, code_of, each_mode, each_mode_with, modes, new_iccid, order,
    run_with,
};
use eim_core::asn1::PprIds;
use eim_core::pki::Curve;
use eim_simulator::euicc::Profile;
use eim_simulator::ipa::{DownloadError, DownloadMode, DownloadOutcome, DownloadStep, Function, SmdpAddress};
use eim_simulator::pki::{FleetPki, ServerCertificateFault};
use eim_simulator::rsp::{
    CallRecord, Order, OrderState, Refuse, RspFunction, SmdpFaults, SmdpOptions, SmdpServer, SmdsOptions, SmdsServer,
    TlsFault, TransportFault,
};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const BOTH: [Binding; 2] = [Binding::Asn1, Binding::Json];
const INITIATE: &[&str] = &["initiateAuthentication"];

/// A download that was tried once, and what everybody saw of it.
struct Attempt {
    device: Device,
    id: String,
    operation: Value,
    outcome: DownloadOutcome,
    /// The calls that the server got meanwhile.
    calls: Vec<CallRecord>,
    number: u32,
}

impl Attempt {
    fn functions(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.function.as_str()).collect()
    }

    /// The error as the operator sees it.
    fn error(&self) -> &Value {
        &self.operation["error"]
    }

    /// No profile came of it, neither on the list nor on the eUICC.
    async fn left_no_profile(&self, world: &World, what: &str) {
        let iccid = new_iccid(self.number);
        let shown = world.profiles(&self.device.eid()).await;
        assert!(!shown.contains(&(iccid.digits().unwrap(), "disabled".to_owned())), "{what}: {shown:?}");
        assert!(self.device.euicc.profile(&iccid).is_none(), "{what}");
    }

    /// It has failed for this cause, the operator is told what to do, and what the device said afterwards changed nothing.
    async fn failed(&self, world: &World, name: &str, what: &str) {
        assert_eq!(self.operation["state"], "failed", "{what}: {}", self.operation);
        assert_eq!(self.error()["name"], name, "{what}: {}", self.operation);
        says_what_to_do(self.error(), what);
        self.left_no_profile(world, what).await;
    }

    /// It waits for better times, and says for what.
    async fn waits(&self, world: &World, name: &str, what: &str) {
        assert!(
            ["queued", "delivered"].contains(&self.operation["state"].as_str().unwrap()),
            "{what}: {}",
            self.operation
        );
        assert_eq!(self.error()["name"], name, "{what}: {}", self.operation);
        says_what_to_do(self.error(), what);
        self.left_no_profile(world, what).await;
    }

    /// The code that the IPA got.
    fn told(&self, world: &World, step: DownloadStep, row: Told, what: &str) {
        let error = match world.binding {
            Binding::Asn1 => DownloadError::Refused(row.code),
            Binding::Json => DownloadError::Status {
                subject: row.subject.to_owned(),
                reason: row.reason.to_owned(),
                message: Some(row.name.to_owned()),
            },
        };
        assert_eq!(self.outcome.error, Some((step, error)), "{what}");
    }
}

/// An ESipa error in both bindings.
#[derive(Clone, Copy)]
struct Told {
    code: i64,
    subject: &'static str,
    reason: &'static str,
    name: &'static str,
}

const fn told(code: i64, (subject, reason): (&'static str, &'static str), name: &'static str) -> Told {
    Told { code, subject, reason, name }
}

const UNDEFINED: Told = told(127, ("8.10", "4.2"), "undefinedError");

/// A cause and a next step, in words.
fn says_what_to_do(error: &Value, what: &str) {
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(". ") && message.ends_with('.') && message.len() > 40, "{what}: {error}");
    for detail in ["127.0.0.1", "{", "Err(", "MATCH-"] {
        assert!(!message.contains(detail), "{what}: {error}");
    }
}

fn matching_id(number: u32) -> String {
    format!("MATCH-{number}")
}

/// An order as others are, for the attempt with this number.
fn plain(smdp: &SmdpServer, number: u32) -> Order {
    order(smdp, &matching_id(number), number)
}

async fn thin_device(world: &World, number: u32) -> Device {
    world.downloading_device(number, DownloadMode::Indirect, &THIN_IPA).await
}

/// Lets a device download through the eIM, once.
async fn attempt(world: &World, smdp: &SmdpServer, number: u32) -> Attempt {
    smdp.add_order(plain(smdp, number));
    let device = thin_device(world, number).await;
    attempt_with(world, smdp, device, number, json!({ "indirect": true })).await
}

/// The same with a device and an order that are there already.
async fn attempt_with(world: &World, smdp: &SmdpServer, device: Device, number: u32, more: Value) -> Attempt {
    let id = world.download(&device, &code_of(smdp, &matching_id(number)), more).await;
    go_on(world, || smdp.calls(), device, id, number).await
}

/// Lets a device do what is there for it.
async fn go_on(
    world: &World,
    calls: impl Fn() -> Vec<CallRecord>,
    mut device: Device,
    id: String,
    number: u32,
) -> Attempt {
    let before = calls().len();
    device.session().await;
    let operation = world.operation(&id).await;
    let outcome = device.ipa.last_download().cloned().unwrap_or_default();
    Attempt { device, id, operation, outcome, calls: calls().split_off(before), number }
}

fn refuse(function: RspFunction, (subject, reason): (&str, &str)) -> SmdpFaults {
    SmdpFaults { refuse: vec![Refuse::new(function, subject, reason)], ..SmdpFaults::none() }
}

fn transport(fault: TransportFault, on: RspFunction) -> SmdpFaults {
    SmdpFaults { transport: Some(fault), transport_on: Some(on), ..SmdpFaults::none() }
}

/// CT-ES9IA-E1 to -E8: the code for the device, no further call, and nothing to cancel.
#[test]
fn an_smdp_that_can_not_begin_ends_the_download_with_its_cause() {
    use ServerCertificateFault::{Expired, UntrustedCi, WrongRole};
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let refused = |status| refuse(RspFunction::InitiateAuthentication, status);
        let address = told(1, ("8.8.1", "3.8"), "invalidDpAddress");
        let version = told(2, ("8.8.3", "3.1"), "euiccVersionNotSupportedByDp");
        let ci = told(3, ("8.8.2", "3.1"), "ciPKIdNotSupported");
        let mismatch = told(50, ("8.8.1", "3.8"), "smdpAddressMismatch");
        let certificate = |fault| SmdpFaults { auth_certificate: Some(fault), ..SmdpFaults::none() };
        let wrong = |f: fn(&mut SmdpFaults)| {
            let mut faults = SmdpFaults::none();
            f(&mut faults);
            faults
        };
        let rows = [
            ("E1", refused(("8.8.1", "3.8")), address, "invalidDpAddress"),
            ("E2", refused(("8.8.2", "3.1")), ci, "ciPKIdNotSupported"),
            ("E3", refused(("8.8.3", "3.1")), version, "euiccVersionNotSupportedByDp"),
            ("E4", refused(("8.8.4", "3.7")), ci, "ciPKIdNotSupported"),
            ("E5 expired", certificate(Expired), UNDEFINED, "certificate-expired"),
            ("E5 untrusted", certificate(UntrustedCi), UNDEFINED, "chain"),
            ("E5 role", certificate(WrongRole), UNDEFINED, "certificate-policy"),
            ("E6", wrong(|faults| faults.bad_server_signature1 = true), UNDEFINED, "signature"),
            ("E7", wrong(|faults| faults.wrong_server_address = true), mismatch, "smdpAddressMismatch"),
            ("E8", wrong(|faults| faults.unknown_ci_key_id = true), ci, "ciPKIdNotSupported"),
            ("challenge", wrong(|faults| faults.wrong_euicc_challenge = true), UNDEFINED, "euiccChallenge"),
            ("unknown code", refused(("8.8.9", "9.9")), UNDEFINED, "undefinedError"),
        ];
        for (number, (id, faults, row, name)) in (1..).zip(rows) {
            smdp.set_faults(faults);
            let tried = attempt(world, &smdp, number).await;
            tried.told(world, DownloadStep::InitiateAuthentication, row, id);
            tried.failed(world, name, id).await;
            assert_eq!(tried.functions(), INITIATE, "{id}");
            assert_eq!(tried.outcome.cancellation, None, "{id}");
            assert_eq!(tried.operation["lateResult"]["profileDownloadErrorReason"], "undefinedError", "{id}");
        }
        smdp.stop().await;
    });
}

/// CT-ES9IA-E9.
#[test]
fn an_smdp_of_another_object_identifier_than_that_of_the_code_is_refused() {
    run_with(
        &[Mode::EMBEDDED],
        &BOTH,
        |_| {},
        async |world: &mut World| {
            let smdp = world.smdp().await;
            smdp.add_order(plain(&smdp, 1));
            let device = thin_device(world, 1).await;
            let code = format!("{}$2.999.66", code_of(&smdp, &matching_id(1)));
            let id = world.download(&device, &code, json!({ "indirect": true })).await;
            let tried = go_on(world, || smdp.calls(), device, id, 1).await;
            let row = told(51, ("8.8", "3.10"), "smdpOidMismatch");
            tried.told(world, DownloadStep::InitiateAuthentication, row, "E9");
            tried.failed(world, "smdpOidMismatch", "E9").await;
            assert_eq!(tried.functions(), INITIATE);

            let device = thin_device(world, 2).await;
            let code = format!("{}${}", code_of(&smdp, &matching_id(1)), smdp.oid());
            let id = world.download(&device, &code, json!({ "indirect": true })).await;
            let tried = go_on(world, || smdp.calls(), device, id, 1).await;
            assert_eq!(tried.operation["state"], "succeeded", "the right one is taken: {}", tried.operation);
            smdp.stop().await;
        },
    );
}

/// CT-ES9AC-E1 to -E14.
#[test]
fn an_smdp_that_refuses_the_euicc_ends_the_download_with_its_cause() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let rows = [
            ("E1", told(1, ("8.1.2", "6.1"), "eumCertificateInvalid")),
            ("E2", told(2, ("8.1.2", "6.3"), "eumCertificateExpired")),
            ("E3", told(3, ("8.1.3", "6.1"), "euiccCertificateInvalid")),
            ("E4", told(4, ("8.1.3", "6.3"), "euiccCertificateExpired")),
            ("E5", told(5, ("8.1", "6.1"), "euiccSignatureInvalid")),
            ("E6", told(11, ("8.1", "4.8"), "insufficientMemory")),
            ("E7", told(9, ("8.11.1", "3.9"), "ciPKUnknown")),
            ("E9", told(10, ("8.10.1", "3.9"), "invalidTransactionId")),
            ("E10", told(6, ("8.2.6", "3.8"), "matchingIdRefused")),
            ("E11", told(7, ("8.1.1", "3.8"), "eidMismatch")),
            ("E12", told(8, ("8.2.5", "4.3"), "noEligibleProfile")),
        ];
        let rows = rows.into_iter().map(|(id, row)| (id, (row.subject, row.reason), row, row.name));
        let not_released = ("E8", ("8.2", "1.2"), told(8, ("8.2.5", "4.3"), "noEligibleProfile"), "noEligibleProfile");
        let expired = ("E13", ("8.8.5", "4.10"), UNDEFINED, "downloadOrderExpired");
        let retries = ("E14", ("8.8.5", "6.4"), UNDEFINED, "undefinedError");
        for (number, (id, status, row, name)) in (1..).zip(rows.chain([not_released, expired, retries])) {
            smdp.set_faults(refuse(RspFunction::AuthenticateClient, status));
            let tried = attempt(world, &smdp, number).await;
            tried.told(world, DownloadStep::AuthenticateClient, row, id);
            if name == "invalidTransactionId" {
                // The server has lost the session and not the order: the download is begun again.
                tried.waits(world, "sessionLost", id).await;
                assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient"], "{id}");
                continue;
            }
            tried.failed(world, name, id).await;
            assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient", "cancelSession"], "{id}");
            assert_eq!(tried.outcome.cancellation.as_ref().unwrap().reason, 127, "{id}");
            assert!(!tried.operation["lateResult"].is_null(), "{id}: what the device said is shown");
        }
        smdp.stop().await;
    });
}

/// CT-ES9AC-E10, -E11: the same from orders, not from a switch.
#[test]
fn an_unknown_matching_identifier_and_the_order_of_another_euicc_are_refused() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let device = thin_device(world, 1).await;
        let tried = attempt_with(world, &smdp, device, 1, json!({ "indirect": true })).await;
        assert_eq!(tried.outcome.error_code(), Some((DownloadStep::AuthenticateClient, 6)));
        tried.failed(world, "matchingIdRefused", "E10").await;
        smdp.add_order(plain(&smdp, 2).for_eid(world.pki.eid(77)));
        let device = thin_device(world, 2).await;
        let tried = attempt_with(world, &smdp, device, 2, json!({ "indirect": true })).await;
        assert_eq!(tried.outcome.error_code(), Some((DownloadStep::AuthenticateClient, 7)));
        tried.failed(world, "eidMismatch", "E11").await;
        smdp.stop().await;
    });
}

/// CT-ES9AC-E15 to -E17: the eUICC never sees what the eIM does not believe, and cancels.
#[test]
fn an_smdp_whose_offer_is_not_in_order_is_refused_and_the_session_cancelled() {
    use ServerCertificateFault::{Expired, OtherOid, UntrustedCi, WrongRole};
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let certificate = |fault| SmdpFaults { pb_certificate: Some(fault), ..SmdpFaults::none() };
        let rows = [
            ("E15 expired", certificate(Expired), "certificate-expired"),
            ("E15 untrusted", certificate(UntrustedCi), "chain"),
            ("E15 role", certificate(WrongRole), "certificate-policy"),
            ("E16", certificate(OtherOid), "oid-mismatch"),
            ("E17", SmdpFaults { bad_smdp_signature2: true, ..SmdpFaults::none() }, "signature"),
        ];
        for (number, (id, faults, name)) in (1..).zip(rows) {
            smdp.set_faults(faults);
            let tried = attempt(world, &smdp, number).await;
            tried.told(world, DownloadStep::AuthenticateClient, UNDEFINED, id);
            tried.failed(world, name, id).await;
            assert_eq!(tried.outcome.smdp_signed2, None, "{id}");
            assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient", "cancelSession"], "{id}");
            assert_eq!(tried.outcome.cancellation.as_ref().unwrap().error, None, "{id}");
            assert_eq!(smdp.order_state(&matching_id(number)), Some(OrderState::Cancelled(127)), "{id}");
        }
        smdp.stop().await;
    });
}

/// CT-ES9AC-E18, 1.6 row 4: beside what is signed as well as inside; it is no accident that passes.
#[test]
fn an_smdp_that_names_another_transaction_is_refused() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let beside = |function| SmdpFaults { wrong_transaction_id: Some(function), ..SmdpFaults::none() };
        let signed = SmdpFaults { wrong_signed2_transaction_id: true, ..SmdpFaults::none() };
        let rows = [
            ("begin", beside(RspFunction::InitiateAuthentication), DownloadStep::InitiateAuthentication),
            ("E18", beside(RspFunction::AuthenticateClient), DownloadStep::AuthenticateClient),
            ("E18 signed", signed, DownloadStep::AuthenticateClient),
        ];
        for (number, (id, faults, step)) in (1..).zip(rows) {
            smdp.set_faults(faults);
            let tried = attempt(world, &smdp, number).await;
            tried.told(world, step, UNDEFINED, id);
            tried.failed(world, "transactionId", id).await;
            let cancelled = smdp.order_state(&matching_id(number)) == Some(OrderState::Cancelled(127));
            assert_eq!(cancelled, step == DownloadStep::AuthenticateClient, "{id}");
        }
        smdp.stop().await;
    });
}

/// CT-ES9CS-01: the bound package never travels, and the SM-DP+ learns why.
async fn policy_rules_are_refused(world: &World, indirect: Value) {
    let smdp = world.smdp().await;
    smdp.add_order(plain(&smdp, 1).with_rules(PprIds::of([1]).unwrap(), [0x62, 0xf2, 0x10]));
    let device = thin_device(world, 1).await;
    let tried = attempt_with(world, &smdp, device, 1, json!({ "indirect": indirect })).await;
    let row = told(50, ("8.2.8", "3.8"), "pprNotAllowed");
    tried.told(world, DownloadStep::AuthenticateClient, row, "PPR1");
    tried.failed(world, "pprNotAllowed", "PPR1").await;
    assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient", "cancelSession"]);
    assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Cancelled(3)));
    smdp.stop().await;
}

#[test]
fn policy_rules_that_are_not_allowed_cancel_the_session_with_their_reason() {
    modes(async |world: &mut World| policy_rules_are_refused(world, json!("auto")).await);
}

/// The IPA leaves the check to the eIM (eimProfileMetadataVerification), which has to know that before it begins.
#[test]
fn policy_rules_are_checked_for_an_ipa_that_has_not_yet_told_what_it_can_do() {
    each_mode(async |world: &mut World| policy_rules_are_refused(world, json!(true)).await);
}

/// CT-ES9BPP-E1 to -E7.
#[test]
fn an_smdp_that_gives_no_bound_package_ends_the_download_with_its_cause() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let rows = [
            ("E1", told(1, ("8.1", "6.1"), "euiccSignatureInvalid")),
            ("E2", told(5, ("8.2", "3.7"), "bppRebindingRefused")),
            ("E3", told(95, ("8.10.1", "3.9"), "invalidTransactionId")),
            ("E4", told(2, ("8.2.7", "2.2"), "confirmationCodeMissing")),
            ("E5", told(6, ("8.8.5", "4.10"), "downloadOrderExpired")),
            ("E6", told(3, ("8.2.7", "3.8"), "confirmationCodeRefused")),
            ("E7", told(4, ("8.2.7", "6.4"), "confirmationCodeRetriesExceeded")),
        ];
        for (number, (id, row)) in (1..).zip(rows) {
            smdp.set_faults(refuse(RspFunction::GetBoundProfilePackage, (row.subject, row.reason)));
            let tried = attempt(world, &smdp, number).await;
            tried.told(world, DownloadStep::GetBoundProfilePackage, row, id);
            if row.name == "invalidTransactionId" {
                tried.waits(world, "sessionLost", id).await;
                continue;
            }
            tried.failed(world, row.name, id).await;
            let expected = ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage", "cancelSession"];
            assert_eq!(tried.functions(), expected, "{id}");
            let cancelled = tried.outcome.cancellation.as_ref().unwrap();
            assert_eq!(cancelled.error, None, "{id}");
            assert_eq!(smdp.order_state(&matching_id(number)), Some(OrderState::Cancelled(cancelled.reason)), "{id}");
        }
        smdp.stop().await;
    });
}

/// CT-ES9BPP-E4, -E6, -E7, -R1, CT-ES9AC-E14: a session each, the codes checked by the SM-DP+.
#[test]
fn a_wrong_confirmation_code_is_followed_by_the_right_one_until_the_tries_are_used_up() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let step = DownloadStep::GetBoundProfilePackage;
        smdp.add_order(plain(&smdp, 1).with_confirmation_code("1234"));
        let with = |code: &str| json!({ "indirect": true, "confirmationCode": code });
        let mut device = thin_device(world, 1).await;
        device.ipa.behaviour.download_options.tries_another_code = true;

        let tried = attempt_with(world, &smdp, device, 1, json!({ "indirect": true })).await;
        assert_eq!(tried.outcome.error_code(), Some((step, 2)));
        tried.failed(world, "confirmationCodeMissing", "missing").await;
        let tried = attempt_with(world, &smdp, tried.device, 1, with("4321")).await;
        assert_eq!(tried.outcome.error_code(), Some((step, 3)));
        tried.failed(world, "confirmationCodeRefused", "wrong").await;
        assert!(!tried.operation.to_string().contains("4321"), "{}", tried.operation);
        let tried = attempt_with(world, &smdp, tried.device, 1, with("1234")).await;
        assert_eq!(tried.operation["state"], "succeeded", "{}", tried.operation);

        smdp.add_order(plain(&smdp, 2).with_confirmation_code("1234"));
        let mut device = thin_device(world, 2).await;
        device.ipa.behaviour.download_options.tries_another_code = true;
        for (name, code) in
            [("confirmationCodeRefused", 3), ("confirmationCodeRefused", 3), ("confirmationCodeRetriesExceeded", 4)]
        {
            let tried = attempt_with(world, &smdp, device, 2, with("4321")).await;
            assert_eq!(tried.outcome.error_code(), Some((step, code)));
            tried.failed(world, name, name).await;
            device = tried.device;
        }
        let tried = attempt_with(world, &smdp, device, 2, with("1234")).await;
        assert_eq!(tried.outcome.error_code(), Some((DownloadStep::AuthenticateClient, 127)));
        tried.failed(world, "undefinedError", "used up").await;
        let message = tried.error()["message"].as_str().unwrap();
        assert!(message.contains("too often") && message.contains("order the profile anew"), "{message}");
        smdp.stop().await;
    });
}

/// CT-ES9BPP: a package of another session is not handed on.
#[test]
fn a_package_bound_to_another_session_is_not_handed_on() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let beside = Some(RspFunction::GetBoundProfilePackage);
        for (number, faults) in (1..).zip([
            SmdpFaults { wrong_bpp_transaction_id: true, ..SmdpFaults::none() },
            SmdpFaults { wrong_transaction_id: beside, ..SmdpFaults::none() },
        ]) {
            smdp.set_faults(faults);
            let tried = attempt(world, &smdp, number).await;
            assert_eq!(tried.outcome.error_code(), Some((DownloadStep::GetBoundProfilePackage, 127)));
            assert_eq!(tried.outcome.bound_profile_package, None);
            tried.failed(world, "transactionId", "another session").await;
            assert_eq!(smdp.order_state(&matching_id(number)), Some(OrderState::Cancelled(127)));
        }
        smdp.stop().await;
    });
}

async fn smds_with(world: &World, tls_fault: Option<TlsFault>) -> SmdsServer {
    SmdsServer::start(&world.pki, SmdsOptions { tls_fault, ..SmdsOptions::default() }).await.unwrap()
}

async fn ask_smds(world: &World, smds: &SmdsServer, number: u32) -> Attempt {
    let device = thin_device(world, number).await;
    smds.register_event(device.euicc.eid(), "EVENT-1", "smdp.example");
    let request = json!({ "profileDownload": { "smds": { "address": smds.address() }, "indirect": true } });
    let id = world.queue(&device.eid(), request).await;
    go_on(world, || smds.calls(), device, id, number).await
}

/// CT-ES11IA-E5 to -E8: as CT-ES9IA.
#[test]
fn an_smds_that_is_not_in_order_ends_the_retrieval_with_its_cause() {
    use ServerCertificateFault::{Expired, UntrustedCi, WrongRole};
    modes(async |world: &mut World| {
        let smds = world.smds().await;
        let ci = told(3, ("8.8.2", "3.1"), "ciPKIdNotSupported");
        let mismatch = told(50, ("8.8.1", "3.8"), "smdpAddressMismatch");
        let certificate = |fault| SmdpFaults { auth_certificate: Some(fault), ..SmdpFaults::none() };
        let rows = [
            ("E5 expired", certificate(Expired), UNDEFINED, "certificate-expired"),
            ("E5 untrusted", certificate(UntrustedCi), UNDEFINED, "chain"),
            ("E5 role", certificate(WrongRole), UNDEFINED, "certificate-policy"),
            ("E6", SmdpFaults { bad_server_signature1: true, ..SmdpFaults::none() }, UNDEFINED, "signature"),
            ("E7", SmdpFaults { wrong_server_address: true, ..SmdpFaults::none() }, mismatch, "smdpAddressMismatch"),
            ("E8", SmdpFaults { unknown_ci_key_id: true, ..SmdpFaults::none() }, ci, "ciPKIdNotSupported"),
        ];
        for (number, (id, faults, row, name)) in (1..).zip(rows) {
            smds.set_faults(faults);
            let tried = ask_smds(world, &smds, number).await;
            tried.told(world, DownloadStep::InitiateAuthentication, row, id);
            tried.failed(world, name, id).await;
            assert!(
                tried.error()["message"].as_str().unwrap().contains("SM-DS") || id == "E8",
                "{id}: {}",
                tried.error()
            );
            assert_eq!(tried.functions(), INITIATE, "{id}");
        }
        smds.stop().await;
    });
}

/// CT-ES11IA-E1 to -E4: as CT-ES9IA; the codes of an SM-DS have the meaning of those of an SM-DP+.
#[test]
fn an_smds_that_refuses_to_begin_ends_the_retrieval_with_its_cause() {
    modes(async |world: &mut World| {
        let smds = world.smds().await;
        let ci = told(3, ("8.8.2", "3.1"), "ciPKIdNotSupported");
        let rows = [
            ("E1", ("8.9.1", "3.8"), told(1, ("8.8.1", "3.8"), "invalidDpAddress")),
            ("E2", ("8.9.2", "3.1"), ci),
            ("E3", ("8.9.3", "3.1"), told(2, ("8.8.3", "3.1"), "euiccVersionNotSupportedByDp")),
            ("E4", ("8.9.4", "3.7"), ci),
        ];
        for (number, (id, status, row)) in (1..).zip(rows) {
            smds.set_faults(refuse(RspFunction::InitiateAuthentication, status));
            let tried = ask_smds(world, &smds, number).await;
            assert_eq!(tried.functions(), INITIATE, "{id}");
            tried.told(world, DownloadStep::InitiateAuthentication, row, id);
            tried.failed(world, row.name, id).await;
            assert!(tried.error()["message"].as_str().unwrap().contains("SM-DS"), "{id}: {}", tried.error());
        }
        smds.stop().await;
    });
}

/// CT-ES11AC-E1 to -E7.
#[test]
fn an_smds_that_refuses_the_euicc_or_the_event_ends_the_retrieval_with_its_cause() {
    modes(async |world: &mut World| {
        let smds = world.smds().await;
        let rows = [
            ("E1", told(1, ("8.1.2", "6.1"), "eumCertificateInvalid")),
            ("E2", told(2, ("8.1.2", "6.3"), "eumCertificateExpired")),
            ("E3", told(3, ("8.1.3", "6.1"), "euiccCertificateInvalid")),
            ("E4", told(4, ("8.1.3", "6.3"), "euiccCertificateExpired")),
            ("E5", told(5, ("8.1", "6.1"), "euiccSignatureInvalid")),
            ("E6", told(10, ("8.10.1", "3.9"), "invalidTransactionId")),
            ("E7", told(56, ("8.9.5", "3.9"), "eventIdUnknown")),
        ];
        for (number, (id, row)) in (1..).zip(rows) {
            smds.set_faults(refuse(RspFunction::AuthenticateClient, (row.subject, row.reason)));
            let tried = ask_smds(world, &smds, number).await;
            tried.told(world, DownloadStep::AuthenticateClient, row, id);
            if row.name == "invalidTransactionId" {
                tried.waits(world, "sessionLost", id).await;
                continue;
            }
            tried.failed(world, row.name, id).await;
            assert!(tried.error()["message"].as_str().unwrap().contains("SM-DS"), "{id}: {}", tried.error());
            assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient"], "{id}");
            assert_eq!(
                world.operations(&tried.device.eid()).await.iter().filter(|o| o["kind"] == "profileDownload").count(),
                1
            );
        }
        smds.stop().await;
    });
}

/// CT-ES9TLS-E1, -E2, -E7, CT-ES11TLS-E1, -E2, -E7: not one octet of HTTP is sent.
#[test]
fn a_server_whose_tls_certificate_is_not_in_order_gets_no_call() {
    each_mode(async |world: &mut World| {
        let other_curve = FleetPki::generate_on(Curve::BrainpoolP256r1, 99).unwrap();
        let faults = [Some(TlsFault::UntrustedCi), Some(TlsFault::Expired), Some(TlsFault::WrongName), None];
        for (number, tls_fault) in (1..).zip(faults) {
            let what = format!("{tls_fault:?}");
            let pki = if tls_fault.is_some() { &world.pki } else { &other_curve };
            let smdp = SmdpServer::start(pki, SmdpOptions { tls_fault, ..SmdpOptions::default() }).await.unwrap();
            let tried = attempt(world, &smdp, number).await;
            assert_eq!(tried.outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 127)), "{what}");
            tried.waits(world, "tls", &what).await;
            assert!(tried.calls.is_empty(), "{what}");
            smdp.stop().await;

            let smds = match tls_fault {
                Some(_) => smds_with(world, tls_fault).await,
                None => SmdsServer::start(pki, SmdsOptions::default()).await.unwrap(),
            };
            let tried = ask_smds(world, &smds, 10 + number).await;
            assert_eq!(tried.outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 127)), "{what}");
            tried.waits(world, "tls", &what).await;
            assert!(tried.calls.is_empty(), "{what}");
            smds.stop().await;
        }
    });
}

/// CT-ES9TLS-01 with the protocol version and the agent that the specification wants.
#[test]
fn every_call_says_which_protocol_version_it_speaks() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let tried = attempt(world, &smdp, 1).await;
        assert_eq!(tried.operation["state"], "succeeded", "{}", tried.operation);
        for call in &tried.calls {
            assert!(call.x_admin_protocol.as_ref().unwrap().starts_with("gsma/rsp/v2."), "{call:?}");
            assert_eq!(call.user_agent.as_deref(), Some("gsma-rsp-lpad"), "{call:?}");
        }
        smdp.stop().await;
    });
}

/// RL-05: bounded, ESipa 127; the download waits, and succeeds when the server is well again.
#[test]
fn a_server_that_answers_nothing_of_use_costs_a_bounded_time_and_the_download_waits_for_it() {
    each_mode_with(
        |config| {
            config.outbound.timeout_ms = 400;
            config.outbound.breaker_failures = 0;
        },
        async |world: &mut World| {
            let smdp = world.smdp().await;
            let faults = [
                (TransportFault::Silence, "timeout"),
                (TransportFault::AnswerBytes(10 * 1024 * 1024), "tooLarge"),
                (TransportFault::Html, "unreadableAnswer"),
                (TransportFault::GarbageJson, "unreadableAnswer"),
                (TransportFault::Redirect, "redirect"),
                (TransportFault::CloseMidAnswer, "broken"),
                (TransportFault::HttpStatus(500), "serverError"),
                (TransportFault::HttpStatus(503), "serverError"),
                (TransportFault::HttpStatus(429), "serverError"),
            ];
            let mut waiting = Vec::new();
            for (number, (fault, name)) in (1..).zip(faults) {
                let what = format!("{fault:?}");
                smdp.set_faults(transport(fault, RspFunction::InitiateAuthentication));
                let begun = Instant::now();
                let tried = attempt(world, &smdp, number).await;
                assert!(begun.elapsed() < Duration::from_secs(8), "{what}: {:?}", begun.elapsed());
                assert_eq!(tried.outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 127)), "{what}");
                tried.waits(world, name, &what).await;
                waiting.push(tried);
            }
            smdp.set_faults(SmdpFaults::none());
            world.advance(TimeDelta::minutes(3)).await;
            for tried in waiting {
                let again = go_on(world, || smdp.calls(), tried.device, tried.id, tried.number).await;
                assert_eq!(again.operation["state"], "succeeded", "{}", again.operation);
                assert!(again.operation["error"].is_null(), "{}", again.operation);
            }
            smdp.stop().await;
        },
    );
}

/// RL-05 at the later functions; the server is as unwell for the cancellation.
#[test]
fn a_server_that_falls_ill_within_a_session_is_asked_again_when_it_is_well() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let cancel_fails = transport(TransportFault::HttpStatus(503), RspFunction::CancelSession);
        let authenticate = DownloadStep::AuthenticateClient;
        let bound = DownloadStep::GetBoundProfilePackage;
        let rows = [
            (transport(TransportFault::HttpStatus(503), RspFunction::AuthenticateClient), authenticate, "serverError"),
            (transport(TransportFault::Html, RspFunction::AuthenticateClient), authenticate, "unreadableAnswer"),
            (transport(TransportFault::Redirect, RspFunction::AuthenticateClient), authenticate, "redirect"),
            (SmdpFaults { truncated_bpp: true, ..cancel_fails }, bound, "unreadableAnswer"),
        ];
        for (number, (faults, step, name)) in (1..).zip(rows) {
            let what = format!("{faults:?}");
            smdp.set_faults(faults);
            let tried = attempt(world, &smdp, number).await;
            assert_eq!(tried.outcome.error_code(), Some((step, 127)), "{what}");
            tried.waits(world, name, &what).await;
            smdp.set_faults(SmdpFaults::none());
            world.advance(TimeDelta::minutes(3)).await;
            let again = go_on(world, || smdp.calls(), tried.device, tried.id, number).await;
            assert_eq!(again.operation["state"], "succeeded", "{what}: {}", again.operation);
        }
        smdp.stop().await;
    });
}

/// RL-05, 1.7: a device cancels a broken session with undefinedReason(127), which would end the order at the SM-DP+. It is not
/// told, so that the order is there when the download is tried again; and what broke it stays the cause meanwhile.
#[test]
fn a_session_that_breaks_off_does_not_use_up_the_order() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, fault, name) in
            [(1, TransportFault::CloseMidAnswer, "broken"), (2, TransportFault::HttpStatus(500), "serverError")]
        {
            smdp.set_faults(transport(fault, RspFunction::GetBoundProfilePackage));
            let tried = attempt(world, &smdp, number).await;
            assert_eq!(tried.outcome.error_code(), Some((DownloadStep::GetBoundProfilePackage, 127)));
            tried.waits(world, name, name).await;
            assert!(tried.outcome.cancellation.is_some(), "the device has cancelled");
            assert!(!matches!(smdp.order_state(&matching_id(number)), Some(OrderState::Cancelled(_))));
            smdp.set_faults(SmdpFaults::none());
            world.advance(TimeDelta::minutes(3)).await;
            let again = go_on(world, || smdp.calls(), tried.device, tried.id, number).await;
            assert_eq!(again.operation["state"], "succeeded", "{}", again.operation);
        }
        smdp.stop().await;
    });
}

/// An address at which something else answers will not get better by waiting.
#[test]
fn an_address_where_nothing_answers_the_function_ends_the_download() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.set_faults(transport(TransportFault::HttpStatus(404), RspFunction::InitiateAuthentication));
        let tried = attempt(world, &smdp, 1).await;
        assert_eq!(tried.outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 127)));
        tried.failed(world, "serverRefused", "404").await;
        assert!(tried.error()["message"].as_str().unwrap().contains("address"), "{}", tried.error());
        smdp.stop().await;
    });
}

/// "Costs one worker slot for a bounded time": others do not wait for it.
#[test]
fn a_silent_server_does_not_hold_up_downloads_from_others() {
    const TIMEOUT: Duration = Duration::from_millis(1500);
    each_mode_with(
        |config| config.outbound.timeout_ms = u64::try_from(TIMEOUT.as_millis()).unwrap(),
        async |world: &mut World| {
            let (silent, well) = (world.smdp().await, world.smdp().await);
            silent.set_faults(transport(TransportFault::Silence, RspFunction::InitiateAuthentication));
            silent.add_order(plain(&silent, 1));
            well.add_order(plain(&well, 2));
            let (mut held, mut served) = (thin_device(world, 1).await, thin_device(world, 2).await);
            let more = || json!({ "indirect": true });
            let first = world.download(&held, &code_of(&silent, &matching_id(1)), more()).await;
            let second = world.download(&served, &code_of(&well, &matching_id(2)), more()).await;
            let waits = async {
                let begun = Instant::now();
                held.session().await;
                begun.elapsed()
            };
            let goes_on = async {
                world.until("the silent server was called", async || !silent.calls().is_empty()).await;
                let begun = Instant::now();
                served.session().await;
                begun.elapsed()
            };
            let (waited, took) = tokio::join!(waits, goes_on);
            assert!(waited >= TIMEOUT && took < TIMEOUT, "{waited:?}, {took:?}");
            assert_eq!(world.operation(&first).await["error"]["name"], "timeout");
            assert_eq!(world.operation(&second).await["state"], "succeeded");
            silent.stop().await;
            well.stop().await;
        },
    );
}

/// "Per SM-DP+ ... a circuit breaker".
#[test]
fn a_server_that_keeps_failing_is_left_alone_for_a_while() {
    each_mode_with(
        |config| config.outbound.breaker_failures = 2,
        async |world: &mut World| {
            let (ill, well) = (world.smdp().await, world.smdp().await);
            ill.set_faults(transport(TransportFault::CloseMidAnswer, RspFunction::InitiateAuthentication));
            for number in 1..3 {
                let tried = attempt(world, &ill, number).await;
                tried.waits(world, "broken", "failing").await;
            }
            let tried = attempt(world, &ill, 3).await;
            assert_eq!(tried.outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 127)));
            tried.waits(world, "circuitOpen", "left alone").await;
            assert!(tried.calls.is_empty(), "{:?}", tried.calls);
            let other = attempt(world, &well, 4).await;
            assert_eq!(other.operation["state"], "succeeded", "another server is called: {}", other.operation);
            ill.set_faults(SmdpFaults::none());
            world.advance(TimeDelta::minutes(3)).await;
            let again = go_on(world, || ill.calls(), tried.device, tried.id, 3).await;
            assert_eq!(again.operation["state"], "succeeded", "{}", again.operation);
            ill.stop().await;
            well.stop().await;
        },
    );
}

/// RL-06: addresses that are none are refused before anything is stored.
#[test]
fn addresses_that_are_no_host_names_are_refused_by_the_api() {
    run_with(
        &[Mode::EMBEDDED],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let device = world.device(1).await;
            let path = format!("/api/v1/euiccs/{}/operations", device.eid());
            for address in [
                "10.0.0.1",
                "127.0.0.1",
                "127.1",
                "2130706433",
                "0x7f000001",
                "[::1]",
                "::1",
                "user@smdp.example",
                "user:secret@smdp.example",
                "smdp.example.",
                "smdp..example",
                "smdp.example/path",
                "smdp.example?x",
                "https://smdp.example",
                "b\u{fc}cher.example",
                "smdp.example:0",
                "smdp.example:99999",
                "smdp.example:",
                "smdp.example\r\nX: y",
                "",
            ] {
                let code = json!({ "profileDownload": { "activationCode": format!("1${address}$MATCH-1") } });
                let reply = world.post(&path, code).await;
                assert_eq!(reply.pointers(422), ["/profileDownload/activationCode"], "{address}");
                assert!(!reply.text().contains("MATCH-1"), "{address}");
                let smds = json!({ "profileDownload": { "smds": { "address": address } } });
                assert_eq!(world.post(&path, smds).await.pointers(422), ["/profileDownload/smds/address"], "{address}");
            }
            assert!(world.operations(&device.eid()).await.is_empty());
        },
    );
}

/// A listener inside that nobody may reach: it counts connections.
struct Inside(TcpListener);

impl Inside {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn is_untouched(&self) -> bool {
        self.0.accept().is_err()
    }
}

/// RL-06 with the default rule for private addresses: codes and devices can't make the eIM call inside, while a host that
/// the operator routes is called.
#[test]
fn no_code_and_no_device_makes_the_eim_call_inside_and_a_routed_host_is_called() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pki = FleetPki::generate(FLEET_SEED).unwrap();
    let options = || SmdpOptions {
        host: "smdp.example".to_owned(),
        address: Some("smdp.example".to_owned()),
        ..SmdpOptions::default()
    };
    let smdp = runtime.block_on(SmdpServer::start(&pki, options())).unwrap();
    let inside = Inside::open();
    let route = format!("smdp.example={}", smdp.socket());
    let round = std::cell::Cell::new(0);
    each_mode_with(
        |config| {
            config.outbound.allow_private = false;
            config.outbound.routes = vec![route.parse().unwrap()];
        },
        async |world: &mut World| {
            let port = inside.port();
            let refused = [
                format!("localhost:{port}"),
                "localhost".to_owned(),
                "LOCALHOST".to_owned(),
                format!("smdp.example:{port}"),
                "smdp.other.example:8443".to_owned(),
            ];
            for (number, address) in (1..).zip(refused) {
                let device = thin_device(world, number).await;
                let id = world.download(&device, &format!("1${address}$MATCH-1"), json!({ "indirect": true })).await;
                let tried = go_on(world, || smdp.calls(), device, id, number).await;
                let step = DownloadStep::InitiateAuthentication;
                assert_eq!(tried.outcome.error_code(), Some((step, 127)), "{address}");
                tried.failed(world, "addressRefused", &address).await;
                assert!(tried.calls.is_empty(), "{address}");
            }
            // The device names its default server and its root SM-DS.
            for (number, smds) in [(11, false), (12, true)] {
                let mut device = thin_device(world, number).await;
                device.euicc.default_dp_address = Some(format!("localhost:{port}"));
                device.euicc.root_smds_address = Some(format!("localhost:{port}"));
                let source = if smds { json!({ "smds": {} }) } else { json!({ "defaultSmdp": true }) };
                let mut download = source;
                download["indirect"] = json!(true);
                let id = world.queue(&device.eid(), json!({ "profileDownload": download })).await;
                let tried = go_on(world, || smdp.calls(), device, id, number).await;
                tried.failed(world, "addressRefused", "of the device").await;
            }
            assert!(inside.is_untouched());

            round.set(round.get() + 1);
            let number = 20 + round.get();
            smdp.add_order(plain(&smdp, number));
            let device = thin_device(world, number).await;
            let tried = attempt_with(world, &smdp, device, number, json!({ "indirect": true })).await;
            assert_eq!(tried.operation["state"], "succeeded", "{}", tried.operation);
        },
    );
    runtime.block_on(smdp.stop());
}

/// RL-06, "limited by an allow list".
#[test]
fn only_hosts_on_the_list_are_called_when_there_is_one() {
    each_mode_with(
        |config| config.outbound.allow_hosts = vec!["smdp.example".parse().unwrap()],
        async |world: &mut World| {
            let smdp = world.smdp().await;
            let tried = attempt(world, &smdp, 1).await;
            assert_eq!(tried.outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 127)));
            tried.failed(world, "addressRefused", "not on the list").await;
            assert!(tried.calls.is_empty());
            smdp.stop().await;
        },
    );
}

/// RL-06: "a notification can't be used to reach inside", nor to hold up others.
#[test]
fn a_notification_that_names_an_inside_address_is_never_sent_and_holds_up_no_other() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pki = FleetPki::generate(FLEET_SEED).unwrap();
    let options = || SmdpOptions {
        host: "smdp.example".to_owned(),
        address: Some("smdp.example".to_owned()),
        ..SmdpOptions::default()
    };
    let smdp = runtime.block_on(SmdpServer::start(&pki, options())).unwrap();
    let inside = Inside::open();
    let route = format!("smdp.example={}", smdp.socket());
    each_mode_with(
        |config| {
            config.outbound.allow_private = false;
            config.outbound.routes = vec![route.parse().unwrap()];
        },
        async |world: &mut World| {
            let port = inside.port();
            let mut device = world.device(1).await;
            let addresses = [
                format!("localhost:{port}"),
                "localhost".to_owned(),
                format!("127.0.0.1:{port}"),
                format!("user@localhost:{port}"),
                format!("localhost.:{port}"),
                format!("https://localhost:{port}/x"),
                "smdp.example".to_owned(),
            ];
            let mut profile = Profile::operational(new_iccid(900), "Loud");
            for address in &addresses {
                profile = profile.notifying(address);
            }
            device.euicc = device.euicc.clone().with_profile(profile);
            let iccid = new_iccid(900).digits().unwrap();
            let enable = json!({ "psmo": [{ "enable": { "iccid": iccid, "rollback": false } }] });
            let id = world.queue(&device.eid(), enable).await;
            device.session().await;
            let before = smdp.notifications().len();
            let brought = device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            assert!(brought >= addresses.len(), "{brought}");
            assert_eq!(world.operation(&id).await["state"], "succeeded");
            world.until("the honest one is delivered", async || smdp.notifications().len() > before).await;
            let tried = async || world.metric("eim_notifications_forwarded_total", &["unreachable"]).await >= 2.0;
            world.until("the two inside were tried", tried).await;
            let only_two = async || world.notifications("state=pending").await.len() == 2;
            world.until("all others are delivered", only_two).await;
            assert!(inside.is_untouched());
            let pending = world.notifications("state=pending").await;
            let waiting: Vec<&str> = pending.iter().map(|item| item["notificationAddress"].as_str().unwrap()).collect();
            assert!(waiting.iter().all(|address| address.starts_with("localhost")), "{waiting:?}");
            let undeliverable = world.events_of(&device.eid(), "notificationUndeliverable").await;
            assert_eq!(undeliverable.len(), 4, "what is no host name waits for nothing: {undeliverable:?}");
        },
    );
    runtime.block_on(smdp.stop());
}

/// CT-ES9AC-E5, CT-ES9BPP-E1, RL-04: nothing is sent to a server that the eUICC has not signed for, and the operator sees
/// what the eIM found, not only that the device gave up.
#[test]
fn an_euicc_that_does_not_prove_itself_gets_no_further() {
    let causes_found = std::cell::RefCell::new(Vec::new());
    run_with(
        &[Mode::EMBEDDED],
        &BOTH,
        |_| {},
        async |world: &mut World| {
            let smdp = world.smdp().await;
            let code = |tried: &Attempt| match &tried.outcome.error {
                Some((step, DownloadError::Refused(code))) => (*step, code.to_string()),
                Some((step, DownloadError::Status { subject, reason, .. })) => (*step, format!("{subject}/{reason}")),
                other => panic!("{other:?}"),
            };
            let is_json = world.binding == Binding::Json;
            let shown = |code: &str, status: &str| if is_json { status.to_owned() } else { code.to_owned() };
            let mut causes = Vec::new();

            smdp.add_order(plain(&smdp, 1));
            let mut device = thin_device(world, 1).await;
            device.euicc.faults.wrong_euicc_signature1 = true;
            let tried = attempt_with(world, &smdp, device, 1, json!({ "indirect": true })).await;
            assert_eq!(code(&tried), (DownloadStep::AuthenticateClient, shown("5", "8.1/6.1")));
            assert!(!tried.functions().contains(&"authenticateClient"), "{:?}", tried.calls);
            assert_eq!(tried.operation["state"], "failed", "{}", tried.operation);
            says_what_to_do(tried.error(), "signature 1");
            causes.push(tried.error()["name"].clone());
            tried.left_no_profile(world, "signature 1").await;

            smdp.add_order(plain(&smdp, 2));
            let mut device = thin_device(world, 2).await;
            device.euicc.faults.foreign = Some(Box::new(world.pki.euicc(99).unwrap()));
            let tried = attempt_with(world, &smdp, device, 2, json!({ "indirect": true })).await;
            assert_eq!(code(&tried), (DownloadStep::AuthenticateClient, shown("10", "8.10.1/3.9")));
            assert!(!tried.functions().contains(&"authenticateClient"), "{:?}", tried.calls);
            says_what_to_do(tried.error(), "foreign");
            tried.left_no_profile(world, "foreign").await;

            smdp.add_order(plain(&smdp, 3));
            let mut device = thin_device(world, 3).await;
            device.euicc.faults.wrong_euicc_signature2 = true;
            let tried = attempt_with(world, &smdp, device, 3, json!({ "indirect": true })).await;
            assert_eq!(code(&tried), (DownloadStep::GetBoundProfilePackage, shown("1", "8.1/6.1")));
            assert!(!tried.functions().contains(&"getBoundProfilePackage"), "{:?}", tried.calls);
            assert_eq!(tried.operation["state"], "failed", "{}", tried.operation);
            assert_eq!(smdp.order_state(&matching_id(3)), Some(OrderState::Cancelled(127)));
            causes.push(tried.error()["name"].clone());
            tried.left_no_profile(world, "signature 2").await;
            causes_found.borrow_mut().extend(causes);
            smdp.stop().await;
        },
    );
    assert!(causes_found.borrow().iter().all(|name| name == "euiccSignatureInvalid"), "{causes_found:?}");
}

/// 1.6, rows 6 and 10: the error arms of BF38 and BF21 are forwarded, and the download ends with what the eUICC said.
#[test]
fn an_euicc_that_refuses_the_server_ends_the_download_and_the_server_is_told() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let authenticate = [
            (1, "invalidCertificate"),
            (2, "invalidSignature"),
            (3, "unsupportedCurve"),
            (4, "noSessionContext"),
            (5, "invalidOid"),
            (6, "euiccChallengeMismatch"),
            (7, "ciPKUnknown"),
            (127, "undefinedError"),
        ];
        let prepare = [
            (1, "invalidCertificate"),
            (2, "invalidSignature"),
            (3, "unsupportedCurve"),
            (4, "noSessionContext"),
            (5, "invalidTransactionId"),
            (127, "undefinedError"),
        ];
        for (number, (code, name)) in (1..).zip(authenticate) {
            smdp.add_order(plain(&smdp, number));
            let mut device = thin_device(world, number).await;
            device.euicc.faults.authenticate_error = Some(code);
            let tried = attempt_with(world, &smdp, device, number, json!({ "indirect": true })).await;
            assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient"], "{name}");
            tried.failed(world, name, name).await;
            assert_eq!(tried.error()["code"], code);
        }
        for (number, (code, name)) in (21..).zip(prepare) {
            smdp.add_order(plain(&smdp, number));
            let mut device = thin_device(world, number).await;
            device.euicc.faults.prepare_error = Some(code);
            let tried = attempt_with(world, &smdp, device, number, json!({ "indirect": true })).await;
            let expected = ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage"];
            assert_eq!(tried.functions(), expected, "{name}");
            tried.failed(world, name, name).await;
            assert_eq!(tried.error()["code"], code);
        }
        smdp.stop().await;
    });
}

/// CT-ES9HN-06: every errorReason becomes the error of the operation; the SM-DP+ gets the result.
#[test]
fn an_installation_that_fails_is_shown_with_its_reason_and_reported_to_the_server() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let reasons = [
            (1, "incorrectInputValues"),
            (2, "invalidSignature"),
            (3, "invalidTransactionId"),
            (4, "unsupportedCrtValues"),
            (5, "unsupportedRemoteOperationType"),
            (6, "unsupportedProfileClass"),
            (7, "scp03tStructureError"),
            (8, "scp03tSecurityError"),
            (9, "installFailedDueToIccidAlreadyExistsOnEuicc"),
            (10, "installFailedDueToInsufficientMemoryForProfile"),
            (11, "installFailedDueToInterruption"),
            (12, "installFailedDueToPEProcessingError"),
            (13, "installFailedDueToDataMismatch"),
            (14, "testProfileInstallFailedDueToInvalidNaaKey"),
            (15, "pprNotAllowed"),
            (127, "installFailedDueToUnknownError"),
        ];
        for (number, (reason, name)) in (1..).zip(reasons) {
            smdp.add_order(plain(&smdp, number));
            let mut device = thin_device(world, number).await;
            device.euicc.faults.install_error = Some((5, reason));
            let tried = attempt_with(world, &smdp, device, number, json!({ "indirect": true })).await;
            tried.failed(world, name, name).await;
            assert_eq!(tried.error()["code"], reason);
            assert_eq!(tried.operation["verified"], true);
            world.forwarded().await;
            assert_eq!(smdp.order_state(&matching_id(number)), Some(OrderState::Failed), "{name}");
        }
        // for real: the last MAC of the package is wrong
        smdp.set_faults(SmdpFaults { corrupt_bpp_mac: true, ..SmdpFaults::none() });
        let tried = attempt(world, &smdp, 30).await;
        tried.failed(world, "scp03tSecurityError", "MAC").await;
        world.forwarded().await;
        assert_eq!(smdp.order_state(&matching_id(30)), Some(OrderState::Failed));
        smdp.stop().await;
    });
}

/// 1.7: what the eUICC did not sign cancels nothing.
#[test]
fn a_cancellation_that_is_not_signed_reaches_no_server() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1));
        let mut device = thin_device(world, 1).await;
        device.euicc.faults.wrong_cancel_signature = true;
        device.ipa.behaviour.download_options.cancel_with = Some(0);
        device.ipa.behaviour.download_options.report_failure = false;
        let tried = attempt_with(world, &smdp, device, 1, json!({ "indirect": true })).await;
        let cancelled = tried.outcome.cancellation.as_ref().unwrap();
        assert_eq!(cancelled.error, Some(DownloadError::Refused(2)));
        assert_eq!(tried.functions(), ["initiateAuthentication", "authenticateClient"]);
        assert_eq!(tried.operation["state"], "delivered", "{}", tried.operation);
        assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Authenticated));
        smdp.stop().await;
    });
}

/// 1.8: a result that nobody signed is not believed and not forwarded; the device is answered with 204 all the same.
#[test]
fn an_installation_result_with_a_wrong_key_is_neither_believed_nor_forwarded() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1).for_eid(world.pki.eid(1)));
        let mut device = thin_device(world, 1).await;
        device.euicc.faults.pir_wrong_key = true;
        let tried = attempt_with(world, &smdp, device, 1, json!({ "indirect": true })).await;
        assert!(tried.outcome.steps.contains(&DownloadStep::HandleNotification), "{:?}", tried.outcome);
        assert_eq!(tried.operation["state"], "delivered", "{}", tried.operation);
        let shown = world.profiles(&tried.device.eid()).await;
        assert!(!shown.iter().any(|(iccid, _)| *iccid == new_iccid(1).digits().unwrap()), "{shown:?}");
        world.forwarded().await;
        assert!(smdp.notifications().is_empty());
        assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Bound));
        smdp.stop().await;
    });
}

/// Everything an operator sees of a device.
async fn view(world: &World, eid: &str) -> Value {
    let profiles = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
    json!([world.operations(eid).await, world.events(eid).await, profiles, world.notifications("").await])
}

/// A download that was broken off after a step, in ASN.1.
async fn broken_off(world: &World, smdp: &SmdpServer, number: u32, step: DownloadStep) -> Attempt {
    smdp.add_order(plain(smdp, number));
    let mut device = thin_device(world, number).await;
    device.ipa.behaviour.download_options.stop_after = Some(step);
    let id = world.download(&device, &code_of(smdp, &matching_id(number)), json!({ "indirect": true })).await;
    while device.ipa.last_download().is_none_or(|outcome| !outcome.stopped) {
        device.poll().await;
    }
    let operation = world.operation(&id).await;
    let outcome = device.ipa.last_download().cloned().unwrap();
    Attempt { device, id, operation, outcome, calls: smdp.calls(), number }
}

/// The error code in an answer; `None` when there is none.
async fn asked(device: &mut Device, function: Function, body: &[u8]) -> Option<i64> {
    let exchange = device.send(function, body).await;
    assert_eq!(exchange.status, 200);
    let answer = Tlv::only(&exchange.response).unwrap();
    let error = if answer.tag == 0xbf3b { 0x82 } else { 0x81 };
    answer.child(error).map(|code| code.integer().unwrap())
}

fn with_transaction(tag: u32, transaction_id: &[u8], response: &[u8]) -> Vec<u8> {
    element(tag, &[&element(0x80, &[transaction_id]), response])
}

fn cancellation(transaction_id: &[u8], response: &[u8]) -> Vec<u8> {
    with_transaction(0xbf41, transaction_id, &element(0xa1, &[Tlv::only(response).unwrap().content]))
}

/// RL-04 and "unknown 80 -> invalidTransactionId": sessions are those of their eUICC, and go in order.
#[test]
fn sessions_of_others_and_functions_out_of_turn_are_refused_without_a_call() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut one = broken_off(world, &smdp, 1, DownloadStep::AuthenticateServer).await;
        let mut two = broken_off(world, &smdp, 2, DownloadStep::PrepareDownload).await;
        let (mine, other) = (one.outcome.transaction_id.clone().unwrap(), two.outcome.transaction_id.clone().unwrap());
        let my_38 = one.outcome.authenticate_server_response.clone().unwrap();
        let other_38 = two.outcome.authenticate_server_response.clone().unwrap();
        let other_21 = two.outcome.prepare_download_response.clone().unwrap();
        let my_41 = one.device.euicc.clone().cancel_session(&mine, 0);
        let before = smdp.calls().len();
        let seen = (view(world, &one.device.eid()).await, view(world, &two.device.eid()).await);
        let unknown = [0x77; 16];

        let authenticate = Function::AuthenticateClient;
        let get = Function::GetBoundProfilePackage;
        let cancel = Function::CancelSession;
        let rows = [
            ("unknown", authenticate, with_transaction(0xbf3b, &unknown, &my_38), 10),
            ("of another", authenticate, with_transaction(0xbf3b, &other, &my_38), 10),
            ("another's answer", authenticate, with_transaction(0xbf3b, &mine, &other_38), 10),
            ("unknown", get, with_transaction(0xbf3a, &unknown, &other_21), 95),
            ("too early", get, with_transaction(0xbf3a, &mine, &other_21), 95),
            ("unknown", cancel, cancellation(&unknown, &my_41), 1),
        ];
        for (what, function, body, code) in rows {
            assert_eq!(asked(&mut one.device, function, &body).await, Some(code), "{what} {function:?}");
        }
        // signed by one, said of the other
        let answer = asked(&mut one.device, cancel, &cancellation(&other, &my_41)).await;
        assert!(matches!(answer, Some(1 | 2)), "{answer:?}");
        assert_eq!(smdp.calls().len(), before, "no server was called");
        let now = (view(world, &one.device.eid()).await, view(world, &two.device.eid()).await);
        assert_eq!(now, seen, "nothing changed");

        // the right ones go on: the package may be fetched twice, not after a cancellation
        let body = with_transaction(0xbf3a, &other, &other_21);
        assert_eq!(asked(&mut two.device, get, &body).await, None);
        assert_eq!(asked(&mut two.device, get, &body).await, None);
        let my_41 = two.device.euicc.clone().cancel_session(&other, 0);
        assert_eq!(asked(&mut two.device, cancel, &cancellation(&other, &my_41)).await, None);
        assert_eq!(smdp.order_state(&matching_id(2)), Some(OrderState::Cancelled(0)));
        let before = smdp.calls().len();
        assert_eq!(asked(&mut two.device, get, &body).await, Some(95));
        assert_eq!(asked(&mut two.device, authenticate, &with_transaction(0xbf3b, &other, &other_38)).await, Some(10));
        assert_eq!(asked(&mut two.device, cancel, &cancellation(&other, &my_41)).await, Some(1));
        assert_eq!(smdp.calls().len(), before, "an ended session is nobody's");
        let operation = world.operation(&two.id).await;
        assert_eq!(operation["error"]["name"], "endUserRejection", "{operation}");
        smdp.stop().await;
    });
}

/// 1.6, row 2: "if the IPA sent one and it differs".
async fn foreign_addresses(world: &World, smdp: &SmdpServer, addresses: &[&str]) {
    for (number, address) in (1..).zip(addresses) {
        smdp.add_order(plain(smdp, number));
        let mut device = thin_device(world, number).await;
        device.ipa.behaviour.download_options.smdp_address = SmdpAddress::Other((*address).to_owned());
        let tried = attempt_with(world, smdp, device, number, json!({ "indirect": true })).await;
        let code = tried.outcome.error_code();
        assert_eq!(code, Some((DownloadStep::InitiateAuthentication, 50)), "{address}");
        assert!(tried.calls.is_empty(), "{address}");
    }
}

#[test]
fn an_initiation_with_an_address_that_is_none_is_refused_as_one_that_differs() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        foreign_addresses(world, &smdp, &["10.0.0.1", "user@localhost"]).await;
        smdp.stop().await;
    });
}

/// 1.6, row 2: eimTransactionId and smdpAddress that are not those of the order.
#[test]
fn an_initiation_that_names_another_order_or_server_is_refused_without_a_call() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        foreign_addresses(world, &smdp, &["other.example", "localhost:1"]).await;
        let mut device = thin_device(world, 10).await;
        let info = device.euicc.euicc_info1().unwrap();
        let body = element(0xbf39, &[&element(0x81, &[&[1; 16]]), &info, &element(0x82, &[&[0x55; 16]])]);
        assert_eq!(asked(&mut device, Function::InitiateAuthentication, &body).await, Some(52));
        smdp.stop().await;
    });
}

/// "400/413, nothing stored": bodies that are no messages, and bodies that are too large, for the relay functions.
#[test]
fn bodies_that_are_no_relay_messages_are_refused_and_leave_no_trace() {
    run_with(
        &[Mode::EMBEDDED, Mode::PRODUCTION],
        &BOTH,
        |_| {},
        async |world: &mut World| {
            let smdp = world.smdp().await;
            let mut one = broken_off(world, &smdp, 1, DownloadStep::AuthenticateServer).await;
            let eid = one.device.eid();
            let transaction_id = one.outcome.transaction_id.clone().unwrap();
            let (before, calls) = (view(world, &eid).await, smdp.calls().len());
            let functions = [
                (Function::InitiateAuthentication, 0xbf39),
                (Function::AuthenticateClient, 0xbf3b),
                (Function::GetBoundProfilePackage, 0xbf3a),
                (Function::CancelSession, 0xbf41),
            ];
            for (function, tag) in functions {
                let bodies: Vec<Vec<u8>> = match world.binding {
                    Binding::Asn1 => vec![
                        element(tag, &[]),
                        element(tag, &[&element(0x80, &[&transaction_id])]),
                        element(tag, &[&element(0x80, &[&[0; 17]]), &element(0xbf38, &[])]),
                        with_transaction(tag, &transaction_id, &element(0xbf38, &[&[0xff; 40]])),
                        with_transaction(tag, &transaction_id, &element(0xbf21, &[&integer(0x02, 1)])),
                        [with_transaction(tag, &transaction_id, &[]), vec![0]].concat(),
                        hex::decode(format!("{tag:04x}847fffffff")).unwrap(),
                    ],
                    Binding::Json => {
                        let tx = hex::encode_upper(&transaction_id);
                        [
                        json!({}),
                        json!({ "transactionId": tx }),
                        json!({ "transactionId": "GG", "authenticateServerResponse": "vzgA" }),
                        json!({ "transactionId": 7, "prepareDownloadResponse": [] }),
                        json!({ "transactionId": tx, "authenticateServerResponse": "!!", "prepareDownloadResponse": "!!",
                                "cancelSessionResponse": "!!" }),
                        json!({ "euiccChallenge": "AAAA", "smdpAddress": 5 }),
                    ]
                    .iter()
                    .map(|body| body.to_string().into_bytes())
                    .collect()
                    }
                };
                for body in bodies {
                    let exchange = one.device.send(function, &body).await;
                    assert_eq!(exchange.status, 400, "{function:?} {}", hex::encode(&body[..body.len().min(60)]));
                    assert!(exchange.response.is_empty());
                }
                let huge = match world.binding {
                    Binding::Asn1 => element(tag, &[&element(0x80, &[&vec![0x41; 2 << 20]])]),
                    Binding::Json => json!({ "transactionId": "A".repeat(3 << 20) }).to_string().into_bytes(),
                };
                match one.device.ipa.post_raw(function.path(world.binding), &[], &huge).await {
                    Ok(exchange) => assert_eq!(exchange.status, 413, "{function:?}"),
                    // it may hang up while we still send
                    Err(error) => eprintln!("{function:?}: {error}"),
                }
            }
            assert_eq!(view(world, &eid).await, before);
            assert_eq!(smdp.calls().len(), calls);
            smdp.stop().await;
        },
    );
}

/// A result for the session of one eUICC that another one has signed: neither device nor order is touched.
#[test]
fn an_installation_result_that_another_euicc_signed_is_not_believed() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let one = broken_off(world, &smdp, 1, DownloadStep::GetBoundProfilePackage).await;
        let mut two = thin_device(world, 2).await;
        let eid = one.device.eid();
        let transaction_id = one.outcome.transaction_id.clone().unwrap();
        let metadata = element(
            0xbf2f,
            &[
                &integer(0x80, 700),
                &element(0x81, &[&[7, 0x80]]),
                &element(0x0c, &[smdp.address().as_bytes()]),
                &element(0x5a, &[new_iccid(1).octets()]),
            ],
        );
        let oid: eim_core::pki::Oid = smdp.oid().parse().unwrap();
        let aid = hex::decode("a0000005591010ffffffff8900001100").unwrap();
        let response = hex::decode("3007a0053003800100").unwrap();
        let success = element(0xa0, &[&element(0x4f, &[&aid]), &element(0x04, &[&response])]);
        let data = element(
            0xbf27,
            &[
                &element(0x80, &[&transaction_id]),
                &metadata,
                &element(0x06, &[oid.octets()]),
                &element(0xa2, &[&success]),
            ],
        );
        let signature = two.euicc.identity().key.sign_deterministic(&data);
        let forged = element(0xbf37, &[&data, &element(0x5f37, &[&signature])]);

        let exchange = two.send(Function::HandleNotification, &element(0xbf3d, &[&element(0xa0, &[&forged])])).await;
        assert_eq!(exchange.status, 204);
        let trigger_result = element(0xbf54, &[&forged]);
        for eid in [one.device.euicc.eid(), two.euicc.eid()] {
            let exchange = two.provide(Some(&eid), &trigger_result).await;
            assert_eq!(exchange.status, 200);
        }
        // What it says of itself may be shown there; it says nothing of the other one.
        let shown = world.profiles(&eid).await;
        assert!(!shown.iter().any(|(iccid, _)| *iccid == new_iccid(1).digits().unwrap()), "{shown:?}");
        assert_eq!(world.operation(&one.id).await["state"], "delivered");
        world.forwarded().await;
        assert!(smdp.notifications().is_empty());
        assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Bound));
        smdp.stop().await;
    });
}

/// What a device says about a download that has ended changes nothing, on either database.
#[test]
fn the_first_cause_stays_whatever_the_device_says_afterwards() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.set_faults(refuse(RspFunction::AuthenticateClient, ("8.2.6", "3.8")));
        let mut tried = attempt(world, &smdp, 1).await;
        tried.failed(world, "matchingIdRefused", "first").await;
        let first = tried.error().clone();
        let trigger =
            tried.operation["eimTransactionId"].as_str().map(|id| hex::decode(id).unwrap()).unwrap_or_default();
        let late = element(0xbf54, &[&element(0x82, &[&trigger]), &element(0x30, &[&integer(0x80, 104)])]);
        for _ in 0..2 {
            tried.device.deliver(&late).await;
        }
        world.advance(TimeDelta::hours(7)).await;
        tried.device.session().await;
        let operation = world.operation(&tried.id).await;
        assert_eq!((&operation["state"], &operation["error"]), (&json!("failed"), &first), "{operation}");
        assert_eq!(smdp.calls().len(), tried.calls.len(), "and no server is asked again");
        smdp.stop().await;
    });
}

/// "Visible in the API": also why a notification waits whose server can't be called.
#[test]
fn a_notification_that_can_not_be_sent_says_why() {
    each_mode_with(
        |config| config.outbound.allow_private = false,
        async |world: &mut World| {
            let mut device = world.device(1).await;
            let profile = Profile::operational(new_iccid(900), "Loud").notifying("localhost");
            device.euicc = device.euicc.clone().with_profile(profile);
            let iccid = new_iccid(900).digits().unwrap();
            world.queue(&device.eid(), json!({ "psmo": [{ "enable": { "iccid": iccid, "rollback": false } }] })).await;
            device.session().await;
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            let tried = async || world.metric("eim_notifications_forwarded_total", &["unreachable"]).await >= 1.0;
            world.until("it was tried", tried).await;
            world
                .until("the operator sees why it waits", async || {
                    let pending = world.notifications("state=pending").await;
                    let of_inside = |item: &&Value| item["notificationAddress"] == "localhost";
                    pending.iter().find(of_inside).is_some_and(|item| item["lastError"] == "addressRefused")
                })
                .await;
        },
    );
}
