//! What is not proven changes nothing (SGP.32 v1.2 3.3.1; 05 5.1, 5.3). Each on both databases and in both bindings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_conformance::{Answer, Device, Forge, Package, PollOptions, Role, SentPackage, World, matrix, matrix_with};
use eim_core::ids::{AssociationToken, Eid};
use eim_core::pki::Curve;
use eim_simulator::euicc::UnsignedError;
use eim_simulator::ipa::{Binding, DataRequests, EidInResult};
use eim_simulator::pki::{EuiccIdentity, seeded_key};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};
use std::sync::Arc;

/// Brings a hostile result for an enable that is on its way, and sees that nothing is believed. Then the honest result
/// comes, and is.
async fn changes_nothing(
    world: &World,
    device: &mut Device,
    hostile: impl AsyncFn(&mut Device, &SentPackage) -> Answer,
) {
    let eid = device.eid();
    let id = world.queue(&eid, device.enable(2, false)).await;
    let package = SentPackage::read(&device.fetch().await);
    let believed = world.believed(&eid).await;
    let failures = world.metric("eim_verification_failures_total", &[]).await;
    let succeeded = world.metric("eim_packages_total", &["outcome=\"succeeded\""]).await;
    let answer = hostile(device, &package).await;
    assert_eq!(answer, Answer::Empty, "emptyResponse, never BF53 (07 reading 4)");
    assert_eq!(world.believed(&eid).await, believed);
    let operation = world.operation(&id).await;
    assert_eq!((&operation["state"], &operation["verified"]), (&json!("delivered"), &Value::Null));
    let refusals = operation["refusals"].as_array().unwrap();
    assert!(
        refusals.iter().any(|refusal| refusal["reason"].as_str().is_some() && refusal["at"].as_str().is_some()),
        "the refusal is recorded with its reason: {operation}"
    );
    assert_eq!(world.events_of(&eid, "resultRefused").await.len(), 1);
    assert_eq!(world.metric("eim_verification_failures_total", &[]).await, failures + 1.0);
    assert_eq!(world.metric("eim_packages_total", &["outcome=\"succeeded\""]).await, succeeded);
    // The device polls: the same octets again, and the honest answer counts.
    assert_eq!(SentPackage::read(&device.fetch().await), package);
    let honest = Forge::of(device).answer(&package, 500, &[&integer(0x83, 0)]);
    assert_eq!(device.deliver(&honest).await, Answer::Acknowledged(vec![500]));
    let operation = world.operation(&id).await;
    assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)));
    assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
}

#[test]
fn a_result_signed_with_a_wrong_key_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        changes_nothing(world, &mut device, async |device: &mut Device, package: &SentPackage| {
            let key = Arc::new(seeded_key(Curve::P256, 1, "nobody").unwrap());
            device.deliver(&Forge { key, token: 0 }.answer(package, 500, &[&integer(0x83, 0)])).await
        })
        .await;
    });
}

#[test]
fn a_result_signed_with_the_right_key_on_the_other_curve_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        changes_nothing(world, &mut device, async |device: &mut Device, package: &SentPackage| {
            let key = Arc::new(world.test_pki.key(Curve::BrainpoolP256r1, "euicc1").unwrap());
            device.deliver(&Forge { key, token: 0 }.answer(package, 500, &[&integer(0x83, 0)])).await
        })
        .await;
    });
}

/// CR-02: the token is signed along; absent is 0.
#[test]
fn a_result_bound_to_a_wrong_token_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        changes_nothing(world, &mut device, async |device: &mut Device, package: &SentPackage| {
            let key = Forge::of(device).key;
            device.deliver(&Forge { key, token: 7 }.answer(package, 500, &[&integer(0x83, 0)])).await
        })
        .await;
        let eim_id = world.eim_id().await;
        let mut with_token = world.device_of(world.pki.euicc(2).unwrap()).await;
        with_token.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(9));
        world.register(&with_token, true).await;
        let id = world.queue(&with_token.eid(), with_token.enable(2, false)).await;
        with_token.euicc.faults.signing_token = Some(None);
        assert_eq!(with_token.poll().await.answer, Some(Answer::Empty));
        assert_eq!(world.operation(&id).await["state"], "delivered");
        assert_eq!(world.enabled(&with_token.eid()).await, Vec::<String>::new());
    });
}

#[test]
fn a_result_with_one_bit_changed_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        changes_nothing(world, &mut device, async |device: &mut Device, package: &SentPackage| {
            let mut result = Forge::of(device).answer(package, 500, &[&integer(0x83, 1)]);
            // iccidOrAidNotFound(1) becomes ok(0)
            let signature = result.len() - 67;
            assert_eq!(result[signature - 3..signature], [0x83, 0x01, 0x01]);
            result[signature - 1] ^= 1;
            device.deliver(&result).await
        })
        .await;
    });
}

/// Every bit of the signature, and every degenerate one (05 5.1: r or s = 0, all-zero).
#[test]
fn a_degenerate_signature_is_refused_and_never_crashes_the_server() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let believed = world.believed(&device.eid()).await;
        let honest = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
        let signature = &honest[honest.len() - 64..];
        let (r, s) = signature.split_at(32);
        for forged in [
            vec![0; 64],
            vec![0xff; 64],
            [&[0; 32], s].concat(),
            [r, &[0; 32]].concat(),
            [&order[..], s].concat(),
            [r, &order[..]].concat(),
            [s, r].concat(),
        ] {
            let result = [&honest[..honest.len() - 64], &forged].concat();
            let answer = device.provide(Some(&device.euicc.eid()), &result).await;
            assert!(answer.status == 200 || answer.status == 400, "{}", answer.status);
            assert!(!String::from_utf8_lossy(&answer.response).contains("eimAcknowledgements"));
            assert!(!hex::encode(&answer.response).contains("bf53"));
            assert_eq!(world.believed(&device.eid()).await, believed);
        }
        assert_eq!(device.deliver(&honest).await, Answer::Acknowledged(vec![500]));
        assert_eq!(world.operation(&id).await["verified"], true);
    });
}

/// CT-BEH-EN-E1 and 07 reading 12.
#[test]
fn a_result_under_the_eid_of_another_known_device_changes_neither() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut victim = world.listed_device(2).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let theirs = world.queue(&victim.eid(), victim.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let victims = SentPackage::read(&victim.fetch().await);
        let (before, victim_before) = (world.believed(&device.eid()).await, world.believed(&victim.eid()).await);
        device.ipa.behaviour.eid_in_result = EidInResult::Other(victim.euicc.eid());
        // a good result of the one under the EID of the other
        let own = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&own).await, Answer::Empty);
        // and one that claims to answer the other's package
        let claimed = Forge::of(&device).answer(&victims, 500, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&claimed).await, Answer::Empty);
        assert_eq!(world.believed(&device.eid()).await, before);
        assert_eq!(world.believed(&victim.eid()).await, victim_before);
        assert!(!world.events_of(&victim.eid(), "resultRefused").await.is_empty(), "it is on record");
        assert!(!world.operation(&theirs).await["refusals"].as_array().unwrap().is_empty());
        // nothing of this stands in the way of the truth
        device.ipa.behaviour.eid_in_result = EidInResult::Own;
        assert_eq!(device.deliver(&own).await, Answer::Acknowledged(vec![500]));
        assert_eq!(world.operation(&id).await["state"], "unconfirmed");
        let honest = Forge::of(&victim).answer(&victims, 600, &[&integer(0x83, 0)]);
        assert_eq!(victim.deliver(&honest).await, Answer::Acknowledged(vec![600]));
    });
}

/// CT-BEH-EN-E1: eidNotFound(2) in the form of each function and binding.
#[test]
fn an_unknown_eid_is_answered_with_eid_not_found_and_nothing_is_stored() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let stranger: Eid = "89049032000000000000000000000163".parse().unwrap();
        let package = {
            world.queue(&device.eid(), device.enable(2, false)).await;
            SentPackage::read(&device.fetch().await)
        };
        let believed = world.believed(&device.eid()).await;
        let result = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        let exchange = device.provide(Some(&stranger), &result).await;
        assert_eq!(exchange.status, 200);
        match world.binding {
            Binding::Asn1 => assert_eq!(exchange.response, [0xbf, 0x50, 0x03, 0x02, 0x01, 0x02]),
            Binding::Json => {
                let body: Value = serde_json::from_slice(&exchange.response).unwrap();
                assert_eq!(body["provideEimPackageResultError"], 2);
                assert!(body["header"]["functionExecutionStatus"]["status"].is_string());
            }
        }
        assert_eq!(world.believed(&device.eid()).await, believed);
        let poll = device.ipa.get_eim_package_raw(&stranger, &PollOptions::default()).await.unwrap();
        match world.binding {
            Binding::Asn1 => assert_eq!(poll, [0xbf, 0x4f, 0x03, 0x02, 0x01, 0x02]),
            Binding::Json => assert_eq!(serde_json::from_slice::<Value>(&poll).unwrap()["eimPackageError"], 2),
        }
        let reply = world.send(Role::Viewer, "GET", &format!("/api/v1/euiccs/{stranger}"), &[], "").await;
        assert_eq!(reply.status, 404, "polling does not register anybody");
        assert_eq!(world.metric("eim_polls_total", &["eidNotFound"]).await, 1.0);
    });
}

#[test]
fn a_replayed_result_of_an_earlier_package_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let first = world.queue(&device.eid(), device.enable(2, false)).await;
        let replayed = device.poll().await.result.unwrap();
        device.session().await;
        let back = world.queue(&device.eid(), device.enable(1, false)).await;
        device.session().await;
        assert_eq!(world.operation(&first).await["state"], "succeeded");
        assert_eq!(world.operation(&back).await["state"], "succeeded");
        let again = world.queue(&device.eid(), device.enable(2, false)).await;
        device.euicc.faults.replay = Some(replayed.clone());
        let events =
            |events: Vec<Value>| events.into_iter().filter(|event| event["type"] != "packageDelivered").count();
        device.ipa.behaviour.lose_result = true;
        device.poll().await;
        let believed = world.believed(&device.eid()).await;
        let count = events(world.events(&device.eid()).await);
        // A duplicate may be acknowledged; it must not count for the new package, nor switch anything back.
        for _ in 0..3 {
            device.deliver(&replayed).await;
            assert_eq!(world.believed(&device.eid()).await, believed);
        }
        assert_eq!(world.operation(&again).await["state"], "delivered");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
        assert_eq!(events(world.events(&device.eid()).await), count, "a duplicate is no news");
    });
}

/// An old signed result with the header of the new package around it does not verify; one of another package that was
/// never sent is an orphan and does not end the one on its way.
#[test]
fn a_result_of_a_package_that_was_never_sent_does_not_end_the_one_on_its_way() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let forge = Forge::of(&device);
        // same counter, another transaction
        let other = forge.result(&package.eim_id, package.counter, Some(&[9; 16]), 500, &[&integer(0x83, 0)]);
        assert_eq!(
            device.deliver(&other).await,
            Answer::Acknowledged(vec![500]),
            "an orphan is acknowledged (reading 5)"
        );
        assert_eq!(world.operation(&id).await["state"], "delivered");
        // another counter, no transaction
        let other = forge.result(&package.eim_id, package.counter + 5, None, 501, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&other).await, Answer::Acknowledged(vec![501]));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["results"]), (&json!("delivered"), &json!([])));
        assert_eq!(world.events_of(&device.eid(), "orphanResult").await.len(), 2, "shown");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
        // a result of this eUICC for another eIM is not ours to acknowledge
        let foreign = forge.result("2.999.66", package.counter, Some(&package.transaction), 502, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&foreign).await, Answer::Empty);
        assert_eq!(world.operation(&id).await["state"], "delivered");
        let honest = forge.answer(&package, 503, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&honest).await, Answer::Acknowledged(vec![503]));
        assert_eq!(world.operation(&id).await["verified"], true);
    });
}

/// 07 reading 5: the list in an orphan is the card's truth.
#[test]
fn a_verified_orphan_changes_the_view() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        device.poll().await;
        let eim_id = world.eim_id().await;
        let info = element(0xe3, &[&element(0x5a, &[device.raw_iccid(2).octets()]), &[0x9f, 0x70, 0x01, 0x01]]);
        let list = element(0xbf2d, &[&element(0xa0, &[&info])]);
        let orphan = Forge::of(&device).result(&eim_id, 40, Some(&[1; 4]), 7, &[&list]);
        assert_eq!(device.deliver(&orphan).await, Answer::Acknowledged(vec![7]));
        assert_eq!(world.profiles(&device.eid()).await, [(device.iccid(2), "enabled".to_owned())]);
        assert_eq!(device.deliver(&orphan).await, Answer::Acknowledged(vec![7]), "again");
        assert_eq!(world.events_of(&device.eid(), "orphanResult").await.len(), 1);
    });
}

/// T19, 05 5.1: tolerated on verify.
#[test]
fn a_signature_in_der_is_believed() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.euicc.faults.der_signature = true;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let poll = device.poll().await;
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{:?}", poll.answer);
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)));
    });
}

/// CR-03: the certificate decides the curve.
#[test]
fn results_of_both_curves_are_verified() {
    matrix(async |world: &mut World| {
        for curve in [Curve::P256, Curve::BrainpoolP256r1] {
            // the same EID on both curves would be one device: another for each
            let name = if curve == Curve::P256 { "euicc1" } else { "euicc2" };
            let mut device = world.device_of(world.test_pki.euicc(curve, name).unwrap()).await;
            world.register(&device, true).await;
            let id = world.queue(&device.eid(), device.enable(2, true)).await;
            device.session().await;
            let operation = world.operation(&id).await;
            assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{curve:?}");
        }
    });
}

/// 1.2, 07 readings 6 and 7: no certificate is known yet.
#[test]
fn a_result_that_cannot_be_verified_yet_is_held_until_the_certificates_come() {
    matrix(async |world: &mut World| {
        let mut device = world.bare_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let poll = device.poll().await;
        let held = poll.result.clone().unwrap();
        assert_eq!(poll.answer, Some(Answer::Empty), "held, not acknowledged");
        assert_eq!(device.euicc.stored_results().len(), 1);
        let operation = world.operation(&id).await;
        assert_eq!(
            (&operation["state"], &operation["verified"], &operation["results"]),
            (&json!("delivered"), &Value::Null, &json!([]))
        );
        assert_eq!(world.profiles(&eid).await, []);
        assert_eq!(world.euicc(&eid).await["heldResults"], 1);
        // the same once more: still held, once
        assert_eq!(device.deliver(&held).await, Answer::Empty);
        assert_eq!(world.euicc(&eid).await["heldResults"], 1);
        // BF52 for A5 and A6 first; the package is not sent again
        let poll = device.poll().await;
        let Package::IpaEuiccData(request) = &poll.package else { panic!("{:?}", poll.package) };
        assert_eq!(Tlv::only(request).unwrap().child(0x5c).unwrap().content, [0xa5, 0xa6]);
        let Some(Answer::Acknowledged(numbers)) = poll.answer else {
            panic!("acknowledged in the answer that carried them: {:?}", poll.answer)
        };
        assert_eq!((numbers, device.euicc.stored_results().len()), (poll.removed, 0));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)));
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
        let euicc = world.euicc(&eid).await;
        assert_eq!((&euicc["certificatesTrusted"], &euicc["heldResults"]), (&json!(true), &json!(0)));
        // and again on redelivery
        assert!(matches!(device.deliver(&held).await, Answer::Acknowledged(_)));
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        assert_eq!(world.operation(&id).await["attempts"], 1, "the package was not sent again");
    });
}

/// 07 reading 3: HandleNotification means "stored"; it is verified once the certificates are there.
#[test]
fn a_held_result_from_handle_notification_is_verified_later_too() {
    matrix(async |world: &mut World| {
        let mut device = world.bare_device(1).await;
        device.ipa.behaviour.delivery = eim_simulator::ipa::Delivery::HandleNotification;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        assert_eq!(device.poll().await.answer, Some(Answer::NoContent));
        assert_eq!(world.operation(&id).await["state"], "delivered");
        device.poll().await;
        assert_eq!(world.operation(&id).await["verified"], true);
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
    });
}

/// The operator may bring the certificates as well as the device.
#[test]
fn a_held_result_is_verified_after_the_operator_has_registered_the_certificates() {
    matrix(async |world: &mut World| {
        use base64::Engine;
        let base64 = |octets: &[u8]| base64::engine::general_purpose::STANDARD.encode(octets);
        let mut device = world.bare_device(1).await;
        device.ipa.behaviour.data_requests = DataRequests::Ignore;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        assert_eq!(device.poll().await.answer, Some(Answer::Empty));
        let identity = device.euicc.identity().clone();
        world
            .patch(
                &device.eid(),
                json!({
            "euiccCertificate": base64(&identity.certificate), "eumCertificate": base64(&identity.eum_certificate) }),
            )
            .await;
        let answers = device.ipa.deliver_stored_results(&mut device.euicc).await.unwrap();
        assert!(matches!(answers.as_slice(), [Answer::Acknowledged(_)]), "{answers:?}");
        assert_eq!(world.operation(&id).await["verified"], true);
    });
}

/// A result held under wrong hands is refused when the true certificates come.
#[test]
fn a_forged_result_that_was_held_is_refused_when_the_certificates_come() {
    matrix(async |world: &mut World| {
        let mut device = world.bare_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let key = Arc::new(seeded_key(Curve::P256, 1, "nobody").unwrap());
        let forged = Forge { key, token: 0 }.answer(&package, 500, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&forged).await, Answer::Empty);
        assert_eq!(world.euicc(&eid).await["heldResults"], 1);
        let poll = device.poll().await;
        assert!(matches!(poll.package, Package::IpaEuiccData(_)));
        assert_eq!(poll.answer, Some(Answer::Empty));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["results"]), (&json!("delivered"), &json!([])));
        assert!(!operation["refusals"].as_array().unwrap().is_empty());
        assert_eq!((world.euicc(&eid).await["heldResults"].clone(), world.profiles(&eid).await), (json!(0), vec![]));
        let honest = device.poll().await;
        assert!(matches!(honest.answer, Some(Answer::Acknowledged(_))), "{honest:?}");
        assert_eq!(world.operation(&id).await["verified"], true);
    });
}

/// 05 5.3, CR-05, CR-09: a chain that does not hold up to a configured CI with the EID of the exchange proves nothing.
#[test]
fn results_under_certificates_that_are_not_trusted_change_nothing() {
    matrix(async |world: &mut World| {
        let pki = world.test_pki.clone();
        let good = pki.euicc(Curve::P256, "euicc1").unwrap();
        let mut device = world.device_of(good.clone()).await;
        world.register(&device, false).await;
        let eid = device.eid();
        let shown = |certificate: &str, key: &str, eum: &str| EuiccIdentity {
            certificate: pki.certificate(Curve::P256, certificate).unwrap(),
            eum_certificate: pki.certificate(Curve::P256, eum).unwrap(),
            key: Arc::new(pki.key(Curve::P256, key).unwrap()),
            ..good.clone()
        };
        let id = world.queue(&eid, device.enable(2, false)).await;
        device.ipa.behaviour.lose_result = true;
        device.poll().await;
        device.ipa.behaviour.lose_result = false;
        let stored = device.euicc.stored_results()[0].octets.clone();
        let believed = world.believed(&eid).await;
        let cases = [
            ("euicc1_expired", "euicc1", "eum"),
            ("euicc1_notyet", "euicc1", "eum"),
            ("euicc1", "euicc1", "eum_expired"),
            ("euicc1", "euicc1", "eum_untrusted_ci"),
            ("euicc_rogue_eum", "euicc1", "eum_rogue"),
            ("euicc1", "euicc1", "eum_not_ca"),
            ("euicc_wrong_role", "euicc1", "eum"),
            ("euicc_no_ds", "euicc1", "eum"),
            ("euicc2", "euicc2", "eum"),
            ("euicc_foreign_eid", "euicc_foreign", "eum"),
            ("eum", "eum", "ci"),
        ];
        for (round, (certificate, key, eum)) in cases.into_iter().enumerate() {
            let name = format!("{certificate} below {eum}");
            let identity = shown(certificate, key, eum);
            device.euicc.faults.foreign = Some(Box::new(identity.clone()));
            // the stored result and the certificates in one answer to a request for data
            let data = world.queue(&eid, json!({ "euiccData": { "tags": ["A2", "A5", "A6"] } })).await;
            let answer = loop {
                let poll = device.poll().await;
                assert!(!matches!(poll.answer, Some(Answer::Acknowledged(_))), "{name}: {:?}", poll.answer);
                if world.operation(&data).await["state"] == "succeeded" {
                    break poll.answer;
                }
                assert!(!poll.is_idle(), "{name}");
            };
            assert_eq!(answer, Some(Answer::Empty), "{name}");
            // and a result signed with the key that they show
            let package_counter = world.operation(&id).await["counterValue"].as_i64().unwrap();
            let transaction = hex::decode(world.operation(&id).await["eimTransactionId"].as_str().unwrap()).unwrap();
            let eim_id = world.eim_id().await;
            let forge = Forge { key: identity.key.clone(), token: 0 };
            if certificate != "euicc1" && key != "euicc1" {
                let forged = forge.result(
                    &eim_id,
                    package_counter,
                    Some(&transaction),
                    700 + round as i64,
                    &[&integer(0x83, 0)],
                );
                assert_eq!(device.deliver(&forged).await, Answer::Empty, "{name}");
            }
            assert_eq!(world.believed(&eid).await, believed, "{name}");
        }
        assert!(world.events_of(&eid, "certificatesRefused").await.len() >= cases.len());
        assert!(world.metric("eim_verification_failures_total", &[]).await >= cases.len() as f64);
        // The true certificates at last.
        device.euicc.faults.foreign = None;
        let data = world.queue(&eid, json!({ "euiccData": { "tags": ["A5", "A6"] } })).await;
        let poll = device.poll().await;
        assert!(
            matches!(poll.answer, Some(Answer::Acknowledged(_))),
            "{:?} {}",
            poll.answer,
            world.operation(&data).await
        );
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)), "{operation}");
        let before = world.believed(&eid).await;
        assert!(matches!(device.deliver(&stored).await, Answer::Acknowledged(_)));
        assert_eq!(world.believed(&eid).await, before);
    });
}

/// CR-07: a certificate that was good expires; nothing new is believed then.
#[test]
fn certificates_are_judged_at_the_time_of_the_result() {
    matrix(async |world: &mut World| {
        let mut device = world.device_of(world.test_pki.euicc(Curve::P256, "euicc1").unwrap()).await;
        world.register(&device, true).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        // the CI ends in 2059
        world.advance(chrono::TimeDelta::days(36 * 366)).await;
        device.ipa.behaviour.data_requests = DataRequests::Ignore;
        assert_eq!(device.poll().await.answer, Some(Answer::Empty));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("delivered"), &Value::Null));
        assert_eq!(world.euicc(&device.eid()).await["certificatesTrusted"], false);
        assert_eq!(world.profiles(&device.eid()).await, []);
    });
}

/// CR-06.
#[test]
fn another_certificate_for_a_known_eid_is_flagged() {
    matrix(async |world: &mut World| {
        let pki = world.test_pki.clone();
        let mut device = world.device_of(pki.euicc(Curve::P256, "euicc1").unwrap()).await;
        world.register(&device, true).await;
        let other = pki.euicc(Curve::BrainpoolP256r1, "euicc1").unwrap();
        assert_eq!(other.eid, device.euicc.eid());
        device.euicc.faults.foreign = Some(Box::new(other));
        world.queue(&device.eid(), json!({ "euiccData": { "tags": ["A5", "A6"] } })).await;
        device.session().await;
        let trusted = world.events_of(&device.eid(), "certificatesTrusted").await;
        assert_eq!((trusted.len(), &trusted[0]["changed"]), (1, &json!(true)));
    });
}

/// 1.2, issue point 5: unsigned errors never change state by themselves.
#[test]
fn unsigned_errors_are_shown_and_change_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let believed = world.believed(&eid).await;
        let transaction = element(0x82, &[&package.transaction]);
        let eim = element(0x80, &[package.eim_id.as_bytes()]);
        let unsigned = |fields: &[&[u8]]| element(0xbf51, &[&element(0xa2, fields)]);
        let ipa_error = |fields: &[&[u8]]| element(0xa0, fields);
        for error in [
            unsigned(&[&eim, &transaction]),
            unsigned(&[&eim, &transaction, &integer(0x84, 99)]),
            unsigned(&[&eim]),
            // v1.3 with a code, and the field form T3
            unsigned(&[&eim, &transaction, &integer(0x8f, 15)]),
            element(0xbf51, &[&integer(0x02, 127)]),
            // the IPA's own errors, with and without transaction; T15
            ipa_error(&[&element(0x80, &[&package.transaction]), &integer(0x02, 127)]),
            ipa_error(&[&integer(0x02, 1)]),
            hex::decode("80053003020102").unwrap(),
            element(0xa0, &[&element(0x30, &[&integer(0x02, 127)])]),
        ] {
            let answer = device.deliver(&error).await;
            assert_eq!(answer, Answer::Empty, "{}", hex::encode(&error));
            assert_eq!(world.believed(&eid).await, believed, "{}", hex::encode(&error));
        }
        let told = world.events_of(&eid, "unsignedError").await;
        assert!(told.iter().any(|event| event["associationToken"] == 99), "{told:?}");
        assert_eq!(
            world.euicc(&eid).await["association"]["associationToken"],
            Value::Null,
            "adopted by an operator only"
        );
        assert!(!world.operation(&id).await["refusals"].as_array().unwrap().is_empty());
        let honest = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&honest).await, Answer::Acknowledged(vec![500]));
        assert_eq!(world.operation(&id).await["verified"], true);
    });
}

/// ST-10: the operator adopts the token that the eUICC told, and what it had refused goes out again.
#[test]
fn an_operator_adopts_the_token_of_an_unsigned_error_and_the_next_package_is_taken() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let eim_id = world.eim_id().await;
        device.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(5));
        let id = world.queue(&eid, device.enable(2, false)).await;
        assert_eq!(device.poll().await.answer, Some(Answer::Empty));
        assert_eq!(world.operation(&id).await["state"], "delivered");
        let told = world.events_of(&eid, "unsignedError").await;
        assert_eq!(told[0]["associationToken"], 5);
        world.patch(&eid, json!({ "association": { "associationToken": 5 } })).await;
        // The eUICC had refused it, so it is made again.
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
        assert!(operation["counterValue"].as_i64().unwrap() > 1, "a new counter");
        assert_eq!(device.euicc.faults.unsigned_error, None::<UnsignedError>);
    });
}

/// Issue point 3: refused unless the server allows it.
#[test]
fn the_lab_policy_is_refused_unless_the_server_allows_it() {
    matrix(async |world: &mut World| {
        let device = world.device(1).await;
        let body = json!({ "resultPolicy": "lab" }).to_string();
        let path = format!("/api/v1/euiccs/{}", device.eid());
        let reply = world.send(Role::Admin, "PATCH", &path, &[], body.clone()).await;
        assert_eq!(reply.pointers(422), ["/resultPolicy"]);
        assert_eq!(world.send(Role::Operator, "PATCH", &path, &[], body).await.status, 403);
        let body = json!({ "eid": world.pki.eid(7).to_string(), "resultPolicy": "lab" }).to_string();
        let reply = world.send(Role::Admin, "POST", "/api/v1/euiccs", &[], body).await;
        assert_eq!(reply.pointers(422), ["/resultPolicy"]);
        assert_eq!(world.euicc(&device.eid()).await["resultPolicy"], "verified");
    });
}

/// Issue point 3, 07 reading 22: stored, shown as unverified everywhere, never counted as verified.
#[test]
fn under_the_lab_policy_results_are_taken_and_marked_unverified_everywhere() {
    matrix_with(
        |config| config.lab.enabled = true,
        async |world: &mut World| {
            let mut device = world.bare_device(1).await;
            let eid = device.eid();
            let body = json!({ "resultPolicy": "lab" }).to_string();
            let reply = world.send(Role::Admin, "PATCH", &format!("/api/v1/euiccs/{eid}"), &[], body).await;
            assert_eq!(reply.status, 200);
            device.euicc.faults.signing_key = Some(Arc::new(seeded_key(Curve::P256, 1, "nobody").unwrap()));
            let list = world.queue(&eid, json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            let id = world.queue(&eid, device.enable(2, false)).await;
            let session = device.session().await;
            assert!(matches!(session.polls[0].answer, Some(Answer::Acknowledged(_))), "{:?}", session.polls[0].answer);
            for id in [&list, &id] {
                let operation = world.operation(id).await;
                assert_eq!(
                    (&operation["state"], &operation["verified"]),
                    (&json!("succeeded"), &json!(false)),
                    "{operation}"
                );
            }
            let profiles = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
            assert_eq!(profiles["verified"], false);
            assert!(profiles["items"].as_array().unwrap().iter().all(|item| item["verified"] == false), "{profiles}");
            assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
            assert_eq!(world.metric("eim_packages_total", &["outcome=\"succeeded\""]).await, 0.0, "never as verified");
            assert_eq!(
                world.metric("eim_packages_total", &["nverified"]).await,
                4.0 - 1.0,
                "list; enable unconfirmed, succeeded"
            );
            let events = world.events(&eid).await;
            assert!(
                events
                    .iter()
                    .filter(|event| event["type"] == "operationSucceeded")
                    .all(|event| event["verified"] != true),
                "{events:?}"
            );

            // A device beside it, under the usual policy on the same server, is judged as ever.
            let mut other = world.listed_device(2).await;
            other.euicc.faults.signing_key = device.euicc.faults.signing_key.clone();
            let refused = world.queue(&other.eid(), other.enable(2, false)).await;
            assert_eq!(other.poll().await.answer, Some(Answer::Empty));
            assert_eq!(world.operation(&refused).await["verified"], Value::Null);
            assert_eq!(world.get("/api/v1/eim").await["labEnabled"], true);

            // Back under the usual policy, the next result must be proven, and then the view is verified again.
            world.patch(&eid, json!({ "resultPolicy": "verified" })).await;
            let id = world.queue(&eid, device.enable(1, false)).await;
            assert_eq!(device.poll().await.answer, Some(Answer::Empty));
            assert_eq!(world.operation(&id).await["verified"], Value::Null);
        },
    );
}

/// A notification with a wrong signature is kept, acknowledged, and shown as refused (1.8).
#[test]
fn a_forged_notification_moves_no_profile() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.euicc.faults.signing_key = Some(Arc::new(seeded_key(Curve::P256, 1, "nobody").unwrap()));
        device.euicc.enable_locally(&device.raw_iccid(2));
        let before = world.believed(&device.eid()).await;
        assert_eq!(device.ipa.deliver_notifications(&mut device.euicc).await.unwrap(), 1);
        assert_eq!(world.believed(&device.eid()).await, before);
        let events = world.events_of(&device.eid(), "notificationReceived").await;
        assert_eq!((events.len(), &events[0]["status"]), (1, &json!("refused")));
        assert!(world.metric("eim_notifications_total", &["refused"]).await >= 1.0);
    });
}

/// The same signature in its other forms: n - s for s (05 5.1 has no low-s rule), and DER (tolerated).
fn other_forms_of_the_signature(result: &[u8]) -> Vec<Vec<u8>> {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let arm = Tlv::only(Tlv::only(result).unwrap().content).unwrap();
    let parts = arm.children().unwrap();
    let (r, s) = parts[1].content.split_at(32);
    let mut negated = hex::decode(ORDER).unwrap();
    let mut borrow = 0_i16;
    for (digit, subtrahend) in negated.iter_mut().zip(s).rev() {
        let difference = i16::from(*digit) - i16::from(*subtrahend) - borrow;
        borrow = i16::from(difference < 0);
        *digit = difference.rem_euclid(256) as u8;
    }
    let with =
        |signature: &[u8]| element(0xbf51, &[&element(arm.tag, &[parts[0].octets, &element(0x5f37, &[signature])])]);
    let mut fixed = [0; 64];
    fixed.copy_from_slice(parts[1].content);
    vec![with(&[r, &negated].concat()), with(&eim_simulator::pki::signature_to_der(&fixed))]
}

/// "replayed result changes nothing": the signed data are the same, whoever dressed the signature anew. Nothing secret is
/// needed for that, only a result that was seen once.
#[test]
fn a_replayed_result_with_its_signature_rewritten_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        world.queue(&eid, device.enable(2, false)).await;
        let old = device.poll().await.result.unwrap();
        device.session().await;
        let back = world.queue(&eid, device.enable(1, false)).await;
        device.session().await;
        assert_eq!(world.operation(&back).await["state"], "succeeded");
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        let believed = world.believed(&eid).await;
        let events = world.events(&eid).await.len();
        for rewritten in other_forms_of_the_signature(&old) {
            device.deliver(&rewritten).await;
            assert_eq!(world.enabled(&eid).await, [device.iccid(1)], "the old result does not count again");
            assert_eq!(world.believed(&eid).await, believed);
        }
        assert_eq!(world.events(&eid).await.len(), events, "a duplicate is no news");
    });
}

/// The same for an orphan: an old profile list must not come back.
#[test]
fn a_replayed_orphan_with_its_signature_rewritten_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let info = |number: u8| {
            element(
                0xe3,
                &[&element(0x5a, &[device.raw_iccid(number).octets()]), &[0x9f, 0x70, 0x01, u8::from(number == 2)]],
            )
        };
        let list = element(0xbf2d, &[&element(0xa0, &[&info(1), &info(2), &info(3)])]);
        let orphan = Forge::of(&device).result(&world.eim_id().await, 900, Some(&[1; 4]), 77, &[&list]);
        assert_eq!(device.deliver(&orphan).await, Answer::Acknowledged(vec![77]));
        world.list(&mut device).await;
        let believed = world.believed(&eid).await;
        for rewritten in other_forms_of_the_signature(&orphan) {
            device.deliver(&rewritten).await;
            assert_eq!(world.believed(&eid).await, believed);
        }
    });
}

/// And for a roll-back.
#[test]
fn a_replayed_rollback_with_its_signature_rewritten_changes_nothing() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        device.ipa.behaviour.connectivity_lost = true;
        world.queue(&eid, device.enable(2, true)).await;
        let rollback = device.poll().await.result.unwrap();
        device.ipa.behaviour.connectivity_lost = false;
        device.session().await;
        world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
        let believed = world.believed(&eid).await;
        for rewritten in other_forms_of_the_signature(&rollback) {
            device.deliver(&rewritten).await;
            assert_eq!(world.believed(&eid).await, believed);
        }
    });
}

/// The list of stored results may hold the same one twice, in one form or in two.
#[test]
fn the_same_result_twice_in_one_message_is_applied_once() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        let mut list = vec![result.clone(), result.clone()];
        list.extend(other_forms_of_the_signature(&result));
        let data = element(0xbf52, &[&element(0xa0, &[&element(0xa2, &[&list.concat()])])]);
        let Answer::Acknowledged(numbers) = device.deliver(&data).await else { panic!("not acknowledged") };
        assert!(numbers.iter().all(|number| *number == 500));
        let operation = world.operation(&id).await;
        assert_eq!(
            (&operation["state"], &operation["lateResult"]),
            (&json!("unconfirmed"), &Value::Null),
            "{operation}"
        );
        assert_eq!(world.events_of(&device.eid(), "operationUnconfirmed").await.len(), 1);
        assert_eq!(world.events_of(&device.eid(), "lateResult").await.len(), 0);
    });
}

/// 07 reading 12: a result under the EID of another device is not applied, and recorded as a security event.
#[test]
fn a_result_for_the_package_of_another_device_is_a_security_event() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut other = world.listed_device(2).await;
        let id = world.queue(&other.eid(), other.enable(2, false)).await;
        let package = SentPackage::read(&other.fetch().await);
        let result = Forge::of(&other).answer(&package, 70, &[&integer(0x83, 0)]);
        let (before, before_other) = (world.believed(&device.eid()).await, world.believed(&other.eid()).await);
        assert_eq!(device.deliver(&result).await, Answer::Empty);
        let events = world.events_of(&device.eid(), "foreignResult").await;
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0]["security"], &events[0]["eid"]), (&json!(true), &json!(other.eid())));
        assert_eq!(world.believed(&device.eid()).await, before);
        assert_eq!(world.believed(&other.eid()).await, before_other);
        assert_eq!(world.operation(&id).await["state"], "delivered");
        assert_eq!(other.deliver(&result).await, Answer::Acknowledged(vec![70]));
    });
}
