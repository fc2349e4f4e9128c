//! The IPA against a scripted eIM over real TLS, in both bindings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

#[path = "support/server.rs"]
mod server;
mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::asn1::{self, EimPackageResult, EsipaMessageFromIpaToEim, HandleNotificationEsipa, IpaEuiccDataResponse};
use eim_core::asn1::{AddInitialEimRequest, EimConfigurationData};
use eim_core::ids::AssociationToken;
use eim_core::pki::Curve;
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{
    Answer, Behaviour, Binding, DataRequests, Delivery, EidInResult, Ipa, IpaConfig, IpaError, Package, PollOptions,
    Retry, SessionOptions, TlsVersions, client_config,
};
use eim_simulator::load::{self, LoadOptions, Mode};
use eim_simulator::tlv::{Tlv, element, integer};
use server::{Reply, Server};
use std::time::Duration;
use support::{TestEim, fixture, iccid, make, seq_number};

const BINDINGS: [Binding; 2] = [Binding::Asn1, Binding::Json];

fn json(members: &str) -> Reply {
    Reply::ok(format!(r#"{{"header":{{"functionExecutionStatus":{{"status":"Executed-Success"}}}}{members}}}"#))
}

/// A getEimPackage response with this package.
fn package(binding: Binding, package: &[u8]) -> Reply {
    match binding {
        Binding::Asn1 => Reply::ok(element(0xbf4f, &[package])),
        Binding::Json => {
            let member = if package[1] == 0x51 { "euiccPackageRequest" } else { "ipaEuiccDataRequest" };
            json(&format!(r#","{member}":"{}""#, STANDARD.encode(package)))
        }
    }
}

fn nothing(binding: Binding) -> Reply {
    match binding {
        Binding::Asn1 => Reply::ok(hex::decode("bf4f03020101").unwrap()),
        Binding::Json => json(r#","eimPackageError":1"#),
    }
}

fn acknowledgement(binding: Binding, numbers: &[i64]) -> Reply {
    let list: Vec<u8> = numbers.iter().flat_map(|number| integer(0x80, *number)).collect();
    let list = element(0xbf53, &[&list]);
    match binding {
        Binding::Asn1 => Reply::ok(element(0xbf50, &[&list])),
        Binding::Json => json(&format!(r#","eimAcknowledgements":"{}""#, STANDARD.encode(list))),
    }
}

fn empty(binding: Binding) -> Reply {
    match binding {
        Binding::Asn1 => Reply::ok(hex::decode("bf50023000").unwrap()),
        Binding::Json => json(""),
    }
}

fn ipa(server: &Server, binding: Binding) -> Ipa {
    let certificate = server.certificate.clone();
    Ipa::new(IpaConfig::new(server.address, "localhost", &[certificate], binding).unwrap())
}

/// The EimPackageResult of a request body.
fn delivered(binding: Binding, body: &[u8]) -> (Option<Vec<u8>>, EimPackageResult) {
    let message = match binding {
        Binding::Asn1 => asn1::decode_from_ipa(body).unwrap(),
        Binding::Json => {
            let value: serde_json::Value = serde_json::from_slice(body).unwrap();
            let result = STANDARD.decode(value["eimPackageResult"].as_str().unwrap()).unwrap();
            let mut provide = asn1::decode_eim_package_result(&result).unwrap();
            provide.eid_value = value["eidValue"]
                .as_str()
                .map(|eid| asn1::OctetString::from_vec(eid.parse::<eim_core::ids::Eid>().unwrap().octets().to_vec()));
            EsipaMessageFromIpaToEim::ProvideEimPackageResult(provide)
        }
    };
    let EsipaMessageFromIpaToEim::ProvideEimPackageResult(provide) = message else { panic!("another message") };
    (provide.eid_value.map(|eid| eid.to_vec()), provide.eim_package_result.into_known().unwrap())
}

#[tokio::test]
async fn a_session_executes_delivers_and_removes_over_one_connection() {
    for binding in BINDINGS {
        for versions in [TlsVersions::Tls12, TlsVersions::Tls13] {
            let server = Server::start().await;
            let (mut eim, mut euicc, _) = fixture();
            let mut ipa = ipa(&server, binding);
            let mut config = ipa.config().clone();
            config.tls = client_config(std::slice::from_ref(&server.certificate), versions).unwrap();
            ipa.reconfigure(config);
            let request = eim.psmo(euicc.eid(), vec![make::enable(iccid(2))]);
            server.reply(package(binding, &request));
            // the disable notification took number 1
            server.reply(acknowledgement(binding, &[2]));
            server.reply(nothing(binding));
            let options = SessionOptions {
                first_poll: PollOptions { r_plmn: Some("90170".parse().unwrap()), ..PollOptions::state_change(3) },
                ..SessionOptions::default()
            };
            let session = ipa.run_session(&mut euicc, &options).await.unwrap();
            assert!(session.is_complete());
            assert_eq!((session.packages(), server.connections()), (1, 1));
            let first = &session.polls[0];
            assert_eq!(first.package, Package::EuiccPackage(request));
            assert_eq!((first.answer.clone(), first.removed.clone()), (Some(Answer::Acknowledged(vec![2])), vec![2]));
            assert!(euicc.stored_results().is_empty());
            assert_eq!(euicc.enabled_iccid(), Some(iccid(2)));

            let received = server.received();
            assert!(received[0].head.contains("x-admin-protocol: gsma/rsp/v2.1.0"));
            assert!(received[0].head.contains("user-agent: gsma-rsp-ipad"));
            assert!(
                received[0].head.contains(&format!("content-type: {}", binding.content_type().to_ascii_lowercase()))
            );
            assert!(received[0].head.contains("host: localhost"));
            let expected = match binding {
                Binding::Asn1 => format!("bf4f1c5a10{}80008101038203{}", euicc.eid(), "09f107"),
                Binding::Json => String::new(),
            };
            if binding == Binding::Asn1 {
                assert_eq!(hex::encode(&received[0].body), expected);
                assert_eq!(received[0].path, "/gsma/rsp2/asn1");
            } else {
                let value: serde_json::Value = serde_json::from_slice(&received[0].body).unwrap();
                assert_eq!(value["eidValue"], euicc.eid().to_string());
                assert_eq!((&value["notifyStateChange"], &value["stateChangeCause"]), (&true.into(), &3.into()));
                assert_eq!(value["rPlmn"], "CfEH");
                assert_eq!(received[1].path, "/gsma/rsp2/esipa/provideeimpackageresult");
            }
            let (eid, result) = delivered(binding, &received[1].body);
            assert_eq!(eid.as_deref(), Some(&euicc.eid().octets()[..]));
            assert!(matches!(result, EimPackageResult::EuiccPackageResult(_)));
        }
    }
}

#[tokio::test]
async fn behaviour_changes_how_results_travel() {
    for binding in BINDINGS {
        let server = Server::start().await;
        let (mut eim, mut euicc, pki) = fixture();
        let mut ipa = ipa(&server, binding);
        ipa.behaviour =
            Behaviour { with_notifications: true, eid_in_result: EidInResult::Absent, ..Behaviour::default() };
        server.reply(package(binding, &eim.psmo(euicc.eid(), vec![make::enable(iccid(2))])));
        server.reply(empty(binding));
        let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
        assert_eq!(poll.answer, Some(Answer::Empty));
        let (eid, result) = delivered(binding, &server.received()[1].body);
        assert_eq!(eid, None);
        let EimPackageResult::EPRAndNotifications(both) = result else { panic!("no notifications") };
        assert_eq!(both.notification_list.len(), 1);
        assert_eq!(euicc.stored_results().len(), 1);

        ipa.behaviour = Behaviour {
            delivery: Delivery::HandleNotification,
            eid_in_result: EidInResult::Other(pki.eid(5)),
            ..Behaviour::default()
        };
        server.reply(package(binding, &eim.psmo(euicc.eid(), vec![make::list()])));
        server.reply(Reply::status(204));
        let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
        assert_eq!(poll.answer, Some(Answer::NoContent));
        let body = server.received()[3].body.clone();
        let bf50 = match binding {
            Binding::Asn1 => match asn1::decode_from_ipa(&body).unwrap() {
                EsipaMessageFromIpaToEim::HandleNotificationEsipa(
                    HandleNotificationEsipa::ProvideEimPackageResult(_),
                ) => Tlv::only(Tlv::only(&body).unwrap().content).unwrap().octets.to_vec(),
                other => panic!("{other:?}"),
            },
            Binding::Json => {
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                STANDARD.decode(value["provideEimPackageResult"].as_str().unwrap()).unwrap()
            }
        };
        assert_eq!(Tlv::only(&bf50).unwrap().child(0x5a).unwrap().content, pki.eid(5).octets());

        server.reply(Reply::status(204));
        assert_eq!(ipa.deliver_notifications(&mut euicc).await.unwrap(), 1);
        assert!(euicc.notifications().is_empty());

        ipa.behaviour = Behaviour::default();
        for stored in euicc.stored_results() {
            server.reply(acknowledgement(binding, &[stored.seq_number]));
        }
        assert_eq!(ipa.deliver_stored_results(&mut euicc).await.unwrap().len(), 2);
        assert!(euicc.stored_results().is_empty());
    }
}

#[tokio::test]
async fn data_requests_are_answered_as_the_behaviour_says() {
    for binding in BINDINGS {
        let server = Server::start().await;
        let (_, mut euicc, _) = fixture();
        let mut ipa = ipa(&server, binding);
        let request = hex::decode("bf52075c02a5a6830109").unwrap();
        let mut data = async |behaviour: DataRequests| {
            ipa.behaviour.data_requests = behaviour;
            server.reply(package(binding, &request));
            if behaviour != DataRequests::Ignore {
                server.reply(empty(binding));
            }
            let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
            poll.result.map(|result| asn1::decode::<IpaEuiccDataResponse>(&result).unwrap())
        };
        let Some(IpaEuiccDataResponse::IpaEuiccData(all)) = data(DataRequests::Answer).await else { panic!("no data") };
        assert!(all.eum_certificate.is_some() && all.euicc_certificate.is_some() && all.eim_transaction_id.is_some());
        let Some(IpaEuiccDataResponse::IpaEuiccData(some)) = data(DataRequests::WithoutCertificates).await else {
            panic!("no data")
        };
        assert!(
            some.eum_certificate.is_none() && some.euicc_certificate.is_none() && some.eim_transaction_id.is_some()
        );
        let Some(IpaEuiccDataResponse::IpaEuiccDataResponseError(error)) = data(DataRequests::Error(127)).await else {
            panic!("no error")
        };
        assert_eq!(error.ipa_euicc_data_error_code, 127);
        assert_eq!(data(DataRequests::Ignore).await, None);
    }
}

#[tokio::test]
async fn a_result_that_was_not_taken_is_kept_and_sent_again() {
    for binding in BINDINGS {
        let server = Server::start().await;
        let (mut eim, mut euicc, _) = fixture();
        let mut ipa = ipa(&server, binding);
        server.reply(package(binding, &eim.psmo(euicc.eid(), vec![make::list()])));
        server.reply(Reply::status(503));
        let error = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap_err();
        assert!(matches!(error, IpaError::Status { status: 503 }));
        assert!(ipa.has_undelivered());
        let sent = ipa.last_request().unwrap().to_vec();
        server.reply(Reply::status(302));
        assert!(ipa.deliver_undelivered(&mut euicc).await.is_err());
        server.reply(acknowledgement(binding, &[1]));
        server.reply(nothing(binding));
        let session = ipa.run_session(&mut euicc, &SessionOptions::default()).await.unwrap();
        assert!(session.is_complete() && euicc.stored_results().is_empty());
        assert_eq!(server.received()[3].body, sent);

        server.reply(Reply::status(500));
        server.reply(nothing(binding));
        let retry = Some(Retry { attempts: 1, first_pause: Duration::ZERO });
        let options = SessionOptions { retry, ..SessionOptions::default() };
        assert_eq!(ipa.run_session(&mut euicc, &options).await.unwrap().retries, 1);
    }
}

#[tokio::test]
async fn a_device_that_lost_the_network_delivers_the_rollback_instead() {
    let server = Server::start().await;
    let (mut eim, mut euicc, _) = fixture();
    let mut ipa = ipa(&server, Binding::Asn1);
    ipa.behaviour.connectivity_lost = true;
    server.reply(package(Binding::Asn1, &eim.psmo(euicc.eid(), vec![make::enable_with_rollback(iccid(2))])));
    server.reply(empty(Binding::Asn1));
    let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
    let result = poll.result.unwrap();
    assert_eq!(support::results(&result), [asn1::EuiccResultData::RollbackResult(0)]);
    assert_eq!(euicc.enabled_iccid(), Some(iccid(1)));
    assert_eq!(seq_number(&result), euicc.stored_results()[0].seq_number);

    ipa.behaviour = Behaviour { lose_result: true, ..Behaviour::default() };
    server.reply(package(Binding::Asn1, &eim.psmo(euicc.eid(), vec![make::list()])));
    let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
    assert_eq!((poll.answer, euicc.stored_results().len()), (None, 2));

    ipa.behaviour = Behaviour { lose_acknowledgement: true, ..Behaviour::default() };
    server.reply(package(Binding::Asn1, &eim.psmo(euicc.eid(), vec![make::list()])));
    let last = euicc.stored_results().last().unwrap().seq_number + 1;
    server.reply(acknowledgement(Binding::Asn1, &[last]));
    let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
    assert_eq!((poll.removed, euicc.stored_results().len()), (vec![], 3));
}

#[tokio::test]
async fn broken_packages_downloads_and_refusals_are_answered_as_an_ipa_does() {
    let server = Server::start().await;
    let (_, mut euicc, _) = fixture();
    let mut ipa = ipa(&server, Binding::Asn1);
    server.reply(package(Binding::Asn1, &[0xbf, 0x51, 0x00]));
    server.reply(empty(Binding::Asn1));
    let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
    assert_eq!(poll.result.as_deref(), Some(&[0xa0, 3, 2, 1, 1][..]));
    server.reply(Reply::ok(hex::decode("bf4f0abf5407a0028100820109").unwrap()));
    server.reply(empty(Binding::Asn1));
    let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
    assert_eq!(hex::encode(poll.result.unwrap()), "bf540882010930038001 7f".replace(' ', ""));
    server.reply(Reply::ok(hex::decode("bf4f03020102").unwrap()));
    let poll = ipa.poll_once(&mut euicc, &PollOptions::default()).await.unwrap();
    assert_eq!(poll.package, Package::Error(2));
    server.reply(Reply::ok(b"nonsense".to_vec()));
    assert!(matches!(ipa.poll_once(&mut euicc, &PollOptions::default()).await, Err(IpaError::Protocol { .. })));
    server.reply(Reply::status(405));
    let exchange = ipa.request_raw("GET", "/elsewhere", &[("user-agent", ""), ("x-more", "1")], b"").await.unwrap();
    assert_eq!((exchange.status, exchange.header("x-admin-protocol")), (405, Some("gsma/rsp/v2.1.0")));
    let head = server.received().last().unwrap().head.clone();
    assert!(head.starts_with("get /elsewhere") && head.contains("x-more: 1") && !head.contains("user-agent"));
}

#[tokio::test]
async fn only_the_given_certificate_is_trusted_and_only_for_its_name() {
    let server = Server::start().await;
    let (_, mut euicc, _) = fixture();
    let other = eim_simulator::pki::self_signed_tls(
        &eim_simulator::pki::seeded_key(eim_core::pki::Curve::P256, 77, "TLS").unwrap(),
        "localhost",
    );
    for (name, certificate) in [("localhost", other), ("elsewhere.example", server.certificate.clone())] {
        let config = IpaConfig::new(server.address, name, &[certificate], Binding::Asn1).unwrap();
        let error = Ipa::new(config).poll_once(&mut euicc, &PollOptions::default()).await.unwrap_err();
        assert!(matches!(error, IpaError::Tls(_)), "{error}");
    }
    assert!(IpaConfig::new(server.address, "localhost", &[], Binding::Asn1).is_err());
    assert_eq!(server.received().len(), 0);
}

#[tokio::test]
async fn a_fleet_polls_concurrently_and_reports_each_device() {
    let server = Server::start().await;
    server.otherwise(nothing(Binding::Asn1));
    let mut fleet = Fleet::generate(1, 8).unwrap();
    let options = SessionOptions::default();
    assert!(fleet.run_sessions(4, &options, |_| {}).await.is_err());
    let certificate = server.certificate.clone();
    fleet.connect(&IpaConfig::new(server.address, "localhost", &[certificate], Binding::Asn1).unwrap());
    let mut seen = 0;
    let reports = fleet.run_sessions(4, &options, |_| seen += 1).await.unwrap();
    assert_eq!((reports.len(), seen, server.connections()), (8, 8, 8));
    assert!(reports.iter().all(|report| report.session.as_ref().is_ok_and(|session| session.is_complete())));
}

#[tokio::test]
async fn load_counts_empty_polls_and_tells_other_answers_apart() {
    for binding in BINDINGS {
        let server = Server::start().await;
        server.reply(package(binding, &[0xbf, 0x52, 0x00]));
        server.reply(Reply::status(500));
        server.otherwise(nothing(binding));
        let options = LoadOptions {
            server: server.address,
            server_name: "localhost".to_owned(),
            tls: client_config(std::slice::from_ref(&server.certificate), TlsVersions::Both).unwrap(),
            binding,
            mode: Mode::Poll,
            connections: 2,
            duration: Duration::from_secs(20),
            max_count: 20,
        };
        let report = load::run(Fleet::generate(1, 3).unwrap(), None, &options).await.unwrap();
        assert_eq!((report.count, report.unexpected, report.errors), (20, 1, 1), "{report}");
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn load_runs_a_whole_operation_through_api_and_device_front() {
    let (server, front) = (Server::start().await, Server::start_plain().await);
    let mut eim = TestEim::new(Curve::P256);
    let configuration = EimConfigurationData { association_token: Some(-1), ..eim.configuration() };
    let request = asn1::encode(&AddInitialEimRequest { eim_configuration_data_list: vec![configuration] }).unwrap();
    front.reply(Reply::ok(format!(r#"{{"addInitialEimRequest":"{}"}}"#, STANDARD.encode(request))));
    front.reply(Reply { status: 201, body: b"{}".to_vec() });
    front.reply(Reply { status: 202, body: b"{}".to_vec() });

    let mut fleet = Fleet::generate(1, 1).unwrap();
    let mut api = load::Api::connect(&format!("http://{}/", front.address), "secret", false).await.unwrap();
    load::prepare_devices(&mut fleet, &mut api).await.unwrap();
    let registered: serde_json::Value = serde_json::from_slice(&front.received()[1].body).unwrap();
    assert_eq!(registered["association"], serde_json::json!({"counterValue": 0, "associationToken": 1}));
    assert_eq!(registered["eid"], fleet.eids()[0].to_string());

    eim.token = Some(AssociationToken::new(1));
    let target = fleet_iccid(0, 2).unwrap();
    server.reply(package(Binding::Asn1, &hex::decode("bf52045c02a5a6").unwrap()));
    server.reply(empty(Binding::Asn1));
    server.reply(package(Binding::Asn1, &eim.psmo(fleet.eids()[0], vec![make::enable(target)])));
    server.reply(acknowledgement(Binding::Asn1, &[1]));
    let options = LoadOptions {
        server: server.address,
        server_name: "localhost".to_owned(),
        tls: client_config(std::slice::from_ref(&server.certificate), TlsVersions::Both).unwrap(),
        binding: Binding::Asn1,
        mode: Mode::Cycle,
        connections: 4,
        duration: Duration::from_secs(20),
        max_count: 0,
    };
    let report = load::run(fleet, Some(&api), &options).await.unwrap();
    assert_eq!((report.count, report.errors, report.unit), (1, 0, "cycles"), "{report}");
    let operation = front.received()[2].clone();
    assert!(operation.head.contains("authorization: bearer secret"));
    let body: serde_json::Value = serde_json::from_slice(&operation.body).unwrap();
    assert_eq!(body, serde_json::json!({"psmo": [{"enable": {"iccid": target.to_string()}}]}));
}

#[test]
fn targets_elsewhere_need_a_word() {
    assert!(load::check_target("192.0.2.1:443", false).is_err());
    assert!(load::check_target("127.0.0.1:443", false).is_ok());
}
