//! Order, loss and recovery (SGP.32 v1.2 3.1.1.1, 3.3; ST-01 to ST-19).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Answer, Device, Forge, Package, PollOptions, Role, SentPackage, World, each_store, matrix};
use eim_simulator::euicc::Euicc;
use eim_simulator::ipa::{DataRequests, Ipa};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};

fn tags_of(data_request: &[u8]) -> Vec<u8> {
    let mut request = Tlv::only(data_request).unwrap();
    if request.tag == 0xbf4f {
        request = Tlv::only(request.content).unwrap();
    }
    assert_eq!(request.tag, 0xbf52, "{}", hex::encode(data_request));
    request.child(0x5c).unwrap().content.to_vec()
}

fn is_list(package: &SentPackage) -> bool {
    package.is_own_list()
}

async fn state(world: &World, id: &str) -> String {
    world.operation(id).await["state"].as_str().unwrap().to_owned()
}

/// Executes the next package without telling the eIM.
async fn lose_result(device: &mut Device) -> SentPackage {
    device.ipa.behaviour.lose_result = true;
    let poll = device.poll().await;
    device.ipa.behaviour.lose_result = false;
    SentPackage::read(poll.request().unwrap())
}

/// 1.2, 07 reading 8.
#[test]
fn nobody_sees_that_the_database_ended_its_connections() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        for round in 0..6 {
            // Each of the pool's connections is used once at least.
            let (path, body) = (format!("/api/v1/euiccs/{eid}"), json!({ "label": format!("round {round}") }));
            world.end_connections();
            assert_eq!(world.send(Role::Viewer, "GET", &path, &[], "").await.status, 200);
            world.end_connections();
            let reply = world.send(Role::Operator, "PATCH", &path, &[], body.to_string()).await;
            assert_eq!((reply.status, &reply.json()["label"]), (200, &json!(format!("round {round}"))));
            let asked = world.queue(&eid, json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            world.end_connections();
            device.session().await;
            assert_eq!(world.operation(&asked).await["state"], "succeeded");
        }
    });
}

#[test]
fn redelivers_the_same_octets_and_asks_for_stored_results_in_between() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let first = device.fetch().await;
        let package = SentPackage::read(&first);
        world.advance(TimeDelta::minutes(10)).await;
        assert_eq!(device.fetch().await, first, "the first poll after it: the same octets");
        let mut packages = 0;
        let mut questions = 0;
        for _ in 0..8 {
            world.advance(TimeDelta::minutes(10)).await;
            let next = device.fetch().await;
            if Tlv::only(&next).unwrap().child(0xbf52).is_some() {
                assert_eq!(tags_of(&next), [0xa2]);
                questions += 1;
            } else {
                assert_eq!(SentPackage::read(&next), package, "never another package while this one is on its way");
                packages += 1;
            }
        }
        assert!(packages >= 2 && questions >= 2, "{packages} packages, {questions} questions");
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["counterValue"]), (&json!("delivered"), &json!(package.counter)));
        assert_eq!(operation["attempts"], packages + 2);
        world.advance(TimeDelta::hours(2)).await;
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
    });
}

/// ST-06: the answer is replayError(4), the result is still on the eUICC.
#[test]
fn a_lost_result_is_fetched_from_the_euicc_after_replay_error() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = lose_result(&mut device).await;
        let again = device.poll().await;
        assert_eq!(SentPackage::read(again.request().unwrap()), package);
        assert_eq!(again.answer, Some(Answer::Empty), "a signed error has no seqNumber");
        assert_eq!(state(world, &id).await, "delivered", "replayError is no outcome");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
        let question = device.poll().await;
        assert_eq!(tags_of(question.request().unwrap()), [0xa2]);
        let Some(Answer::Acknowledged(numbers)) = question.answer else { panic!("{:?}", question.answer) };
        assert_eq!((numbers, device.euicc.stored_results().len()), (question.removed, 0));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)));
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["counterValue"]), (&json!("succeeded"), &json!(package.counter)));
    });
}

/// 1.2: the question alone finds the result, before any replay.
#[test]
fn a_stored_result_answers_the_question_even_without_a_replay() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        lose_result(&mut device).await;
        device.ipa.behaviour.lose_result = true;
        device.fetch().await;
        device.ipa.behaviour.lose_result = false;
        let question = device.poll().await;
        assert_eq!(tags_of(question.request().unwrap()), [0xa2]);
        assert!(matches!(question.answer, Some(Answer::Acknowledged(_))));
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
    });
}

/// 07 reading 9.
#[test]
fn a_result_that_is_nowhere_leaves_the_operation_unconfirmed_and_the_profile_list_decides() {
    matrix(async |world: &mut World| {
        for (index, done) in [(1, true), (2, false)] {
            let mut device = world.listed_device(index).await;
            let id = world.queue(&device.eid(), device.enable(2, false)).await;
            let package = lose_result(&mut device).await;
            let kept = device.euicc.stored_results()[0].seq_number;
            device.euicc.remove_notification(kept);
            if !done {
                device.euicc.enable_locally(&device.raw_iccid(1));
            }
            assert_eq!(device.poll().await.answer, Some(Answer::Empty), "replayError");
            assert_eq!(tags_of(device.poll().await.request().unwrap()), [0xa2]);
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("unconfirmed"), &Value::Null),
                "{operation}"
            );
            let list = device.poll().await;
            let list = SentPackage::read(list.request().unwrap());
            assert!(is_list(&list) && list.counter > package.counter, "a fresh counter");
            let operation = world.operation(&id).await;
            if done {
                assert_eq!(
                    (&operation["state"], &operation["verified"]),
                    (&json!("succeeded"), &json!(true)),
                    "{operation}"
                );
                assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
            } else {
                assert_eq!(operation["state"], "failed", "{operation}");
                assert!(operation["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
                assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
            }
            device.session().await;
        }
    });
}

/// 07 readings 9, 14: what decides must come before what would change it.
#[test]
fn the_list_that_decides_a_lost_outcome_goes_before_operations_that_wait() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let later = world.queue(&device.eid(), device.enable(3, false)).await;
        lose_result(&mut device).await;
        let kept = device.euicc.stored_results()[0].seq_number;
        device.euicc.remove_notification(kept);
        device.poll().await;
        device.poll().await;
        assert_eq!(state(world, &id).await, "unconfirmed");
        let next = device.poll().await;
        assert!(
            is_list(&SentPackage::read(next.request().unwrap())),
            "listProfileInfo first, else the list shows the later switch"
        );
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "succeeded", "it was done: {operation}");
        assert_eq!(state(world, &later).await, "succeeded");
    });
}

/// API reference of abandon; 07 reading 14.
#[test]
fn after_abandon_the_profile_list_is_asked_for_before_anything_else_is_sent() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let later = world.queue(&device.eid(), device.enable(3, false)).await;
        device.fetch().await;
        let reply = world.post(&format!("/api/v1/operations/{id}/abandon"), Value::Null).await;
        assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("cancelled")));
        assert_eq!(reply.json()["error"]["name"], "abandoned");
        let next = SentPackage::read(device.poll().await.request().unwrap());
        assert!(is_list(&next), "reconciles first");
        device.session().await;
        assert_eq!(state(world, &later).await, "succeeded");
        assert_eq!(state(world, &id).await, "cancelled");
    });
}

/// ST-19, 07 reading 9: a database that was restored.
#[test]
fn a_second_replay_on_a_fresh_counter_stops_everything_until_an_operator_sets_the_counter() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        device.euicc.association_mut(&eim_id).unwrap().counter = 50;
        let id = world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "counterLost");
        assert_eq!(world.events_of(&eid, "counterLost").await.len(), 1);
        assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
        let other = world.queue(&eid, device.enable(3, false)).await;
        assert!(device.poll().await.is_idle(), "nothing more is signed");
        assert_eq!(state(world, &other).await, "queued");
        let lower = json!({ "association": { "counterValue": 0 } }).to_string();
        let reply = world.send(Role::Operator, "PATCH", &format!("/api/v1/euiccs/{eid}"), &[], lower).await;
        assert_eq!(reply.pointers(422), ["/association/counterValue"], "a lost counter was too low");
        world.patch(&eid, json!({ "association": { "counterValue": 50 } })).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "active");
        let operation = world.operation(&other).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)));
        assert!(operation["counterValue"].as_i64().unwrap() > 50);
        let first = world.operation(&id).await;
        assert!(
            ["succeeded", "failed", "cancelled", "expired"].iter().any(|end| first["state"] == *end),
            "the operation whose outcome was unknown does not hang for ever: {first}"
        );
    });
}

/// The list that should decide may be refused or fail itself.
#[test]
fn an_operation_does_not_hang_when_the_list_that_should_decide_it_fails() {
    matrix(async |world: &mut World| {
        // refused by the eUICC (15), or answered with a list error (11)
        for (index, refused) in [(1, true), (2, false)] {
            let mut device = world.listed_device(index).await;
            let id = world.queue(&device.eid(), device.enable(2, false)).await;
            lose_result(&mut device).await;
            let kept = device.euicc.stored_results()[0].seq_number;
            device.euicc.remove_notification(kept);
            device.poll().await;
            device.poll().await;
            assert_eq!(state(world, &id).await, "unconfirmed");
            device.euicc.faults.signed_error = refused.then_some(15);
            device.euicc.profile_change_ongoing = !refused;
            device.poll().await;
            device.euicc.faults.signed_error = None;
            device.euicc.profile_change_ongoing = false;
            device.session().await;
            let operation = world.operation(&id).await;
            assert!(
                operation["state"] == "failed" || operation["state"] == "succeeded",
                "refused: {refused}: {operation}"
            );
        }
    });
}

/// ST-07.
#[test]
fn a_rollback_instead_of_the_enable_leaves_the_profiles_as_they_were() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.ipa.behaviour.connectivity_lost = true;
        let id = world.queue(&device.eid(), device.enable(2, true)).await;
        let poll = device.poll().await;
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{:?}", poll.answer);
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("rolledBack"), &json!(true)), "{operation}");
        assert!(operation["results"].to_string().contains("\"rollback\""));
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
        device.ipa.behaviour.connectivity_lost = false;
        device.session().await;
        assert_eq!(state(world, &id).await, "rolledBack", "the next poll does not make a success of it");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
    });
}

/// ST-07, 07 reading 13: before and after the device was seen again, and in a package of several.
#[test]
fn a_rollback_after_the_enable_was_processed_is_a_reversal() {
    matrix(async |world: &mut World| {
        for (index, seen_again, several) in [(1, false, false), (2, true, false), (3, true, true)] {
            let mut device = world.listed_device(index).await;
            let eid = device.eid();
            device.ipa.behaviour.lose_acknowledgement = true;
            let body = if several {
                json!({ "psmo": [{ "listProfileInfo": {} }, { "enable": { "iccid": device.iccid(2), "rollback": true } }] })
            } else {
                device.enable(2, true)
            };
            let id = world.queue(&eid, body).await;
            device.poll().await;
            assert_eq!(state(world, &id).await, "unconfirmed");
            assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
            if seen_again {
                device.poll().await;
                assert_eq!(state(world, &id).await, "succeeded");
            }
            let response = device.euicc.profile_rollback().unwrap();
            let rollback = Euicc::rollback_result(&response).unwrap();
            device.ipa.behaviour.lose_acknowledgement = false;
            for _ in 0..2 {
                assert!(matches!(device.deliver(&rollback).await, Answer::Acknowledged(_)));
                let operation = world.operation(&id).await;
                assert_eq!(
                    (&operation["state"], &operation["verified"]),
                    (&json!("rolledBack"), &json!(true)),
                    "{operation}"
                );
                assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
            }
            assert_eq!(world.events_of(&eid, "operationRolledBack").await.len(), 1);
            device.session().await;
            assert_eq!(state(world, &id).await, "rolledBack");
            assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        }
    });
}

#[test]
fn a_rollback_that_failed_is_a_failure_and_the_list_tells() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, true)).await;
        let package = SentPackage::read(&device.fetch().await);
        let answer = device.deliver(&Forge::of(&device).answer(&package, 500, &[&integer(0x8c, 127)])).await;
        assert_eq!(answer, Answer::Acknowledged(vec![500]));
        assert_eq!(state(world, &id).await, "failed");
        assert!(is_list(&SentPackage::read(&device.fetch().await)), "the profiles are asked for");
    });
}

/// ST-07 and ST-05, 07 readings 13 and 15: the view changes, the operation keeps its state.
#[test]
fn a_rollback_of_an_abandoned_operation_is_shown_beside_it() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, true)).await;
        let package = SentPackage::read(&device.fetch().await);
        world.post(&format!("/api/v1/operations/{id}/abandon"), Value::Null).await;
        let answer = device.deliver(&Forge::of(&device).answer(&package, 500, &[&integer(0x8c, 0)])).await;
        assert_eq!(answer, Answer::Acknowledged(vec![500]));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["error"]["name"]), (&json!("cancelled"), &json!("abandoned")));
        assert_eq!(operation["lateResult"]["results"][0]["operation"], "rollback", "{operation}");
        assert!(world.events_of(&device.eid(), "operationRolledBack").await.is_empty());
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
    });
}

/// ST-01.
#[test]
fn polls_in_parallel_get_the_same_package_and_one_counter() {
    matrix(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let eid = device.euicc.eid();
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let second = world.queue(&device.eid(), device.enable(3, false)).await;
        let mut polls = Vec::new();
        for _ in 0..6 {
            let mut ipa = Ipa::new(world.ipa_config());
            polls.push(tokio::spawn(
                async move { ipa.get_eim_package_raw(&eid, &PollOptions::default()).await.unwrap() },
            ));
        }
        let mut bodies = Vec::new();
        for poll in polls {
            bodies.push(poll.await.unwrap());
        }
        // Some may get the question for stored results, as for polls one after another; packages are all the same.
        let (packages, questions): (Vec<_>, Vec<_>) = bodies.iter().partition(|body| {
            hex::encode(body).contains("bf51") || String::from_utf8_lossy(body).contains("euiccPackageRequest")
        });
        assert!(packages.len() >= 2, "{} packages, {} questions", packages.len(), questions.len());
        assert!(packages.windows(2).all(|pair| pair[0] == pair[1]));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["counterValue"]), (&json!("delivered"), &json!(2)));
        assert_eq!(operation["attempts"], packages.len());
        assert_eq!(state(world, &second).await, "queued", "one in flight");
        assert_eq!(world.euicc(&device.eid()).await["association"]["counterValue"], 2);
    });
}

/// ST-04.
#[test]
fn the_same_result_many_times_at_once_is_applied_once_and_always_acknowledged() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.euicc.eid();
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        device.ipa.behaviour.lose_result = true;
        let result = device.poll().await.result.unwrap();
        let mut deliveries = Vec::new();
        for _ in 0..6 {
            let (mut ipa, result) = (Ipa::new(world.ipa_config()), result.clone());
            deliveries.push(tokio::spawn(async move { ipa.deliver(&eid, &result).await.unwrap() }));
        }
        let mut answers = Vec::new();
        for delivery in deliveries {
            answers.push(delivery.await.unwrap());
        }
        assert!(matches!(&answers[0], Answer::Acknowledged(numbers) if numbers.len() == 1), "{answers:?}");
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], operation["results"].as_array().unwrap().len()), (&json!("unconfirmed"), 1));
        assert_eq!(operation["lateResult"], Value::Null);
        assert_eq!(world.events_of(&device.eid(), "operationUnconfirmed").await.len(), 1);
        assert_eq!(world.metric("eim_packages_total", &["kind=\"psmo\"", "outcome=\"unconfirmed\""]).await, 1.0);
    });
}

/// 07 reading 11, ST-17: keyed with the octets, not with the number alone.
#[test]
fn a_seq_number_that_is_used_again_with_other_octets_is_a_new_result() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        for (number, state) in [(2, "enabled"), (1, "enabled")] {
            let id = world.queue(&device.eid(), device.enable(number, false)).await;
            let package = SentPackage::read(&device.fetch().await);
            let result = Forge::of(&device).answer(&package, 1, &[&integer(0x83, 0)]);
            assert_eq!(device.deliver(&result).await, Answer::Acknowledged(vec![1]));
            assert_eq!(world.operation(&id).await["verified"], true, "{state}");
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(number)]);
            device.poll().await;
        }
    });
}

#[test]
fn an_acknowledgement_that_was_lost_is_given_again() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.ipa.behaviour.lose_acknowledgement = true;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
        let before = world.believed(&device.eid()).await;
        device.ipa.behaviour.lose_acknowledgement = false;
        assert_eq!(device.euicc.stored_results().len(), 1);
        let answers = device.ipa.deliver_stored_results(&mut device.euicc).await.unwrap();
        assert!(matches!(answers.as_slice(), [Answer::Acknowledged(_)]));
        assert!(device.euicc.stored_results().is_empty());
        assert_eq!(world.believed(&device.eid()).await, before, "no lateResult either: a duplicate is no news");
    });
}

/// ST-18.
#[test]
fn a_data_request_that_is_never_answered_does_not_block_a_package() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        device.ipa.behaviour.data_requests = DataRequests::Ignore;
        let data = world.queue(&eid, json!({ "euiccData": { "tags": ["BF22"] } })).await;
        let id = world.queue(&eid, device.enable(2, false)).await;
        assert!(matches!(device.poll().await.package, Package::IpaEuiccData(_)), "oldest first");
        let poll = device.poll().await;
        assert!(
            matches!(poll.package, Package::EuiccPackage(_)),
            "not the unanswered request again: {:?}",
            poll.package
        );
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))));
        for _ in 0..6 {
            device.poll().await;
        }
        assert_eq!(state(world, &id).await, "succeeded");
        assert_eq!(state(world, &data).await, "failed", "given up at last");
        assert!(device.poll().await.is_idle());
        assert_eq!(world.operation(&data).await["error"]["name"], "noAnswer");
    });
}

/// ST-18 with the eIM's own questions: neither certificates nor stored results may strand a package for ever.
#[test]
fn a_device_that_answers_no_data_requests_still_gets_its_packages() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.ipa.behaviour.data_requests = DataRequests::Ignore;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        lose_result(&mut device).await;
        let later = world.queue(&device.eid(), device.enable(3, false)).await;
        // replayError, then questions that are never answered: at the end the list decides and the next one goes
        for _ in 0..12 {
            device.poll().await;
            world.advance(TimeDelta::minutes(30)).await;
        }
        let first = world.operation(&id).await;
        assert_ne!(first["state"], "delivered", "{first}");
        assert_eq!(state(world, &later).await, "succeeded", "{first}");
    });
}

/// ST-11 and 07 reading 10.
#[test]
fn a_package_refused_in_an_emergency_call_goes_out_later_with_a_new_counter() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.euicc.set_ecall_active(true);
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let poll = device.poll().await;
        let first = SentPackage::read(poll.request().unwrap());
        assert_eq!(poll.answer, Some(Answer::Empty));
        let error = poll.result.unwrap();
        assert_eq!(state(world, &id).await, "queued", "nothing is lost");
        assert!(device.poll().await.is_idle(), "not at once");
        world.advance(TimeDelta::hours(7)).await;
        let poll = device.poll().await;
        let second = SentPackage::read(poll.request().unwrap());
        assert!(second.counter > first.counter && second.transaction != first.transaction);
        assert!(world.signed_by_us(&second, 0).await);
        // the first error once more, late: it is known
        world.advance(TimeDelta::hours(14)).await;
        device.fetch().await;
        let before = world.operation(&id).await;
        assert_eq!(device.deliver(&error).await, Answer::Empty);
        assert_eq!(world.operation(&id).await["state"], before["state"]);
        device.euicc.set_ecall_active(false);
        world.advance(TimeDelta::days(2)).await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
        assert_eq!(operation["error"], Value::Null);
        assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(2)));
    });
}

/// 2.2 euiccPackageErrorCode, ST-09, ST-13.
#[test]
fn signed_errors_fail_the_operation_by_name_and_out_of_range_stops_the_device() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let forge = Forge::of(&device);
        for (code, name) in [(3, "invalidEid"), (15, "sizeOverflow"), (127, "undefinedError"), (99, "unknownResult")] {
            let id = world.queue(&eid, device.enable(2, false)).await;
            let package = SentPackage::read(&device.fetch().await);
            assert_eq!(device.deliver(&forge.error(&package, code)).await, Answer::Empty);
            let operation = world.operation(&id).await;
            assert_eq!((&operation["state"], &operation["verified"]), (&json!("failed"), &json!(true)), "{operation}");
            assert_eq!((&operation["error"]["code"], &operation["error"]["name"]), (&json!(code), &json!(name)));
            assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        }
        // one that is not signed by the eUICC is none
        let id = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let key = std::sync::Arc::new(eim_simulator::pki::seeded_key(eim_core::pki::Curve::P256, 1, "nobody").unwrap());
        for code in [3, 4, 6, 15, 104] {
            let forged = Forge { key: key.clone(), token: 0 }.error(&package, code);
            assert_eq!(device.deliver(&forged).await, Answer::Empty);
            assert_eq!(state(world, &id).await, "delivered");
            assert_eq!(world.euicc(&eid).await["state"], "active");
        }
        assert_eq!(
            SentPackage::read(&device.fetch().await),
            package,
            "a forged replayError does not lead to the question"
        );
        device.deliver(&forge.error(&package, 6)).await;
        assert_eq!(world.operation(&id).await["error"]["name"], "counterValueOutOfRange");
        assert_eq!(world.euicc(&eid).await["state"], "counterExhausted");
        assert!(!world.events_of(&eid, "counterExhausted").await.is_empty(), "an alarm");
        let operations = format!("/api/v1/euiccs/{eid}/operations");
        assert_eq!(world.post(&operations, device.enable(2, false)).await.pointers(409), ["/checks/managed"]);
        assert!(device.poll().await.is_idle());
    });
}

/// 1.4: strictly increasing per (eUICC, eIM), whatever happens in between.
#[test]
fn the_counter_rises_strictly_over_many_operations_of_all_outcomes() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut other = world.listed_device(2).await;
        let eid = device.eid();
        let (mut last, mut transactions) = (1, std::collections::HashSet::new());
        for round in 0..24_u8 {
            let id = match round % 4 {
                0 => world.queue(&eid, device.enable(if round % 8 == 0 { 2 } else { 1 }, false)).await,
                1 => world.queue(&eid, json!({ "eco": [{ "listEim": {} }] })).await,
                2 => world.queue(&eid, json!({ "psmo": [{ "delete": { "iccid": "89001234567890123452" } }] })).await,
                _ => world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await,
            };
            device.euicc.faults.signed_error = (round % 6 == 5).then_some(15);
            let package = loop {
                let poll = device.poll().await;
                if let Package::EuiccPackage(octets) = &poll.package {
                    break SentPackage::read(octets);
                }
                assert!(!poll.is_idle(), "round {round}: {}", world.operation(&id).await);
            };
            assert!(package.counter > last, "{} after {last}", package.counter);
            assert!(package.transaction.len() >= 8 && transactions.insert(package.transaction.clone()), "fresh random");
            assert_eq!(world.operation(&id).await["counterValue"], package.counter);
            last = package.counter;
        }
        assert_eq!(world.euicc(&eid).await["association"]["counterValue"], last);
        world.queue(&other.eid(), other.enable(2, false)).await;
        assert_eq!(SentPackage::read(&other.fetch().await).counter, 2, "each eUICC has its own");
    });
}

/// ST-08: 8388607 is the last; the 64 before it are kept for the package that renews the association.
#[test]
fn nothing_is_signed_beyond_the_last_counter() {
    matrix(async |world: &mut World| {
        let eim_id = world.eim_id().await;
        let mut device = world.device_of(world.pki.euicc(1).unwrap()).await;
        device.euicc.association_mut(&eim_id).unwrap().counter = 8_388_541;
        world.register(&device, true).await;
        let eid = device.eid();
        assert!(!world.euicc(&eid).await["warnings"].as_array().unwrap().is_empty(), "it warns from 8 000 000");
        for counter in [8_388_542, 8_388_543] {
            let id = world.queue(&eid, device.enable(2, false)).await;
            let poll = device.poll().await;
            assert_eq!(SentPackage::read(poll.request().unwrap()).counter, counter);
            assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))));
            assert_eq!(world.operation(&id).await["verified"], true);
            device.poll().await;
        }
        let id = world.queue(&eid, device.enable(1, false)).await;
        for _ in 0..3 {
            assert!(device.poll().await.is_idle(), "refused");
        }
        assert_eq!(state(world, &id).await, "queued");
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["state"], "counterExhausted");
        assert!(euicc["warnings"].to_string().contains("counter"), "it says so: {euicc}");
        assert_eq!(world.events_of(&eid, "counterExhausted").await.len(), 1, "once");
        let reply = world
            .post(
                "/api/v1/euiccs",
                json!({ "eid": world.pki.eid(9).to_string(),
            "association": { "counterValue": 8_388_608 } }),
            )
            .await;
        assert_eq!(reply.pointers(422), ["/association/counterValue"]);
    });
}

/// ST-14, 07 reading 16.
#[test]
fn a_state_change_of_any_cause_refreshes_profiles_and_data_once() {
    matrix(async |world: &mut World| {
        let causes = [
            (0, "otherEim"),
            (1, "fallback"),
            (2, "emergencyProfile"),
            (3, "local"),
            (4, "reset"),
            (5, "immediateEnableProfile"),
            (6, "deviceChange"),
            (127, "undefined"),
            (55, ""),
        ];
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        for (cause, name) in causes {
            // the data are not asked for again within minutes of the last time
            world.advance(TimeDelta::minutes(11)).await;
            let target = if device.euicc.enabled_iccid() == Some(device.raw_iccid(1)) { 3 } else { 1 };
            device.euicc.enable_locally(&device.raw_iccid(target));
            let events = world.events_of(&eid, "stateChange").await.len();
            let before = world.operations(&eid).await.len();
            let body =
                device.ipa.get_eim_package_raw(&device.euicc.eid(), &PollOptions::state_change(cause)).await.unwrap();
            assert!(body.len() > 8, "the refresh goes out with this very answer");
            // said again before it was answered: not queued twice
            device.ipa.get_eim_package_raw(&device.euicc.eid(), &PollOptions::state_change(cause)).await.unwrap();
            let euicc = world.euicc(&eid).await;
            assert_eq!(euicc["profilesStale"], true);
            let shown = euicc["lastStateChangeCause"].as_str().unwrap();
            assert!(name.is_empty() || shown.starts_with(name), "{cause} is {shown}, not {name}");
            let changes = world.events_of(&eid, "stateChange").await;
            assert_eq!(changes.len(), events + 2, "recorded each time");
            assert_eq!(changes.last().unwrap()["stateChangeCause"], shown);
            device.session().await;
            let asked: Vec<Value> = world.operations(&eid).await.split_off(before);
            let kinds: Vec<&Value> = asked
                .iter()
                .filter(|operation| operation["purpose"] == "refresh")
                .map(|operation| &operation["kind"])
                .collect();
            // After otherEim and reset the eIMs, too, once an hour at most: the reset comes too soon after.
            let eims = kinds.iter().filter(|kind| **kind == "eco").count();
            assert_eq!((kinds.len(), eims), if cause == 0 { (3, 1) } else { (2, 0) }, "cause {cause}: {asked:?}");
            assert!(kinds.contains(&&json!("psmo")) && kinds.contains(&&json!("euiccData")));
            assert!(
                asked
                    .iter()
                    .filter(|operation| operation["purpose"] == "refresh")
                    .all(|operation| operation["state"] == "succeeded"),
                "{asked:?}"
            );
            assert_eq!(world.enabled(&eid).await, [device.iccid(target)], "cause {cause}");
            assert_eq!(world.euicc(&eid).await["profilesStale"], false);
        }
        // Without the flag a cause asks for the list alone.
        world.advance(TimeDelta::minutes(11)).await;
        let before = world.operations(&eid).await.len();
        let cause = PollOptions { cause: Some(3), ..PollOptions::default() };
        device.poll_with(&cause).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["lastStateChangeCause"], "local");
        let asked = world.operations(&eid).await.split_off(before);
        assert_eq!(asked.iter().map(|one| &one["kind"]).collect::<Vec<_>>(), [&json!("psmo")]);
        assert!(device.poll().await.is_idle());
        // the flag alone, without a cause
        let flag = PollOptions { notify_state_change: true, ..PollOptions::default() };
        assert!(!device.poll_with(&flag).await.is_idle());
    });
}

/// A change that is told while a refresh is under way must not be lost in the answer to the older question.
#[test]
fn a_state_change_while_a_package_is_on_its_way_is_refreshed_after_it() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        device.euicc.enable_locally(&device.raw_iccid(3));
        device.poll_with(&PollOptions::state_change(3)).await;
        device.session().await;
        assert_ne!(state(world, &id).await, "delivered", "{}", package.counter);
        assert_eq!(world.enabled(&device.eid()).await, [device.euicc.enabled_iccid().unwrap().digits().unwrap()]);
    });
}

/// ST-05, 07 reading 15.
#[test]
fn a_result_after_abandon_changes_the_view_and_is_shown_beside_the_operation() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        lose_result(&mut device).await;
        let stored = device.euicc.stored_results()[0].clone();
        world.post(&format!("/api/v1/operations/{id}/abandon"), Value::Null).await;
        assert_eq!(device.deliver(&stored.octets).await, Answer::Acknowledged(vec![stored.seq_number]));
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "cancelled", "it keeps its state");
        assert_eq!(operation["lateResult"]["verified"], true, "{operation}");
        assert_eq!(operation["lateResult"]["results"][0]["operation"], "enable");
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
        // a late one that is forged shows nothing
        let id = world.queue(&eid, device.enable(1, false)).await;
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
        let late = world.queue(&eid, device.enable(3, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        world.post(&format!("/api/v1/operations/{late}/abandon"), Value::Null).await;
        let forged = Forge { token: 3, ..Forge::of(&device) }.answer(&package, 900, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&forged).await, Answer::Empty);
        assert_eq!(world.operation(&late).await["lateResult"], Value::Null);
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
    });
}

/// Issue point 8.
#[test]
fn an_operation_can_be_cancelled_until_it_is_delivered() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let cancel = |id: &str| format!("/api/v1/operations/{id}/cancel");
        let abandon = |id: &str| format!("/api/v1/operations/{id}/abandon");
        let id = world.queue(&eid, device.enable(2, false)).await;
        let reply = world.post(&abandon(&id), Value::Null).await;
        assert!(reply.problem(409)["detail"].as_str().unwrap().contains("ancel"), "it says what to do instead");
        let reply = world.post(&cancel(&id), Value::Null).await;
        assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("cancelled")));
        assert!(reply.json()["completedAt"].is_string());
        assert!(device.poll().await.is_idle(), "it never goes out");
        assert!(reply.json()["counterValue"].is_null(), "no counter was used");
        assert!(
            world.post(&cancel(&id), Value::Null).await.problem(409)["detail"].as_str().unwrap().contains("cancelled")
        );

        let id = world.queue(&eid, device.enable(2, false)).await;
        device.fetch().await;
        let problem = world.post(&cancel(&id), Value::Null).await.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("delivered"), "a clear reason: {problem}");
        assert_eq!(state(world, &id).await, "delivered");
        device.session().await;
        for path in [cancel(&id), abandon(&id)] {
            let problem = world.post(&path, Value::Null).await.problem(409);
            assert!(problem["detail"].as_str().unwrap().contains("ended"), "{problem}");
        }
        assert_eq!(state(world, &id).await, "succeeded");
    });
}

/// 07 reading 14.
#[test]
fn not_before_and_valid_until_count_until_delivery() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let at = |hours: i64| (world.now() + TimeDelta::hours(hours)).to_rfc3339();
        let with = |mut body: Value, name: &str, at: String| {
            body[name] = at.into();
            body
        };
        let (soon, late, limit) = (at(1), at(3), at(2));
        let early = world.queue(&eid, with(device.enable(2, false), "notBefore", soon)).await;
        let lapsing = world
            .queue(&eid, with(with(device.enable(3, false), "notBefore", limit.clone()), "validUntil", late))
            .await;
        let passing = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let poll = device.poll().await;
        assert_eq!(
            SentPackage::read(poll.request().unwrap()).operations,
            [0xa0, 0x02, 0xa6, 0x00],
            "one that waits blocks nobody"
        );
        assert_eq!(state(world, &passing).await, "succeeded");
        assert!(device.poll().await.is_idle());
        world.advance(TimeDelta::minutes(59)).await;
        assert!(device.poll().await.is_idle());
        world.advance(TimeDelta::minutes(1)).await;
        device.session().await;
        assert_eq!(state(world, &early).await, "succeeded");
        world.advance(TimeDelta::hours(4)).await;
        let operation = world.operation(&lapsing).await;
        assert_eq!((&operation["state"], &operation["attempts"]), (&json!("expired"), &json!(0)));
        let labels = ["kind=\"psmo\"", "outcome=\"expired\""];
        assert_eq!(world.metric("eim_packages_total", &labels).await, 1.0);
        assert!(device.poll().await.is_idle());
        assert!(!world.events_of(&eid, "operationExpired").await.is_empty());
        // delivered in time, its result later: it counts
        let until = (world.now() + TimeDelta::hours(1)).to_rfc3339();
        let id = world.queue(&eid, with(device.enable(1, false), "validUntil", until)).await;
        let package = device.fetch().await;
        world.advance(TimeDelta::days(3)).await;
        assert_eq!(state(world, &id).await, "delivered");
        assert_eq!(device.fetch().await, package, "and it is sent again");
        world.advance(TimeDelta::hours(2)).await;
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
        // an end before now, or before its beginning
        for body in [
            with(device.enable(2, false), "validUntil", "2020-01-01T00:00:00Z".into()),
            with(device.enable(2, false), "validUntil", "tomorrow".into()),
            with(
                with(device.enable(2, false), "notBefore", "2027-01-01T00:00:00Z".into()),
                "validUntil",
                "2026-12-01T00:00:00Z".into(),
            ),
        ] {
            let reply = world.post(&format!("/api/v1/euiccs/{eid}/operations"), body).await;
            assert_eq!(reply.pointers(422), ["/validUntil"]);
        }
    });
}

/// One that expires is not delivered even before the background has marked it.
#[test]
fn an_expired_operation_is_not_delivered_to_a_poll_at_its_very_end() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut body = device.enable(2, false);
        body["validUntil"] = (world.now() + TimeDelta::hours(1)).to_rfc3339().into();
        world.queue(&device.eid(), body).await;
        world.clock.advance(TimeDelta::hours(1));
        assert!(device.poll().await.is_idle());
        assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
    });
}

/// 1.2: only one eUICC package outstanding.
#[test]
fn the_next_package_waits_for_the_result_of_the_one_on_its_way() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let first = world.queue(&device.eid(), device.enable(2, false)).await;
        let second = world.queue(&device.eid(), device.enable(3, false)).await;
        let data = world.queue(&device.eid(), json!({ "euiccData": { "tags": ["83"] } })).await;
        let package = SentPackage::read(&device.fetch().await);
        let poll = device.poll().await;
        assert!(matches!(poll.package, Package::IpaEuiccData(_)), "data are another kind");
        assert_eq!(state(world, &data).await, "succeeded");
        assert_eq!(state(world, &second).await, "queued");
        let answer = device.deliver(&Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)])).await;
        assert_eq!(answer, Answer::Acknowledged(vec![500]));
        let next = SentPackage::read(&device.fetch().await);
        assert_eq!(next.counter, package.counter + 1);
        assert_eq!(state(world, &first).await, "succeeded", "seen again");
        assert_eq!(state(world, &second).await, "delivered");
    });
}

/// ST-02, ST-03; "Nothing accepted is ever lost by a crash".
#[test]
fn a_crash_between_package_and_result_loses_nothing_and_changes_no_octet() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let waiting = world.queue(&eid, device.enable(3, false)).await;
        let before = device.fetch().await;
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        assert_eq!(device.fetch().await, before, "the same octets under the same counter");
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["attempts"]), (&json!("delivered"), &json!(2)));
        assert_eq!(state(world, &waiting).await, "queued");
        // the result arrives, the acknowledgement is lost with the server
        let result = device.euicc.load_euicc_package(&SentPackage::read(&before).octets).unwrap();
        device.ipa.behaviour.lose_acknowledgement = true;
        let answer = device.ipa.deliver(&device.euicc.eid(), &result).await.unwrap();
        assert!(matches!(answer, Answer::Acknowledged(_)));
        let believed = world.believed(&eid).await;
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        assert_eq!(world.believed(&eid).await, believed);
        assert_eq!(device.ipa.deliver(&device.euicc.eid(), &result).await.unwrap(), answer, "acknowledged again");
        assert_eq!(world.believed(&eid).await, believed, "no double effect");
        device.ipa.behaviour.lose_acknowledgement = false;
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
        assert_eq!(state(world, &waiting).await, "succeeded");
        assert_eq!(world.enabled(&eid).await, [device.iccid(3)]);
    });
}

/// A held result survives a crash, too.
#[test]
fn a_held_result_is_still_held_after_a_crash() {
    matrix(async |world: &mut World| {
        let mut device = world.bare_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        assert_eq!(device.poll().await.answer, Some(Answer::Empty));
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        assert_eq!(world.euicc(&device.eid()).await["heldResults"], 1);
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)));
    });
}

/// The list of stored results may hold several, of other eIMs, and signed errors (07 reading 19).
#[test]
fn of_the_stored_results_each_is_judged_alone() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let forge = Forge::of(&device);
        let key = std::sync::Arc::new(eim_simulator::pki::seeded_key(eim_core::pki::Curve::P256, 1, "nobody").unwrap());
        let list = [
            Forge { key, token: 0 }.answer(&package, 70, &[&integer(0x83, 3)]),
            forge.result("2.999.66", 4, Some(&[1; 4]), 71, &[&integer(0x83, 0)]),
            forge.error(&package, 4),
            forge.result(&package.eim_id, 1, Some(&[5; 3]), 72, &[&integer(0x84, 0)]),
            element(0xbf51, &[&[0x99, 0x00]]),
            forge.answer(&package, 73, &[&integer(0x83, 0)]),
        ]
        .concat();
        let data = element(0xbf52, &[&element(0xa0, &[&element(0xa2, &[&list])])]);
        let Answer::Acknowledged(mut numbers) = device.deliver(&data).await else { panic!("nothing acknowledged") };
        numbers.sort_unstable();
        assert_eq!(numbers, [72, 73], "the forged one, the other eIM's and the error are not");
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)), "{operation}");
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
    });
}

/// updateEim of ourselves must neither lock us out nor let the counter go back (1.9): what could is refused at the door,
/// the rest goes out and changes neither counter nor token here.
#[test]
fn an_update_of_our_own_association_cannot_lock_us_out() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let update = |members: Value| {
            let mut body = members;
            body["eimId"] = eim_id.clone().into();
            json!({ "eco": [{ "updateEim": body }] })
        };
        for members in [
            json!({ "counterValue": 0 }),
            json!({ "associationToken": 12 }),
            json!({ "counterValue": 100, "associationToken": -1 }),
        ] {
            let reply = world.post(&format!("/api/v1/euiccs/{eid}/operations"), update(members.clone())).await;
            let pointers = reply.pointers(422);
            assert!(
                members.as_object().unwrap().keys().all(|name| pointers.contains(&format!("/eco/0/updateEim/{name}"))),
                "{pointers:?}"
            );
        }
        let id = world.queue_anyway(&eid, update(json!({ "eimFqdn": "other.example" }))).await;
        let poll = device.poll().await;
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{:?}", poll.answer);
        assert_eq!(state(world, &id).await, "succeeded");
        let id = world.queue(&eid, device.enable(2, false)).await;
        let poll = device.poll().await;
        let package = SentPackage::read(poll.request().unwrap());
        assert_eq!(package.counter, 2);
        assert!(world.signed_by_us(&package, 0).await);
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
    });
}

/// What the device needs to reach us is changed by an admin alone, or to what this eIM is configured with; and it is shown once the
/// eUICC has said so.
#[test]
fn an_update_of_how_devices_reach_us_is_guarded_and_shown_when_it_is_verified() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let update = |members: Value| {
            let mut body = members;
            body["eimId"] = eim_id.clone().into();
            json!({ "eco": [{ "updateEim": body }] })
        };
        let empty = [json!({}), json!({ "indirectProfileDownload": false }), json!({ "eimFqdn": null })];
        for members in empty {
            assert_eq!(world.post(&path, update(members)).await.pointers(422), ["/eco/0/updateEim"]);
        }
        let nothing = json!({ "eco": [{ "listEim": {} }, { "updateEim": { "eimId": "2.999.77" } }] });
        assert_eq!(world.post(&path, nothing).await.pointers(422), ["/eco/1/updateEim"], "of another one as well");

        let other = &world.test_pki.certificate(eim_core::pki::Curve::P256, "ci").unwrap();
        let tls = json!({ "trustedPublicKeyDataTls": { "trustedCertificateTls": STANDARD.encode(other) } });
        for members in [
            json!({ "eimFqdn": "nobody.example" }),
            tls.clone(),
            json!({ "eimSupportedProtocol": ["eimRetrieveCoaps"] }),
            json!({ "euiccCiPKId": "00112233" }),
        ] {
            let name = members.as_object().unwrap().keys().next().unwrap().clone();
            let problem = world.post(&path, update(members)).await.problem(409);
            assert!(problem.to_string().contains("keepsThisEim") && problem.to_string().contains(&name), "{problem}");
        }
        let mut anyway = update(json!({ "eimFqdn": "nobody.example" }));
        anyway["override"] = json!(["keepsThisEim"]);
        assert_eq!(world.post(&path, anyway.clone()).await.status, 403, "for admins");
        assert!(world.operations(&eid).await.is_empty(), "nothing was queued");

        // What this eIM is configured with needs nobody's leave.
        let usual = STANDARD.encode(&world.server().esipa_trust_der);
        let own = json!({ "eimFqdn": "localhost", "eimSupportedProtocol": ["eimRetrieveHttps"],
                          "trustedPublicKeyDataTls": { "trustedCertificateTls": usual } });
        let id = world.queue(&eid, update(own)).await;
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");

        let shown = async || world.get(&format!("/api/v1/euiccs/{eid}/associations")).await["items"][0].clone();
        let before = shown().await;
        assert_eq!(before["eimFqdn"], "localhost");
        let mut both = update(tls);
        both["eco"][0]["updateEim"]["eimFqdn"] = json!("moved.example");
        let id = world.queue_anyway(&eid, both.clone()).await;
        let package = SentPackage::read(&device.fetch().await);
        let forged = Forge { token: 9, ..Forge::of(&device) }.answer(&package, 900, &[&integer(0x8a, 0)]);
        device.deliver(&forged).await;
        let unchanged = shown().await;
        for name in ["eimFqdn", "tlsKeySha256"] {
            assert_eq!(unchanged[name], before[name], "not before the eUICC has said so");
        }
        device.session().await;
        assert_eq!(state(world, &id).await, "succeeded");
        let after = shown().await;
        assert_eq!(after["eimFqdn"], "moved.example", "{after}");
        assert_ne!(after["tlsKeySha256"], before["tlsKeySha256"], "{after}");
        assert_eq!(after["keySha256"], before["keySha256"]);
        // One that the eUICC refuses changes nothing.
        device.euicc.faults.undefined_errors = true;
        both["eco"][0]["updateEim"]["eimFqdn"] = json!("further.example");
        let id = world.queue_anyway(&eid, both).await;
        device.session().await;
        assert_eq!(state(world, &id).await, "failed");
        assert_eq!(shown().await["eimFqdn"], "moved.example");
    });
}

/// product.md: "Kinds of packages do not block each other", however long the queue is.
#[test]
fn a_data_request_behind_a_long_queue_of_packages_is_not_blocked_by_the_one_on_its_way() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        for _ in 0..12 {
            world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
        }
        let data = world.queue(&device.eid(), json!({ "euiccData": { "tags": ["83"] } })).await;
        device.fetch().await;
        for _ in 0..4 {
            let body = device.fetch().await;
            if Tlv::only(&body).unwrap().child(0xbf52).is_some() && state(world, &data).await == "delivered" {
                return;
            }
        }
        panic!("{}", world.operation(&data).await);
    });
}

/// Many operations wait: each goes out once, in the order in which they were asked for.
#[test]
fn a_long_queue_goes_out_in_order() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut ids = Vec::new();
        for number in 0..20 {
            let body = if number % 2 == 0 {
                json!({ "psmo": [{ "getRAT": {} }] })
            } else {
                json!({ "eco": [{ "listEim": {} }] })
            };
            ids.push(world.queue(&device.eid(), body).await);
        }
        device.session().await;
        let mut counters = Vec::new();
        for id in &ids {
            let operation = world.operation(id).await;
            assert_eq!((&operation["state"], &operation["attempts"]), (&json!("succeeded"), &json!(1)));
            counters.push(operation["counterValue"].as_i64().unwrap());
        }
        assert!(counters.windows(2).all(|pair| pair[1] == pair[0] + 1), "{counters:?}");
    });
}

/// ST-19: under the same association a lower counter would stand for two packages.
#[test]
fn the_counter_is_not_lowered_while_the_association_is_the_same() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        world.queue(&device.eid(), device.enable(2, false)).await;
        device.session().await;
        let path = format!("/api/v1/euiccs/{}", device.eid());
        let patch = async |body: Value| world.send(Role::Operator, "PATCH", &path, &[], body.to_string()).await;
        let lower = json!({ "association": { "counterValue": 1 } });
        assert_eq!(patch(lower).await.pointers(422), ["/association/counterValue"]);
        assert_eq!(world.euicc(&device.eid()).await["association"]["counterValue"], 2);
        assert_eq!(patch(json!({ "association": { "counterValue": 7 } })).await.status, 200);
        let renewed = json!({ "association": { "counterValue": 0, "associationToken": 9 } });
        assert_eq!(patch(renewed).await.json()["association"]["counterValue"], 0);
    });
}

#[test]
fn a_token_that_was_there_before_brings_no_counter_back() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        for _ in 0..3 {
            world.queue(&eid, json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            device.session().await;
        }
        let path = format!("/api/v1/euiccs/{eid}");
        let patch = async |members: Value| {
            let body = json!({ "association": members }).to_string();
            world.send(Role::Operator, "PATCH", &path, &[], body).await
        };
        let counter = async || world.euicc(&eid).await["association"]["counterValue"].as_i64().unwrap();
        let used = counter().await;
        assert!(used >= 3, "{used}");
        assert_eq!(patch(json!({ "associationToken": 77, "counterValue": 0 })).await.status, 200);
        let back = patch(json!({ "associationToken": null, "counterValue": used - 1 })).await;
        assert_eq!(back.pointers(422), ["/association/counterValue"]);
        assert_eq!(patch(json!({ "associationToken": null })).await.status, 200);
        assert_eq!(counter().await, used);
        let renew = format!("/api/v1/euiccs/{eid}/associations");
        assert_eq!(world.post(&renew, json!({ "associationToken": 78 })).await.status, 200);
        assert_eq!(counter().await, 0, "a token that was never there begins anew");
        assert_eq!(world.post(&renew, json!({ "associationToken": null })).await.status, 200);
        assert_eq!(counter().await, used);
        assert_eq!(
            patch(json!({ "associationToken": 2_147_483_648_i64 })).await.pointers(422),
            ["/association/associationToken"]
        );
    });
}
