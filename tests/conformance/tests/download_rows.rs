//! Rows of 06 6.1 and 6.5 for ES9+' and ES11' beside those of `downloads` and `rsp_errors`: fresh keys in TLS, cancellation
//! beside the package, results that nobody acknowledges, groups in policy rules, odd and many events, messages sent again,
//! sessions that the server has lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Binding, Device, THIN_IPA, World, code_of, each_mode, each_mode_with, modes, new_iccid, order};
use eim_core::asn1::{OctetString, Octets, OperatorId, PprIds};
use eim_core::rsp::initiate_authentication::AddressField;
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::ipa::{
    DataRequests, DownloadError, DownloadMode, DownloadOutcome, DownloadStep, Exchange, Function, Ipa, SmdpAddress,
};
use eim_simulator::rsp::{
    CallRecord, Order, OrderState, Refuse, RspFunction, SmdpFaults, SmdpOptions, SmdpServer, SmdsOptions, SmdsServer,
};
use eim_simulator::tlv::{Tlv, element};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

async fn thin(world: &World, number: u32) -> Device {
    world.downloading_device(number, DownloadMode::Indirect, &THIN_IPA).await
}

fn indirect() -> Value {
    json!({ "indirect": true })
}

fn matching_id(number: u32) -> String {
    format!("ROW-{number}")
}

fn plain(smdp: &SmdpServer, number: u32) -> Order {
    order(smdp, &matching_id(number), number)
}

/// Asks for the download with this number.
async fn ask(world: &World, smdp: &SmdpServer, device: &Device, number: u32) -> String {
    world.download(device, &code_of(smdp, &matching_id(number)), indirect()).await
}

/// Asks for what an SM-DS knows.
async fn ask_smds(world: &World, smds: &SmdsServer, device: &Device) -> String {
    let request = json!({ "profileDownload": { "smds": { "address": smds.address() }, "indirect": true } });
    world.queue(&device.eid(), request).await
}

/// Lets a device download until this step is done, and no further.
async fn until_step(device: &mut Device, step: DownloadStep) -> DownloadOutcome {
    device.ipa.behaviour.download_options.stop_after = Some(step);
    device.session().await;
    device.ipa.behaviour.download_options.stop_after = None;
    let outcome = device.ipa.last_download().unwrap().clone();
    assert!(outcome.stopped, "{outcome:?}");
    outcome
}

async fn succeeded(world: &World, id: &str, device: &Device, number: u32) {
    let operation = world.operation(id).await;
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert!(operation["error"].is_null(), "{operation}");
    let iccid = new_iccid(number);
    let shown = world.profiles(&device.eid()).await;
    assert!(shown.contains(&(iccid.digits().unwrap(), "disabled".to_owned())), "{shown:?}");
    assert!(device.euicc.profile(&iccid).is_some());
}

async fn failed(world: &World, id: &str, name: &str, what: &str) {
    let operation = world.operation(id).await;
    assert_eq!(operation["state"], "failed", "{what}: {operation}");
    assert_eq!(operation["error"]["name"], name, "{what}: {operation}");
}

fn functions(calls: &[CallRecord]) -> Vec<&str> {
    calls.iter().map(|call| call.function.as_str()).collect()
}

fn count(calls: &[CallRecord], function: &str) -> usize {
    calls.iter().filter(|call| call.function == function).count()
}

fn octets(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// The body of a relayed function in the binding of the world: `response` is the BF38, BF21 or BF41 of the eUICC.
fn body(world: &World, function: Function, transaction_id: &[u8], response: &[u8]) -> Vec<u8> {
    let (tag, member) = match function {
        Function::AuthenticateClient => (0xbf3b, "authenticateServerResponse"),
        Function::GetBoundProfilePackage => (0xbf3a, "prepareDownloadResponse"),
        _ => (0xbf41, "cancelSessionResponse"),
    };
    match world.binding {
        Binding::Json => json!({
            "transactionId": hex::encode_upper(transaction_id),
            member: STANDARD.encode(response),
        })
        .to_string()
        .into_bytes(),
        Binding::Asn1 => {
            let transaction_id = element(0x80, &[transaction_id]);
            let arm =
                if tag == 0xbf41 { element(0xa1, &[Tlv::only(response).unwrap().content]) } else { response.to_vec() };
            element(tag, &[&transaction_id, &arm])
        }
    }
}

/// What an answer says: that it was done, or the error.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Done,
    Code(i64),
    Name(String),
}

fn said(world: &World, exchange: &Exchange) -> Said {
    assert_eq!(exchange.status, 200);
    match world.binding {
        Binding::Asn1 => {
            let answer = Tlv::only(&exchange.response).unwrap();
            let error = if answer.tag == 0xbf3b { 0x82 } else { 0x81 };
            answer.child(error).map_or(Said::Done, |code| Said::Code(code.integer().unwrap()))
        }
        Binding::Json => {
            let answer: Value = serde_json::from_slice(&exchange.response).unwrap();
            let status = &answer["header"]["functionExecutionStatus"];
            if status["status"] == "Executed-Success" {
                return Said::Done;
            }
            Said::Name(status["statusCodeData"]["message"].as_str().unwrap().to_owned())
        }
    }
}

/// An error in the binding of the world.
fn error(world: &World, code: i64, name: &str) -> Said {
    match world.binding {
        Binding::Asn1 => Said::Code(code),
        Binding::Json => Said::Name(name.to_owned()),
    }
}

// A way to a server

/// A way to a server that keeps what the eIM sends on each connection, and can hold back what the server answers.
struct Relay {
    address: String,
    to: Arc<OnceLock<SocketAddr>>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    ways: Arc<Mutex<Vec<AbortHandle>>>,
    holds: tokio::sync::watch::Sender<bool>,
}

impl Relay {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let relay = Self {
            address: format!("localhost:{}", listener.local_addr().unwrap().port()),
            to: Arc::default(),
            sent: Arc::default(),
            ways: Arc::default(),
            holds: tokio::sync::watch::Sender::new(false),
        };
        let (to, sent, ways, holds) =
            (relay.to.clone(), relay.sent.clone(), relay.ways.clone(), relay.holds.subscribe());
        tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                let index = {
                    let mut sent = sent.lock().unwrap();
                    sent.push(Vec::new());
                    sent.len() - 1
                };
                let outside = TcpStream::connect(to.get().unwrap()).await.unwrap();
                let (sent, holds) = (sent.clone(), holds.clone());
                let way = tokio::spawn(async move {
                    let (from_eim, to_eim) = inside.into_split();
                    let (from_server, to_server) = outside.into_split();
                    let keep = |octets: &[u8]| sent.lock().unwrap()[index].extend_from_slice(octets);
                    tokio::select! {
                        () = copy(from_eim, to_server, None, keep) => {}
                        () = copy(from_server, to_eim, Some(holds), |_| {}) => {}
                    }
                });
                ways.lock().unwrap().push(way.abort_handle());
            }
        });
        relay
    }

    /// An SM-DP+ behind it.
    async fn smdp(&self, world: &World, options: SmdpOptions) -> SmdpServer {
        let smdp = world.smdp_with(SmdpOptions { address: Some(self.address.clone()), ..options }).await;
        self.to.set(smdp.socket()).unwrap();
        smdp
    }

    /// An SM-DS behind it.
    async fn smds(&self, world: &World, options: SmdsOptions) -> SmdsServer {
        let options = SmdsOptions { address: Some(self.address.clone()), ..options };
        let smds = SmdsServer::start(&world.pki, options).await.unwrap();
        self.to.set(smds.socket()).unwrap();
        smds
    }

    /// Ends every connection there is.
    fn cut(&self) {
        self.ways.lock().unwrap().drain(..).for_each(|way| way.abort());
    }

    /// What the eIM has sent, by connection.
    fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut holds: Option<tokio::sync::watch::Receiver<bool>>,
    keep: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        keep(&buffer[..length]);
        if let Some(holds) = &mut holds
            && holds.wait_for(|held| !held).await.is_err()
        {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

// TLS

/// What a client shows of its keys in a handshake.
#[derive(Debug)]
struct Handshake {
    random: Vec<u8>,
    /// key_share of the ClientHello.
    shares: Vec<Vec<u8>>,
    /// ClientKeyExchange, in TLS 1.2.
    exchange: Option<Vec<u8>>,
    /// Whether it offers to go on with an earlier session: a pre-shared key, or a ticket that is not empty.
    resumes: bool,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self, octets: usize) -> usize {
        self.take(octets).iter().fold(0, |number, octet| (number << 8) | usize::from(*octet))
    }

    /// A vector with a length of so many octets before it.
    fn vector(&mut self, octets: usize) -> Reader<'a> {
        let length = self.number(octets);
        Reader(self.take(length))
    }
}

impl Handshake {
    /// Reads what a client sent until it began to encrypt (RFC 8446 4.1.2, RFC 5246 7.4.7).
    fn read(sent: &[u8]) -> Self {
        let mut records = Reader(sent);
        let mut found: Option<Self> = None;
        while !records.0.is_empty() {
            let kind = records.number(1);
            records.number(2);
            let mut record = records.vector(2);
            if kind != 22 {
                break;
            }
            while !record.0.is_empty() {
                let message = record.number(1);
                let mut message_body = record.vector(3);
                match message {
                    1 => found = Some(Self::hello(&mut message_body)),
                    16 => found.as_mut().unwrap().exchange = Some(message_body.0.to_vec()),
                    other => panic!("a client sends no message {other}"),
                }
            }
        }
        found.expect("a ClientHello")
    }

    fn hello(hello: &mut Reader<'_>) -> Self {
        hello.number(2);
        let random = hello.take(32).to_vec();
        hello.vector(1);
        hello.vector(2);
        hello.vector(1);
        let mut extensions = hello.vector(2);
        let (mut shares, mut resumes) = (Vec::new(), false);
        while !extensions.0.is_empty() {
            let kind = extensions.number(2);
            let mut content = extensions.vector(2);
            match kind {
                35 => resumes |= !content.0.is_empty(),
                41 => resumes = true,
                51 => {
                    let mut list = content.vector(2);
                    while !list.0.is_empty() {
                        list.number(2);
                        shares.push(list.vector(2).0.to_vec());
                    }
                }
                _ => {}
            }
        }
        Self { random, shares, exchange: None, resumes }
    }
}

fn all_differ(what: &str, values: &[Vec<u8>]) {
    for (at, value) in values.iter().enumerate() {
        assert!(value.len() >= 32, "{what}");
        assert!(!values[..at].contains(value), "{what}: the same twice");
    }
}

fn no_key_is_used_twice(what: &str, relay: &Relay, only_tls12: bool) {
    let handshakes: Vec<Handshake> = relay.sent().iter().map(|sent| Handshake::read(sent)).collect();
    assert!(handshakes.len() >= 3, "{what}: {} connections", handshakes.len());
    let of = |part: fn(&Handshake) -> Vec<Vec<u8>>| handshakes.iter().flat_map(part).collect::<Vec<_>>();
    all_differ(what, &of(|handshake| vec![handshake.random.clone()]));
    let shares = of(|handshake| handshake.shares.clone());
    assert!(shares.len() >= handshakes.len(), "{what}");
    let exchanges = of(|handshake| handshake.exchange.iter().cloned().collect());
    assert_eq!(exchanges.len(), if only_tls12 { handshakes.len() } else { 0 }, "{what}");
    all_differ(what, &shares);
    all_differ(what, &exchanges);
    assert!(handshakes.iter().all(|handshake| !handshake.resumes), "{what}: {handshakes:?}");
}

/// CT-ES9TLS-02, CT-ES11TLS-02: every connection has keys of its own, and none goes on with the secret of another.
#[test]
fn no_key_is_used_for_two_tls_sessions() {
    each_mode_with(
        |config| config.outbound.breaker_failures = 0,
        async |world: &mut World| {
            for (first, only_tls12) in [(1, false), (11, true)] {
                let what = format!("TLS 1.2 alone: {only_tls12}");
                let relay = Relay::start().await;
                let smdp = relay.smdp(world, SmdpOptions { only_tls12, ..SmdpOptions::default() }).await;
                for number in first..first + 3 {
                    smdp.add_order(plain(&smdp, number));
                    let mut device = thin(world, number).await;
                    let id = ask(world, &smdp, &device, number).await;
                    let before = relay.sent().len();
                    device.session().await;
                    if world.operation(&id).await["state"] != "succeeded" {
                        // The eIM had not yet noticed that its connection was cut.
                        world.advance(TimeDelta::minutes(3)).await;
                        device.session().await;
                    }
                    succeeded(world, &id, &device, number).await;
                    world.forwarded().await;
                    assert!(relay.sent().len() > before, "{what}: a new connection");
                    relay.cut();
                }
                no_key_is_used_twice(&what, &relay, only_tls12);
                smdp.stop().await;

                let relay = Relay::start().await;
                let smds = relay.smds(world, SmdsOptions { only_tls12, ..SmdsOptions::default() }).await;
                for number in first + 3..first + 6 {
                    let mut device = thin(world, number).await;
                    let id = ask_smds(world, &smds, &device).await;
                    device.session().await;
                    if world.operation(&id).await["state"] != "failed" {
                        world.advance(TimeDelta::minutes(3)).await;
                        device.session().await;
                    }
                    failed(world, &id, "noEvent", &what).await;
                    relay.cut();
                }
                no_key_is_used_twice(&what, &relay, only_tls12);
                smds.stop().await;
            }
        },
    );
}

// CancelSession

/// CT-ES9CS-02, -03, and each other reason for which a package that has come is not installed: the cancellation that the eUICC
/// signed reaches the SM-DP+ octet by octet, with its reason.
#[test]
fn a_package_that_can_not_be_loaded_is_cancelled_with_its_reason() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let rows = [
            ("load error", 5, "loadBppExecutionError"),
            ("unknown tag", 5, "loadBppExecutionError"),
            ("rejected", 0, "endUserRejection"),
            ("postponed", 1, "postponed"),
            ("timeout", 2, "timeout"),
            ("mismatch", 4, "metadataMismatch"),
            ("undefined", 127, "undefinedReason"),
        ];
        for (number, (what, reason, name)) in (1..).zip(rows) {
            smdp.add_order(plain(&smdp, number));
            let mut device = thin(world, number).await;
            smdp.set_faults(SmdpFaults { unknown_bpp_tag: what == "unknown tag", ..SmdpFaults::none() });
            device.euicc.faults.load_refused = what == "load error";
            if number > 2 {
                device.ipa.behaviour.download_options.cancel_package_with = Some(reason);
            }
            let id = ask(world, &smdp, &device, number).await;
            let before = smdp.calls().len();
            device.session().await;
            let calls = smdp.calls().split_off(before);
            let expected = ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage", "cancelSession"];
            assert_eq!(functions(&calls), expected, "{what}");

            let outcome = device.ipa.last_download().unwrap().clone();
            let package = outcome.bound_profile_package.as_ref().expect("the package travelled");
            let unknown = Tlv::only(package).unwrap().children().unwrap().iter().any(|part| part.tag == 0xab);
            assert_eq!(unknown, what == "unknown tag", "the eIM takes nothing out of a package");
            let cancellation = outcome.cancellation.unwrap();
            assert_eq!((cancellation.reason, cancellation.error), (reason, None), "{what}");
            assert_eq!(octets(&calls[3].request["cancelSessionResponse"]), cancellation.response, "{what}");
            assert_eq!(calls[3].refused, None, "{what}");
            assert_eq!(smdp.order_state(&matching_id(number)), Some(OrderState::Cancelled(reason)), "{what}");

            assert!(device.euicc.profile(&new_iccid(number)).is_none(), "{what}");
            assert_eq!(world.notifications(&format!("eid={}", device.eid())).await, Vec::<Value>::new(), "{what}");
            let operation = world.operation(&id).await;
            assert_eq!(operation["error"]["name"], name, "{what}: {operation}");
            if reason == 1 || reason == 2 {
                assert_eq!(operation["state"], "queued", "{what}: {operation}");
                device.ipa.behaviour.download_options.cancel_package_with = None;
                world.advance(TimeDelta::hours(7)).await;
                device.session().await;
                succeeded(world, &id, &device, number).await;
                world.forwarded().await;
            } else {
                assert_eq!(operation["state"], "failed", "{what}: {operation}");
                assert_eq!(operation["error"]["code"], reason, "{what}: {operation}");
            }
        }
        smdp.stop().await;
    });
}

/// 1.7: once the profile is installed there is nothing to cancel, whatever was signed before.
#[test]
fn a_cancellation_after_the_installation_changes_nothing() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1));
        let mut device = thin(world, 1).await;
        let id = ask(world, &smdp, &device, 1).await;
        let outcome = until_step(&mut device, DownloadStep::GetBoundProfilePackage).await;
        let transaction_id = outcome.transaction_id.unwrap();
        let signed_before = device.euicc.clone().cancel_session(&transaction_id, 5);
        device.euicc.load_bound_profile_package(&outcome.bound_profile_package.unwrap()).unwrap();
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.forwarded().await;
        succeeded(world, &id, &device, 1).await;

        let refused_by_the_euicc = device.euicc.cancel_session(&transaction_id, 5);
        assert_eq!(Tlv::only(&refused_by_the_euicc).unwrap().child(0x81).unwrap().integer(), Some(5));
        for (response, what) in [(signed_before, "signed before"), (refused_by_the_euicc, "refused")] {
            let message = body(world, Function::CancelSession, &transaction_id, &response);
            let answer = device.send(Function::CancelSession, &message).await;
            assert_eq!(said(world, &answer), error(world, 1, "invalidTransactionId"), "{what}");
        }
        assert_eq!(count(&smdp.calls(), "cancelSession"), 0);
        succeeded(world, &id, &device, 1).await;
        assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Installed));
        smdp.stop().await;
    });
}

// HandleNotification

/// CT-ES9HN-08: the result of an installation is never acknowledged, so that nothing else of this eUICC is sent there.
#[test]
fn behind_a_result_that_is_never_acknowledged_nothing_is_sent() {
    each_mode_with(
        |config| config.outbound.breaker_failures = 0,
        async |world: &mut World| {
            let failing = SmdpFaults { unacknowledged_notifications: u32::MAX, ..SmdpFaults::none() };
            let refused = Refuse::new(RspFunction::HandleNotification, "8.10.1", "3.9");
            let refusing = SmdpFaults { refuse: vec![refused], ..SmdpFaults::none() };
            for (number, faults) in [(1, failing), (2, refusing)] {
                let smdp = world.smdp().await;
                smdp.add_order(plain(&smdp, number));
                let mut device = thin(world, number).await;
                smdp.set_faults(faults);
                let id = ask(world, &smdp, &device, number).await;
                device.session().await;
                device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
                succeeded(world, &id, &device, number).await;
                let pir = device.ipa.last_download().unwrap().pir.clone().unwrap();
                let path = format!("eid={}", device.eid());
                for days in [1, 2, 4, 6] {
                    let before = count(&smdp.calls(), "handleNotification");
                    world.advance(TimeDelta::days(days)).await;
                    world
                        .until("the result is sent again", async || count(&smdp.calls(), "handleNotification") > before)
                        .await;
                    let waiting = world.notifications(&format!("{path}&state=pending")).await;
                    assert_eq!(waiting.len(), 2, "after {days} more days: {waiting:?}");
                }
                let waiting = world.notifications(&path).await;
                let attempts: Vec<i64> = waiting.iter().map(|found| found["attempts"].as_i64().unwrap()).collect();
                assert!(attempts.iter().any(|attempts| *attempts >= 4) && attempts.contains(&0), "{waiting:?}");
                let sent: Vec<Vec<u8>> = smdp
                    .calls()
                    .iter()
                    .filter(|call| call.function == "handleNotification")
                    .map(|call| octets(&call.request["pendingNotification"]))
                    .collect();
                assert!(sent.len() >= 4, "{}", sent.len());
                assert!(sent.iter().all(|octets| *octets == pir), "nothing but the result");
                assert_eq!(smdp.notifications(), Vec::<Vec<u8>>::new());
                smdp.stop().await;
            }
        },
    );
}

// Policy rules

/// RL-11: gid1 and gid2 of the rule and of the profile's owner, and rules in one order or the other.
#[test]
fn groups_of_a_policy_rule_are_those_of_the_owner() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let operator = |digits: &str, groups: &[(&str, &str)]| {
            let mut operator = json!({ "mccMnc": digits });
            groups.iter().for_each(|(name, group)| operator[*name] = json!(group));
            operator
        };
        let flagged = |operator: Value, flags: &[&str]| json!({ "pprIds": ["ppr2"], "allowedOperators": [operator], "pprFlags": flags });
        let own = |groups: &[(&str, &str)]| vec![flagged(operator("09f107", groups), &[])];
        let any = |groups: &[(&str, &str)]| vec![flagged(operator("eeeeee", groups), &[])];
        let other = || flagged(operator("130014", &[("gid1", "01")]), &[]);
        let mine = || flagged(operator("09f107", &[("gid1", "01")]), &["consentRequired"]);
        let rows = [
            ("gid1", own(&[("gid1", "01")]), Some("01"), None, true),
            ("another gid1", own(&[("gid1", "01")]), Some("02"), None, false),
            ("gid1 that the owner lacks", own(&[("gid1", "01")]), None, None, false),
            ("gid1 that the rule lacks", own(&[]), Some("01"), None, false),
            ("empty gid1, none", own(&[("gid1", "")]), None, None, true),
            ("empty gid1, another", own(&[("gid1", "")]), Some("01"), None, false),
            ("gid2", own(&[("gid2", "0203")]), None, Some("0203"), true),
            ("another gid2", own(&[("gid2", "0203")]), None, Some("02"), false),
            ("gid2 in place of gid1", own(&[("gid1", "01")]), None, Some("01"), false),
            ("both", own(&[("gid1", "01"), ("gid2", "02")]), Some("01"), Some("02"), true),
            ("one of both", own(&[("gid1", "01"), ("gid2", "02")]), Some("01"), Some("03"), false),
            ("any operator", any(&[]), Some("01"), Some("02"), true),
            ("any operator with gid1", any(&[("gid1", "01")]), Some("01"), None, true),
            ("any operator with another gid1", any(&[("gid1", "01")]), Some("02"), None, false),
            ("the second rule", vec![other(), mine()], Some("01"), None, true),
            ("the first rule", vec![mine(), other()], Some("01"), None, true),
        ];
        let group = |digits: Option<&str>| digits.map(|digits| OctetString::from_vec(hex::decode(digits).unwrap()));
        for (number, (what, table, gid1, gid2, allowed)) in (1..).zip(rows) {
            let mut of_owner = plain(&smdp, number).with_rules(PprIds::of([2]).unwrap(), [0; 3]);
            of_owner.profile_owner = Some(OperatorId {
                mcc_mnc: Octets::from_array([0x09, 0xf1, 0x07]),
                gid1: group(gid1),
                gid2: group(gid2),
            });
            smdp.add_order(of_owner);
            let mut device = thin(world, number).await;
            device.euicc.rules_authorisation_table = serde_json::from_value(json!(table)).unwrap();
            device.session().await;
            let rat = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
            device.session().await;
            assert_eq!(world.operation(&rat).await["state"], "succeeded", "{what}");
            let before = smdp.calls().len();
            let id = ask(world, &smdp, &device, number).await;
            device.session().await;
            let calls = smdp.calls().split_off(before);
            if allowed {
                succeeded(world, &id, &device, number).await;
                world.forwarded().await;
                continue;
            }
            failed(world, &id, "pprNotAllowed", what).await;
            let outcome = device.ipa.last_download().unwrap();
            assert_eq!(outcome.error_code(), Some((DownloadStep::AuthenticateClient, 50)), "{what}");
            assert_eq!(functions(&calls), ["initiateAuthentication", "authenticateClient", "cancelSession"], "{what}");
            assert_eq!(smdp.order_state(&matching_id(number)), Some(OrderState::Cancelled(3)), "{what}");
        }
        smdp.stop().await;
    });
}

// SM-DS

/// 04 4.4: which member carries the address of an SM-DS is for the configuration; that of an SM-DP+ never changes.
#[test]
fn the_address_of_an_sm_ds_stands_in_the_member_that_is_configured() {
    for (field, member, other) in [
        (AddressField::SmdpAddress, "smdpAddress", "smdsAddress"),
        (AddressField::SmdsAddress, "smdsAddress", "smdpAddress"),
    ] {
        each_mode_with(
            |config| config.outbound.smds_address_field = field,
            async |world: &mut World| {
                let (smdp, smds) = (world.smdp().await, world.smds().await);
                smdp.add_order(plain(&smdp, 1));
                let mut device = thin(world, 1).await;
                smds.register_event(device.euicc.eid(), &matching_id(1), &smdp.address());
                let id = ask_smds(world, &smds, &device).await;
                device.session().await;
                assert_eq!(world.operation(&id).await["state"], "succeeded");
                let asked = &smds.calls()[0].request;
                assert_eq!(asked[member], smds.address().as_str(), "{asked}");
                assert_eq!(asked.get(other), None, "{asked}");
                let asked = &smdp.calls()[0].request;
                assert_eq!(asked["smdpAddress"], smdp.address().as_str(), "{asked}");
                assert_eq!(asked.get("smdsAddress"), None, "{asked}");
                assert!(device.euicc.profile(&new_iccid(1)).is_some());
                smdp.stop().await;
                smds.stop().await;
            },
        );
    }
}

/// Addresses that an event may not name.
const UNUSABLE: [&str; 8] = [
    "127.0.0.1",
    "[::1]",
    "user@smdp.example",
    "smdp.example.",
    "https://smdp.example",
    "smdp.example/path",
    "m\u{fc}nchen.example",
    "one two.example",
];

async fn downloads_of(world: &World, device: &Device) -> Vec<Value> {
    let mut operations = world.operations(&device.eid()).await;
    operations.retain(|operation| operation["kind"] == "profileDownload");
    operations
}

/// RL-13: events that name no server end the retrieval and say so; one that can be used among them is used.
#[test]
fn events_that_name_no_server_are_left_out() {
    modes(async |world: &mut World| {
        let (smdp, smds) = (world.smdp().await, world.smds().await);
        let itself = smds.address();
        let odd_identifier = format!("{}$2.999.10", matching_id(9));
        let mut events: Vec<(&str, &str)> = UNUSABLE.map(|address| ("EVENT", address)).to_vec();
        events.push(("EVENT", &itself));
        events.push((&odd_identifier, "smdp.example"));
        let mut rows: Vec<Vec<(&str, &str)>> = events.iter().map(|event| vec![*event]).collect();
        rows.push(events.clone());
        for (number, events) in (1..).zip(rows) {
            let mut device = thin(world, number).await;
            for (event, address) in &events {
                smds.register_event(device.euicc.eid(), event, address);
            }
            let id = ask_smds(world, &smds, &device).await;
            device.session().await;
            failed(world, &id, "unusableEvents", &format!("{events:?}")).await;
            assert_eq!(downloads_of(world, &device).await.len(), 1, "{events:?}");
            let outcome = device.ipa.last_download().unwrap();
            let none = Some((DownloadStep::AuthenticateClient, DownloadError::NoEvent));
            assert_eq!(outcome.error, none, "{events:?}");
        }
        let mut device = thin(world, 20).await;
        smdp.add_order(plain(&smdp, 20));
        for (event, address) in &events {
            smds.register_event(device.euicc.eid(), event, address);
        }
        smds.register_event(device.euicc.eid(), &matching_id(20), &smdp.address());
        let id = ask_smds(world, &smds, &device).await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "succeeded", "{operation}");
        let [download] = operation["results"][0]["value"]["operations"].as_array().unwrap().as_slice() else {
            panic!("{operation}")
        };
        succeeded(world, download.as_str().unwrap(), &device, 20).await;
        smdp.stop().await;
        smds.stop().await;
    });
}

/// RL-13: at most 16 events become downloads, whatever stands before them; the others are there when the SM-DS is asked
/// again. More than 64 are no answer.
#[test]
fn sixteen_events_become_downloads_and_the_rest_waits_at_the_sm_ds() {
    each_mode(async |world: &mut World| {
        let (smdp, smds) = (world.smdp().await, world.smds().await);
        let mut device = thin(world, 1).await;
        let eid = device.euicc.eid();
        for address in UNUSABLE {
            smds.register_event(eid, "UNUSABLE", address);
        }
        for number in 1..=20 {
            smdp.add_order(plain(&smdp, number).with_size(64));
            smds.register_event(eid, &matching_id(number), &smdp.address());
        }
        for (asked, expected) in [(1, 16), (2, 4)] {
            let id = ask_smds(world, &smds, &device).await;
            device.session().await;
            let operation = world.operation(&id).await;
            assert_eq!(operation["state"], "succeeded", "{operation}");
            let downloads = operation["results"][0]["value"]["operations"].as_array().unwrap();
            assert_eq!(downloads.len(), expected, "asked {asked} times: {operation}");
            let first = if asked == 1 { 1 } else { 17 };
            for (number, download) in (first..).zip(downloads) {
                succeeded(world, download.as_str().unwrap(), &device, number).await;
                smds.delete_event(eid, &matching_id(number));
            }
        }
        assert_eq!(downloads_of(world, &device).await.len(), 22);

        let mut device = thin(world, 2).await;
        for number in 1..=65 {
            smds.register_event(device.euicc.eid(), &matching_id(number), &smdp.address());
        }
        let id = ask_smds(world, &smds, &device).await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["error"]["name"], "unreadableAnswer", "{operation}");
        assert_eq!(downloads_of(world, &device).await.len(), 1);
        smdp.stop().await;
        smds.stop().await;
    });
}

/// 1.6 row 4, for an SM-DS: an answer of another session is none.
#[test]
fn an_sm_ds_that_names_another_transaction_is_refused() {
    each_mode(async |world: &mut World| {
        let smds = world.smds().await;
        let mut device = thin(world, 1).await;
        smds.register_event(device.euicc.eid(), "EVENT", "smdp.example");
        let function = Some(RspFunction::AuthenticateClient);
        smds.set_faults(SmdpFaults { wrong_transaction_id: function, ..SmdpFaults::none() });
        let id = ask_smds(world, &smds, &device).await;
        device.session().await;
        failed(world, &id, "transactionId", "another session").await;
        assert_eq!(downloads_of(world, &device).await.len(), 1);
        smds.stop().await;
    });
}

// The same message again

/// The same octets again, also over another connection, get the same answer, and the server is asked once.
#[test]
fn an_authenticate_client_that_comes_again_gets_the_same_answer() {
    let function = Function::AuthenticateClient;
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let minimal = [&THIN_IPA[..], &[DeviceDescription::MINIMIZE_ESIPA_BYTES]].concat();
        let rows = [(1, None, &THIN_IPA[..]), (2, Some("1234"), &THIN_IPA[..]), (3, None, &minimal)];
        for (number, confirmation_code, features) in rows {
            let mut wanted = plain(&smdp, number);
            let mut more = indirect();
            if let Some(code) = confirmation_code {
                wanted = wanted.with_confirmation_code(code);
                more["confirmationCode"] = code.into();
            }
            smdp.add_order(wanted);
            let mut device = world.downloading_device(number, DownloadMode::Indirect, features).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id(number)), more).await;
            let outcome = until_step(&mut device, DownloadStep::AuthenticateServer).await;
            let response = outcome.authenticate_server_response.unwrap();
            let message = body(world, function, &outcome.transaction_id.unwrap(), &response);
            let before = count(&smdp.calls(), "authenticateClient");
            let first = device.send(function, &message).await;
            assert_eq!(said(world, &first), Said::Done);
            for _ in 0..2 {
                let again = device.send(function, &message).await;
                assert_eq!(again.response, first.response, "row {number}");
                device.ipa.disconnect();
            }
            assert_eq!(count(&smdp.calls(), "authenticateClient"), before + 1);
            world.advance(TimeDelta::minutes(11)).await;
            device.session().await;
            succeeded(world, &id, &device, number).await;
        }

        // A refusal is not asked for again.
        smdp.add_order(plain(&smdp, 4));
        let mut device = thin(world, 4).await;
        let id = ask(world, &smdp, &device, 4).await;
        let outcome = until_step(&mut device, DownloadStep::AuthenticateServer).await;
        let response = outcome.authenticate_server_response.unwrap();
        let message = body(world, function, &outcome.transaction_id.unwrap(), &response);
        let before = count(&smdp.calls(), "authenticateClient");
        smdp.set_faults(SmdpFaults {
            refuse: vec![Refuse::new(RspFunction::AuthenticateClient, "8.2.6", "3.8")],
            ..SmdpFaults::none()
        });
        let first = device.send(function, &message).await;
        assert_eq!(said(world, &first), error(world, 6, "matchingIdRefused"));
        smdp.set_faults(SmdpFaults::none());
        let again = device.send(function, &message).await;
        assert_eq!(said(world, &again), error(world, 10, "invalidTransactionId"));
        assert_eq!(count(&smdp.calls(), "authenticateClient"), before + 1);
        failed(world, &id, "matchingIdRefused", "refused").await;
        smdp.stop().await;
    });
}

/// The same while the server is still being asked: the second message waits for what the first one brings.
#[test]
fn an_authenticate_client_that_comes_again_meanwhile_waits_for_the_first() {
    let function = Function::AuthenticateClient;
    each_mode(async |world: &mut World| {
        let relay = Relay::start().await;
        let smdp = relay.smdp(world, SmdpOptions::default()).await;
        smdp.add_order(plain(&smdp, 1));
        let mut device = thin(world, 1).await;
        let id = ask(world, &smdp, &device, 1).await;
        let outcome = until_step(&mut device, DownloadStep::AuthenticateServer).await;
        let response = outcome.authenticate_server_response.unwrap();
        let message = body(world, function, &outcome.transaction_id.unwrap(), &response);
        let asked = async || count(&smdp.calls(), "authenticateClient") == 1;
        let mut other = Ipa::new(world.ipa_config());
        relay.holds.send_replace(true);
        let again = async {
            world.until("the server is asked", asked).await;
            let release = async {
                for _ in 0..20 {
                    assert_eq!(world.operation(&id).await["state"], "delivered");
                }
                relay.holds.send_replace(false);
            };
            let again = other.post_raw(function.path(world.binding), &[], &message);
            tokio::join!(again, release).0.unwrap()
        };
        let (first, again) = tokio::join!(device.send(function, &message), again);
        assert_eq!(said(world, &first), Said::Done);
        assert_eq!(again.response, first.response);
        assert!(asked().await, "once");
        smdp.stop().await;
    });
}

/// The answer of an SM-DS is lost on its way: it is not asked twice in one session, and what it knew is downloaded.
#[test]
fn an_answer_of_an_sm_ds_that_is_lost_loses_no_event() {
    let function = Function::AuthenticateClient;
    modes(async |world: &mut World| {
        let (smdp, smds) = (world.smdp().await, world.smds().await);
        let mut device = thin(world, 1).await;
        for number in [1, 2] {
            smdp.add_order(plain(&smdp, number));
            smds.register_event(device.euicc.eid(), &matching_id(number), &smdp.address());
        }
        let id = ask_smds(world, &smds, &device).await;
        let outcome = until_step(&mut device, DownloadStep::AuthenticateServer).await;
        let response = outcome.authenticate_server_response.unwrap();
        let message = body(world, function, &outcome.transaction_id.unwrap(), &response);
        let lost = device.send(function, &message).await;
        assert_eq!(said(world, &lost), Said::Done);
        let again = device.send(function, &message).await;
        assert_eq!(said(world, &again), error(world, 10, "invalidTransactionId"));
        assert_eq!(count(&smds.calls(), "authenticateClient"), 1);
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        for number in [1, 2] {
            assert!(device.euicc.profile(&new_iccid(number)).is_some(), "profile {number}");
        }
        assert!(downloads_of(world, &device).await.iter().all(|operation| operation["state"] == "succeeded"));
        smdp.stop().await;
        smds.stop().await;
    });
}

// Sessions that the server has lost

/// CT-ES9AC-E9, CT-ES9BPP-E3 of a server that has really lost its session: the eIM's ends, too, and the download begins again.
#[test]
fn a_session_that_the_server_has_lost_is_begun_again() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let rows = [
            (1, DownloadStep::AuthenticateServer, Function::AuthenticateClient, 10),
            (2, DownloadStep::PrepareDownload, Function::GetBoundProfilePackage, 95),
        ];
        for (number, step, function, code) in rows {
            smdp.add_order(plain(&smdp, number));
            let mut device = thin(world, number).await;
            let id = ask(world, &smdp, &device, number).await;
            let outcome = until_step(&mut device, step).await;
            let transaction_id = outcome.transaction_id.unwrap();
            let response = match function {
                Function::AuthenticateClient => outcome.authenticate_server_response,
                _ => outcome.prepare_download_response,
            };
            let message = body(world, function, &transaction_id, &response.unwrap());
            smdp.forget_sessions();
            let before = smdp.calls().len();
            let answer = device.send(function, &message).await;
            assert_eq!(said(world, &answer), error(world, code, "invalidTransactionId"), "{function:?}");
            let operation = world.operation(&id).await;
            assert_eq!(operation["state"], "delivered", "{operation}");
            assert_eq!(operation["error"]["name"], "sessionLost", "{operation}");

            // Nothing more is asked for a session that is not there, whatever the device does with it.
            let again = device.send(function, &message).await;
            assert_eq!(said(world, &again), error(world, code, "invalidTransactionId"), "{function:?}");
            let cancel = device.euicc.cancel_session(&transaction_id, 127);
            let message = body(world, Function::CancelSession, &transaction_id, &cancel);
            let answer = device.send(Function::CancelSession, &message).await;
            assert_eq!(said(world, &answer), error(world, 1, "invalidTransactionId"), "{function:?}");
            let calls = smdp.calls().split_off(before);
            assert_eq!(calls.len(), 1, "{calls:?}");
            assert_eq!(calls[0].refused, Some(("8.10.1".to_owned(), "3.9".to_owned())));

            world.advance(TimeDelta::minutes(11)).await;
            device.session().await;
            succeeded(world, &id, &device, number).await;
            world.forwarded().await;
        }
        smdp.stop().await;
    });
}

/// The same of an SM-DS: CT-ES11AC-E6.
#[test]
fn a_session_that_the_sm_ds_has_lost_is_begun_again() {
    each_mode(async |world: &mut World| {
        let (smdp, smds) = (world.smdp().await, world.smds().await);
        smdp.add_order(plain(&smdp, 1));
        let mut device = thin(world, 1).await;
        smds.register_event(device.euicc.eid(), &matching_id(1), &smdp.address());
        let id = ask_smds(world, &smds, &device).await;
        let outcome = until_step(&mut device, DownloadStep::AuthenticateServer).await;
        let function = Function::AuthenticateClient;
        let response = outcome.authenticate_server_response.unwrap();
        let message = body(world, function, &outcome.transaction_id.unwrap(), &response);
        smds.forget_sessions();
        for _ in 0..2 {
            let answer = device.send(function, &message).await;
            assert_eq!(said(world, &answer), error(world, 10, "invalidTransactionId"));
        }
        assert_eq!(count(&smds.calls(), "authenticateClient"), 1);
        assert_eq!(world.operation(&id).await["error"]["name"], "sessionLost");
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        assert!(device.euicc.profile(&new_iccid(1)).is_some());
        smdp.stop().await;
        smds.stop().await;
    });
}

/// A device cancels a session that the server has lost: it learns so, the eIM's session ends, and the reason counts.
#[test]
fn a_cancelled_session_that_the_server_has_lost_ends_by_its_reason() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, reason, name) in [(1, 0, "endUserRejection"), (2, 1, "postponed"), (3, 127, "undefinedReason")] {
            smdp.add_order(plain(&smdp, number));
            let mut device = thin(world, number).await;
            let id = ask(world, &smdp, &device, number).await;
            let outcome = until_step(&mut device, DownloadStep::AuthenticateClient).await;
            let transaction_id = outcome.transaction_id.unwrap();
            let cancel = device.euicc.cancel_session(&transaction_id, reason);
            let message = body(world, Function::CancelSession, &transaction_id, &cancel);
            smdp.forget_sessions();
            let before = smdp.calls().len();
            for _ in 0..2 {
                let answer = device.send(Function::CancelSession, &message).await;
                assert_eq!(said(world, &answer), error(world, 1, "invalidTransactionId"), "{name}");
            }
            let calls = smdp.calls().split_off(before);
            assert_eq!(functions(&calls), ["cancelSession"], "the second time the eIM knows it");
            assert_eq!(calls[0].refused, Some(("8.10.1".to_owned(), "3.9".to_owned())));
            let operation = world.operation(&id).await;
            assert_eq!(operation["error"]["name"], name, "{operation}");
            if reason == 1 {
                assert_eq!(operation["state"], "queued", "{operation}");
                world.advance(TimeDelta::hours(7)).await;
                device.session().await;
                succeeded(world, &id, &device, number).await;
                world.forwarded().await;
            } else {
                assert_eq!(operation["state"], "failed", "{operation}");
            }
        }
        smdp.stop().await;
    });
}

// What an IPA or an operator leaves open

/// CT-ES9AC-E7 by the server's own check: at its time the CI of the eUICC is one no longer.
#[test]
fn an_smdp_that_does_not_know_the_ci_of_the_euicc_ends_the_download() {
    modes(async |world: &mut World| {
        let options = SmdpOptions { now: "2060-01-01T00:00:00Z".to_owned(), ..SmdpOptions::default() };
        let smdp = world.smdp_with(options).await;
        smdp.add_order(plain(&smdp, 1));
        let mut device = thin(world, 1).await;
        let id = ask(world, &smdp, &device, 1).await;
        device.session().await;
        let (step, told) = device.ipa.last_download().unwrap().error.clone().unwrap();
        assert_eq!(step, DownloadStep::AuthenticateClient);
        let expected = match world.binding {
            Binding::Asn1 => DownloadError::Refused(9),
            Binding::Json => DownloadError::Status {
                subject: "8.11.1".to_owned(),
                reason: "3.9".to_owned(),
                message: Some("ciPKUnknown".to_owned()),
            },
        };
        assert_eq!(told, expected);
        failed(world, &id, "ciPKUnknown", "E7").await;
        smdp.stop().await;
    });
}

/// CT-ES9BPP-R1 with an IPA that gives up after a wrong code: that ends the order, and the right code comes too late.
#[test]
fn a_wrong_confirmation_code_uses_up_the_order_of_an_ipa_that_gives_up() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1).with_confirmation_code("1234"));
        let mut device = thin(world, 1).await;
        let with = |code: &str| json!({ "indirect": true, "confirmationCode": code });
        let rows = [
            ("4321", "confirmationCodeRefused", DownloadStep::GetBoundProfilePackage),
            ("1234", "matchingIdRefused", DownloadStep::AuthenticateClient),
        ];
        for (code, name, step) in rows {
            let id = world.download(&device, &code_of(&smdp, &matching_id(1)), with(code)).await;
            device.session().await;
            assert_eq!(device.ipa.last_download().unwrap().error.as_ref().unwrap().0, step);
            failed(world, &id, name, code).await;
            assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Cancelled(127)), "{code}");
        }
        smdp.stop().await;
    });
}

/// Neither the order nor the device says which server to ask.
#[test]
fn a_server_that_nobody_names_is_not_guessed() {
    modes(async |world: &mut World| {
        for (number, source) in [(1, json!({ "defaultSmdp": true })), (2, json!({ "smds": {} }))] {
            let mut device = thin(world, number).await;
            device.euicc.default_dp_address = None;
            device.euicc.root_smds_address = None;
            device.ipa.behaviour.download_options.smdp_address = SmdpAddress::Absent;
            let mut download = source;
            download["indirect"] = json!(true);
            let id = world.queue(&device.eid(), json!({ "profileDownload": download })).await;
            device.session().await;
            let (step, told) = device.ipa.last_download().unwrap().error.clone().unwrap();
            assert_eq!(step, DownloadStep::InitiateAuthentication);
            assert!(matches!(told, DownloadError::Refused(127) | DownloadError::Status { .. }), "{told:?}");
            failed(world, &id, "serverUnknown", "no server").await;
        }
    });
}

/// EUICCInfo1 that neither comes nor was reported: it is asked for, and the download goes on once it is there.
#[test]
fn a_download_waits_for_euicc_info1_that_is_nowhere() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1));
        let features = [DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(1, DownloadMode::Indirect, &features).await;
        device.ipa.behaviour.data_requests = DataRequests::Error(127);
        device.ipa.behaviour.download_options.send_euicc_info1 = false;
        let id = ask(world, &smdp, &device, 1).await;
        device.session().await;
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["error"]["name"], "euiccInfo1Unknown", "{operation}");
        assert!(smdp.calls().is_empty(), "{:?}", smdp.calls());
        device.ipa.behaviour.data_requests = DataRequests::Answer;
        world.advance(TimeDelta::hours(7)).await;
        device.session().await;
        world.advance(TimeDelta::hours(7)).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        smdp.stop().await;
    });
}

/// 1.6 row 2: without eimTransactionId, on a connection that has named no device, only the one download under way is meant,
/// and nothing that the eIM keeps for a device is given away.
#[test]
fn an_initiation_of_nobody_is_that_of_the_only_download_under_way() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let features = [DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION];
        let mut begun = Vec::new();
        for number in [1, 2] {
            smdp.add_order(plain(&smdp, number));
            let mut device = world.downloading_device(number, DownloadMode::Indirect, &features).await;
            let id = ask(world, &smdp, &device, number).await;
            until_step(&mut device, DownloadStep::Trigger).await;
            let nobody = &mut Ipa::new(world.ipa_config());
            let info = device.euicc.euicc_info1().unwrap();
            let initiate = element(0xbf39, &[&element(0x81, &[&[7; 16]]), &info]);
            let path = Function::InitiateAuthentication.path(world.binding);
            let before = smdp.calls().len();
            let answer = nobody.post_raw(path, &[], &initiate).await.unwrap();
            let (expected, calls) = if number == 1 { (Said::Done, 1) } else { (Said::Code(127), 0) };
            assert_eq!(said(world, &answer), expected, "with {number} under way");
            assert_eq!(smdp.calls().len(), before + calls, "with {number} under way");
            begun.push((device, id, number));
        }
        world.advance(TimeDelta::minutes(11)).await;
        for (mut device, id, number) in begun {
            device.session().await;
            succeeded(world, &id, &device, number).await;
        }

        smdp.add_order(plain(&smdp, 3));
        let mut device = thin(world, 3).await;
        ask(world, &smdp, &device, 3).await;
        until_step(&mut device, DownloadStep::Trigger).await;
        let info = device.euicc.euicc_info1().unwrap();
        let initiate = element(0xbf39, &[&element(0x81, &[&[7; 16]]), &info]);
        let path = Function::InitiateAuthentication.path(world.binding);
        let before = smdp.calls().len();
        let answer = Ipa::new(world.ipa_config()).post_raw(path, &[], &initiate).await.unwrap();
        assert_eq!(said(world, &answer), Said::Code(127), "the eIM keeps its code");
        assert_eq!(smdp.calls().len(), before);
        smdp.stop().await;
    });
}

/// RL-06: an address that a device names in its request alone and that may not be called says nothing about the order.
#[test]
fn an_inside_address_that_only_the_request_names_is_refused_without_a_call() {
    each_mode_with(
        |config| config.outbound.allow_private = false,
        async |world: &mut World| {
            let relay = Relay::start().await;
            let mut device = thin(world, 1).await;
            device.euicc.default_dp_address = None;
            device.ipa.behaviour.download_options.report_failure = false;
            device.ipa.behaviour.download_options.smdp_address = SmdpAddress::Other(relay.address.clone());
            let download = json!({ "defaultSmdp": true, "indirect": true });
            let id = world.queue(&device.eid(), json!({ "profileDownload": download })).await;
            device.session().await;
            let outcome = device.ipa.last_download().unwrap();
            assert_eq!(outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 1)), "{outcome:?}");
            let operation = world.operation(&id).await;
            assert_eq!(operation["state"], "delivered", "{operation}");
            assert!(relay.sent().is_empty(), "nobody was called");
        },
    );
}

/// An activation code that another key has sealed: the download is set aside, says so, and goes on with the right key.
#[test]
fn a_download_whose_code_can_not_be_opened_waits_for_the_right_key() {
    let place = RefCell::new(None);
    let note = |config: &mut eim_server::config::Config| {
        let generated = config.data.dir.join("secrets.key");
        *place.borrow_mut() = Some(config.secrets.key.clone().unwrap_or(generated));
    };
    each_mode_with(note, async |world: &mut World| {
        let path = place.borrow().clone().unwrap();
        let right = std::fs::read_to_string(&path).unwrap();
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1));
        smdp.add_order(plain(&smdp, 2));
        let mut waiting = thin(world, 1).await;
        let mut begun = thin(world, 2).await;
        let first = ask(world, &smdp, &waiting, 1).await;
        let second = ask(world, &smdp, &begun, 2).await;
        until_step(&mut begun, DownloadStep::Trigger).await;

        std::fs::write(&path, "5a".repeat(32)).unwrap();
        world.crash_and_restart().await;
        world.reconnect(&mut waiting);
        world.reconnect(&mut begun);
        waiting.session().await;
        world.advance(TimeDelta::minutes(11)).await;
        begun.session().await;
        for (id, state) in [(&first, "queued"), (&second, "delivered")] {
            let operation = world.operation(id).await;
            assert_eq!(operation["state"], state, "{operation}");
            assert_eq!(operation["error"]["name"], "secretUnreadable", "{operation}");
            assert!(operation["error"]["message"].as_str().unwrap().contains("secrets.key"), "{operation}");
        }
        assert!(smdp.calls().is_empty(), "{:?}", smdp.calls());

        std::fs::write(&path, &right).unwrap();
        world.crash_and_restart().await;
        world.reconnect(&mut waiting);
        world.reconnect(&mut begun);
        world.advance(TimeDelta::minutes(11)).await;
        for (device, id, number) in [(&mut waiting, &first, 1), (&mut begun, &second, 2)] {
            device.session().await;
            succeeded(world, id, device, number).await;
        }
        smdp.stop().await;
    });
}

/// What becomes of an older session does not concern the download any more.
#[test]
fn a_late_refusal_of_an_older_session_does_not_end_the_download() {
    let function = Function::AuthenticateClient;
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1));
        let mut device = thin(world, 1).await;
        let id = ask(world, &smdp, &device, 1).await;
        let mut messages = Vec::new();
        for _ in 0..2 {
            let outcome = until_step(&mut device, DownloadStep::AuthenticateServer).await;
            let response = outcome.authenticate_server_response.unwrap();
            messages.push(body(world, function, &outcome.transaction_id.unwrap(), &response));
            world.advance(TimeDelta::minutes(11)).await;
        }
        let refused = Refuse::new(RspFunction::AuthenticateClient, "8.2.6", "3.8");
        smdp.set_faults(SmdpFaults { refuse: vec![refused], ..SmdpFaults::none() });
        let answer = device.send(function, &messages[0]).await;
        assert_eq!(said(world, &answer), error(world, 6, "matchingIdRefused"));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["error"]), (&json!("delivered"), &Value::Null), "{operation}");
        smdp.set_faults(SmdpFaults::none());
        let answer = device.send(function, &messages[1]).await;
        assert_eq!(said(world, &answer), Said::Done);
        world.advance(TimeDelta::minutes(21)).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        smdp.stop().await;
    });
}

/// The result of an earlier download in the answer to a later trigger is that of the earlier one.
#[test]
fn the_result_of_an_earlier_download_does_not_end_a_later_one() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(plain(&smdp, 1));
        smdp.add_order(plain(&smdp, 2));
        let mut device = thin(world, 1).await;
        let earlier = ask(world, &smdp, &device, 1).await;
        let outcome = until_step(&mut device, DownloadStep::Install).await;
        let reply = world.post(&format!("/api/v1/operations/{earlier}/abandon"), Value::Null).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let later = ask(world, &smdp, &device, 2).await;
        until_step(&mut device, DownloadStep::Trigger).await;
        let named = world.operation(&later).await["eimTransactionId"].as_str().unwrap().to_owned();
        let named = element(0x82, &[&hex::decode(named).unwrap()]);
        device.deliver(&element(0xbf54, &[&named, &outcome.pir.unwrap()])).await;
        let operation = world.operation(&later).await;
        assert_eq!((&operation["state"], &operation["error"]), (&json!("delivered"), &Value::Null), "{operation}");
        let operation = world.operation(&earlier).await;
        assert_eq!(operation["lateResult"]["results"][0]["name"], "ok", "{operation}");
        let shown = world.profiles(&device.eid()).await;
        let [first, second] = [1, 2].map(|number| (new_iccid(number).digits().unwrap(), "disabled".to_owned()));
        assert!(shown.contains(&first) && !shown.contains(&second), "{shown:?}");
        world.forwarded().await;
        assert_eq!(smdp.order_state(&matching_id(1)), Some(OrderState::Installed));
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        succeeded(world, &later, &device, 2).await;
        smdp.stop().await;
    });
}
