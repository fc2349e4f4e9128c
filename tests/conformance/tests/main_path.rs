//! The main path: register, ask, poll, execute, report, acknowledge, see again (SGP.32 v1.2 3.1.1.1, 3.3.1, 5.14).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_conformance::{Answer, Device, Forge, Package, PollOptions, Role, SentPackage, World, each_binding, matrix};
use eim_simulator::ipa::{Binding, Delivery, EidInResult, Function};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};

fn names(operation: &Value) -> Vec<(String, String, Option<i64>)> {
    let results = operation["results"].as_array().unwrap().iter();
    results
        .map(|result| {
            assert!(result["message"].as_str().is_some_and(|message| message.len() > 4), "no sentence in {result}");
            let text = |name: &str| result[name].as_str().unwrap().to_owned();
            (text("operation"), text("name"), result["code"].as_i64())
        })
        .collect()
}

fn result(operation: &str, name: &str, code: Option<i64>) -> (String, String, Option<i64>) {
    (operation.to_owned(), name.to_owned(), code)
}

/// CT-ESEP-01, CT-ESIPA-05, -06, CT-BEH-EN-01.
#[test]
fn an_enable_is_signed_executed_acknowledged_and_confirmed_by_the_next_poll() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let (eid, iccid) = (device.eid(), device.iccid(2));
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        let id = world.queue(&eid, device.enable(2, false)).await;
        let before = world.operation(&id).await;
        assert_eq!(
            (&before["kind"], &before["verified"], &before["attempts"]),
            (&json!("psmo"), &Value::Null, &json!(0))
        );
        assert_eq!((&before["counterValue"], &before["deliveredAt"]), (&Value::Null, &Value::Null));

        let poll = device.poll().await;
        let package = SentPackage::read(poll.request().unwrap());
        assert_eq!(
            (package.eim_id.clone(), package.eid.as_slice()),
            (world.eim_id().await, &device.euicc.eid().octets()[..])
        );
        assert_eq!(package.counter, 2, "the list had 1");
        assert!(world.signed_by_us(&package, 0).await, "no token is 84 01 00");
        // A0 { A3 { 5A iccid } }, EPR-PSMO
        let raw = device.raw_iccid(2);
        let enable = element(0xa0, &[&element(0xa3, &[&element(0x5a, &[raw.octets()])])]);
        assert_eq!(package.operations, enable);
        let seq = device.euicc.stored_results().len();
        assert_eq!(seq, 0, "what was acknowledged is gone from the eUICC");
        let Some(Answer::Acknowledged(numbers)) = &poll.answer else { panic!("{:?}", poll.answer) };
        assert_eq!(*numbers, poll.removed);
        assert_eq!(device.euicc.enabled_iccid(), Some(raw));

        let reported = world.operation(&id).await;
        assert_eq!((&reported["state"], &reported["verified"]), (&json!("unconfirmed"), &json!(true)));
        assert_eq!(names(&reported), [result("enable", "ok", Some(0))]);
        assert_eq!(reported["counterValue"], 2);
        assert_eq!(reported["eimTransactionId"], hex::encode_upper(&package.transaction));
        assert_eq!(world.enabled(&eid).await, [iccid], "the implicit disable is applied");

        world.advance(chrono::TimeDelta::minutes(5)).await;
        assert!(device.poll().await.is_idle());
        let done = world.operation(&id).await;
        assert_eq!((&done["state"], &done["attempts"]), (&json!("succeeded"), &json!(1)));
        assert_eq!(done["refusals"], json!([]));
        assert!(done["completedAt"].as_str().unwrap().starts_with("2026-01-01T00:05:00"), "{done}");
        assert!(done["deliveredAt"].as_str().unwrap().starts_with("2026-01-01T00:00:00"), "{done}");
        let events: Vec<Value> = world.events(&eid).await.iter().map(|event| event["type"].clone()).collect();
        let order: Vec<usize> = ["registered", "operationQueued", "packageDelivered", "operationUnconfirmed"]
            .iter()
            .map(|name| events.iter().position(|event| event == name).unwrap_or_else(|| panic!("{name}: {events:?}")))
            .collect();
        assert!(order.is_sorted(), "{events:?}");
        assert_eq!(world.metric("eim_packages_total", &["kind=\"psmo\"", "outcome=\"succeeded\""]).await, 2.0);
        assert_eq!(world.metric("eim_verification_failures_total", &[]).await, 0.0);
        assert!(!world.send(eim_conformance::Role::Nobody, "GET", "/metrics", &[], "").await.text().contains(&eid));
    });
}

/// CT-ESEP-01 with rollbackFlag: `05 00` after the ICCID.
#[test]
fn rollback_flag_stands_in_the_package() {
    each_binding(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, true)).await;
        let package = SentPackage::read(device.poll().await.request().unwrap());
        let body = [element(0x5a, &[device.raw_iccid(2).octets()]), vec![0x05, 0x00]].concat();
        assert_eq!(package.operations, element(0xa0, &[&element(0xa3, &[&body])]));
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
    });
}

/// CT-ESEP-01 to -05: every PSMO, octet by octet, and what becomes of the profile list.
#[test]
fn every_profile_state_operation_goes_out_as_specified_and_is_shown_with_its_result() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let iccid = |number: u8, device: &Device| element(0x5a, &[device.raw_iccid(number).octets()]);
        let one = device.iccid(1);
        let three = device.iccid(3);
        let cases: Vec<(Value, Vec<u8>, &str)> = vec![
            (
                json!({"setFallbackAttribute": {"iccid": three}}),
                element(0xa8, &[&iccid(3, &device)]),
                "setFallbackAttribute",
            ),
            (json!({"unsetFallbackAttribute": {}}), vec![0xa9, 0x00], "unsetFallbackAttribute"),
            (json!({"getRAT": {}}), vec![0xa6, 0x00], "getRAT"),
            (
                json!({"setDefaultDpAddress": {"defaultDpAddress": "smdp.example"}}),
                element(0xbf65, &[&element(0x80, &[b"smdp.example"])]),
                "setDefaultDpAddress",
            ),
            (
                json!({"configureImmediateEnable": {"immediateEnableFlag": true, "defaultSmdpOid": "2.999.10",
                    "defaultSmdpAddress": "smdp.example"}}),
                // 2.999.10 is 88 37 0A
                element(0xa7, &[&[0x80, 0x00, 0x81, 0x03, 0x88, 0x37, 0x0a], &element(0x82, &[b"smdp.example"])]),
                "configureImmediateEnable",
            ),
            (json!({"configureImmediateEnable": {}}), vec![0xa7, 0x00], "configureImmediateEnable"),
            (json!({"listProfileInfo": {}}), vec![0xbf, 0x2d, 0x00], "listProfileInfo"),
            (
                json!({"listProfileInfo": {"iccid": one}}),
                element(0xbf2d, &[&element(0xa0, &[&iccid(1, &device)])]),
                "listProfileInfo",
            ),
            (
                json!({"listProfileInfo": {"class": "operational", "tags": ["5A", "9F70"]}}),
                element(0xbf2d, &[&[0xa0, 0x03, 0x95, 0x01, 0x02], &[0x5c, 0x03, 0x5a, 0x9f, 0x70]]),
                "listProfileInfo",
            ),
            (json!({"disable": {"iccid": one}}), element(0xa4, &[&iccid(1, &device)]), "disable"),
            (json!({"delete": {"iccid": one}}), element(0xa5, &[&iccid(1, &device)]), "delete"),
        ];
        for (index, (psmo, octets, name)) in cases.into_iter().enumerate() {
            let id = world.queue_anyway(&eid, json!({ "psmo": [psmo] })).await;
            let poll = device.poll().await;
            let package = SentPackage::read(poll.request().unwrap());
            assert_eq!(hex::encode(&package.operations), hex::encode(element(0xa0, &[&octets])), "{psmo}");
            assert_eq!(package.counter, 2 + index as i64);
            assert!(world.signed_by_us(&package, 0).await);
            assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{psmo}: {:?}", poll.answer);
            device.session().await;
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("succeeded"), &json!(true)),
                "{operation}"
            );
            let results = names(&operation);
            assert_eq!((results.len(), results[0].0.as_str(), results[0].1.as_str()), (1, name, "ok"));
            let profiles = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
            let of =
                |iccid: &str| profiles["items"].as_array().unwrap().iter().find(|item| item["iccid"] == iccid).cloned();
            match name {
                "setFallbackAttribute" => assert_eq!(of(&three).unwrap()["fallback"], true),
                "unsetFallbackAttribute" => assert_eq!(of(&three).unwrap()["fallback"], false),
                "disable" => assert_eq!(of(&one).unwrap()["state"], "disabled"),
                "delete" => assert_eq!(of(&one), None),
                _ => assert_eq!(profiles["items"].as_array().unwrap().len(), 3, "{psmo} takes nothing away"),
            }
            assert_eq!(profiles["verified"], true);
        }
        assert_eq!(device.euicc.default_dp_address.as_deref(), Some("smdp.example"));
    });
}

/// CT-ESEP-09: listEim, nominal and error 127.
#[test]
fn list_eim_shows_the_eims_or_its_error() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        let list = json!({ "eco": [{ "listEim": {} }] });
        let id = world.queue(&device.eid(), list.clone()).await;
        let package = SentPackage::read(device.poll().await.request().unwrap());
        assert_eq!(package.operations, [0xa1, 0x02, 0xab, 0x00]);
        let operation = world.operation(&id).await;
        assert_eq!(
            (&operation["state"], &operation["verified"]),
            (&json!("succeeded"), &json!(true)),
            "no switch, done at once"
        );
        assert_eq!(names(&operation), [result("listEim", "ok", None)]);
        assert!(operation["results"][0]["value"].to_string().contains(&world.eim_id().await), "{operation}");
        device.euicc.faults.undefined_errors = true;
        let id = world.queue(&device.eid(), list).await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["error"]["name"]), (&json!("failed"), &json!("undefinedError")));
        assert_eq!(names(&operation), [result("listEim", "undefinedError", Some(127))]);
    });
}

/// CT-ESEP-06, -07, -08: configuration of another eIM, and of ourselves (ST-15).
#[test]
fn another_eim_is_added_changed_and_deleted_and_deleting_ourselves_ends_the_management() {
    matrix(async |world: &mut World| {
        use base64::Engine;
        let base64 = |octets: &[u8]| base64::engine::general_purpose::STANDARD.encode(octets);
        let mut device = world.device(1).await;
        let eid = device.eid();
        let key = eim_simulator::pki::seeded_key(eim_core::pki::Curve::P256, 5, "other eIM").unwrap();
        let add = json!({ "eco": [{ "addEim": {
            "eimId": "2.999.77", "eimIdType": 1, "counterValue": 0, "associationToken": -1,
            "eimPublicKeyData": { "eimPublicKey": base64(&key.public_key_spki()) } } }] });
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/operations"), add).await;
        assert_eq!(reply.status, 202, "api.md: ASN.1 member names, keys in base64: {}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let package = SentPackage::read(device.poll().await.request().unwrap());
        let text = hex::encode(&package.operations);
        assert!(text.contains("8401ff") && text.contains(&hex::encode("2.999.77")), "{text}");
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "succeeded", "{operation}");
        let token = device.euicc.association("2.999.77").unwrap().token.unwrap().value();
        assert_eq!(operation["results"][0]["value"]["associationToken"], token, "the token is passed on");
        assert_eq!(world.euicc(&eid).await["association"]["associationToken"], Value::Null, "it is not ours");

        let id = world
            .queue(&eid, json!({ "eco": [{ "updateEim": { "eimId": "2.999.77", "eimFqdn": "b.example" } }] }))
            .await;
        device.session().await;
        assert_eq!(names(&world.operation(&id).await), [result("updateEim", "ok", Some(0))]);
        let id = world.queue(&eid, json!({ "eco": [{ "deleteEim": { "eimId": "2.999.77" } }] })).await;
        device.session().await;
        assert_eq!(names(&world.operation(&id).await), [result("deleteEim", "ok", Some(0))]);
        let id = world.queue(&eid, json!({ "eco": [{ "deleteEim": { "eimId": "2.999.77" } }] })).await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(names(&operation), [result("deleteEim", "eimNotFound", Some(1))]);
        assert_eq!(operation["state"], "failed");
        assert_eq!(world.euicc(&eid).await["state"], "active");

        let id = world.queue_anyway(&eid, json!({ "eco": [{ "deleteEim": { "eimId": world.eim_id().await } }] })).await;
        let poll = device.poll().await;
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))));
        let operation = world.operation(&id).await;
        assert_eq!(names(&operation), [result("deleteEim", "lastEimDeleted", Some(2))]);
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)));
        assert_eq!(world.euicc(&eid).await["state"], "unmanaged");
        let operations = format!("/api/v1/euiccs/{eid}/operations");
        assert_eq!(world.post(&operations, device.enable(2, false)).await.pointers(409), ["/checks/managed"]);
        let list = json!({ "eco": [{ "listEim": {} }] });
        assert_eq!(world.post(&format!("{operations}?dryRun=true"), list).await.json()["allowed"], false);
        assert!(device.poll().await.is_idle(), "nothing is signed for an eUICC that does not know us");
    });
}

/// 3.3.1, step 2: executed in order, one counter for all.
#[test]
fn several_operations_travel_in_one_package_and_each_has_its_result() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        // Nobody knows yet whether the second one finds a network.
        let body = json!({ "override": ["notTheOnlyProfile"], "psmo": [
            { "enable": { "iccid": device.iccid(2) } },
            { "delete": { "iccid": device.iccid(1) } },
            { "delete": { "iccid": "89001234567890123452" } },
            { "listProfileInfo": {} },
        ] });
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let asked = world.send(Role::Admin, "POST", &path, &[], body.to_string()).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
        let id = asked.json()["id"].as_str().unwrap().to_owned();
        let package = SentPackage::read(device.poll().await.request().unwrap());
        let operations = Tlv::only(&package.operations).unwrap();
        assert_eq!(
            operations.children().unwrap().iter().map(|tlv| tlv.tag).collect::<Vec<_>>(),
            [0xa3, 0xa5, 0xa5, 0xbf2d]
        );
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(
            names(&operation),
            [
                result("enable", "ok", Some(0)),
                result("delete", "ok", Some(0)),
                result("delete", "iccidOrAidNotFound", Some(1)),
                result("listProfileInfo", "ok", None),
            ]
        );
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("failed"), &json!(true)), "only in part");
        assert_eq!(operation["error"]["code"], 1, "the first cause stays");
        let profiles = world.profiles(&device.eid()).await;
        assert_eq!(profiles.len(), 2);
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)], "what was done is shown though one failed");
    });
}

/// 2.2: every code of every PSMO and eCO by its name; 6.4 ST-12 codes are in a test of their own.
#[test]
fn every_result_code_is_named_and_fails_the_operation_without_changing_the_profiles() {
    each_binding(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let (one, two) = (device.iccid(1), device.iccid(2));
        let coded = |tag: u32, code: i64| integer(tag, code);
        let undefined = (127, "undefinedError");
        let not_found = (1, "iccidOrAidNotFound");
        let policy = [(3, "disallowedByPolicy"), (5, "catBusy")];
        type Case<'a> = (&'a str, Value, &'a dyn Fn(i64) -> Vec<u8>, Vec<(i64, &'a str)>);
        let enable = |code| coded(0x83, code);
        let disable = |code| coded(0x84, code);
        let delete = |code| coded(0x85, code);
        let list = |code| element(0xbf2d, &[&coded(0x81, code)]);
        let immediate = |code| coded(0x87, code);
        let set = |code| coded(0x8d, code);
        let unset = |code| coded(0x8e, code);
        let default_dp = |code| element(0xbf65, &[&coded(0x80, code)]);
        let add = |code| element(0xa8, &[&coded(0x02, code)]);
        let delete_eim = |code| coded(0x89, code);
        let update = |code| coded(0x8a, code);
        let psmo = |name: &str, body: Value| json!({ "psmo": [{ name: body }] });
        let eco = |name: &str, body: Value| json!({ "eco": [{ name: body }] });
        let key = world.get("/api/v1/eim").await["publicKey"].clone();
        let cases: Vec<Case<'_>> = vec![
            (
                "enable",
                psmo("enable", json!({"iccid": two})),
                &enable,
                [
                    &[not_found, (2, "profileNotInDisabledState")][..],
                    &policy,
                    &[(20, "rollbackNotAvailable"), undefined],
                ]
                .concat(),
            ),
            (
                "disable",
                psmo("disable", json!({"iccid": one})),
                &disable,
                [&[not_found, (2, "profileNotInEnabledState")][..], &policy, &[undefined]].concat(),
            ),
            (
                "delete",
                psmo("delete", json!({"iccid": two})),
                &delete,
                vec![
                    not_found,
                    (2, "profileNotInDisabledState"),
                    (3, "disallowedByPolicy"),
                    (20, "rollbackNotAvailable"),
                    (21, "returnFallbackProfile"),
                    undefined,
                ],
            ),
            (
                "listProfileInfo",
                psmo("listProfileInfo", json!({})),
                &list,
                vec![(1, "incorrectInputValues"), (11, "profileChangeOngoing"), undefined],
            ),
            (
                "configureImmediateEnable",
                psmo("configureImmediateEnable", json!({})),
                &immediate,
                vec![(1, "insufficientMemory"), (7, "commandError"), undefined],
            ),
            (
                "setFallbackAttribute",
                psmo("setFallbackAttribute", json!({"iccid": two})),
                &set,
                vec![not_found, (2, "fallbackNotAllowed"), (3, "fallbackProfileEnabled"), undefined],
            ),
            (
                "unsetFallbackAttribute",
                psmo("unsetFallbackAttribute", json!({})),
                &unset,
                vec![(2, "noFallbackAttribute"), (3, "fallbackProfileEnabled"), (7, "commandError"), undefined],
            ),
            (
                "setDefaultDpAddress",
                psmo("setDefaultDpAddress", json!({"defaultDpAddress": "a.example"})),
                &default_dp,
                vec![undefined],
            ),
            (
                "addEim",
                eco("addEim", json!({"eimId": "x", "counterValue": 0, "eimPublicKeyData": {"eimPublicKey": key}})),
                &add,
                vec![
                    (1, "insufficientMemory"),
                    (3, "ciPKUnknown"),
                    (5, "invalidAssociationToken"),
                    (6, "counterValueOutOfRange"),
                    (7, "commandError"),
                    undefined,
                    // Last: then it is known to be there, and is not asked for again.
                    (2, "associatedEimAlreadyExists"),
                ],
            ),
            (
                "deleteEim",
                eco("deleteEim", json!({"eimId": "x"})),
                &delete_eim,
                vec![(1, "eimNotFound"), (7, "commandError"), undefined],
            ),
            (
                "updateEim",
                eco("updateEim", json!({"eimId": "x", "eimFqdn": "b.example"})),
                &update,
                vec![
                    (1, "eimNotFound"),
                    (3, "ciPKUnknown"),
                    (6, "counterValueOutOfRange"),
                    (7, "commandError"),
                    undefined,
                ],
            ),
        ];
        let profiles = world.profiles(&eid).await;
        let forge = Forge::of(&device);
        let mut seq = 100;
        for (name, request, octets, codes) in cases {
            for (code, meaning) in [(99, "unknownResult")].into_iter().chain(codes) {
                seq += 1;
                let id = world.queue_anyway(&eid, request.clone()).await;
                let package = SentPackage::read(&device.fetch().await);
                let answer = device.deliver(&forge.answer(&package, seq, &[&octets(code)])).await;
                assert_eq!(answer, Answer::Acknowledged(vec![seq]), "a verified one is acknowledged, whatever it says");
                let operation = world.operation(&id).await;
                assert_eq!(operation["state"], "failed", "{name} {code}: {operation}");
                assert_eq!(operation["verified"], true);
                assert_eq!(names(&operation), [result(name, meaning, Some(code))]);
                assert_eq!((&operation["error"]["code"], &operation["error"]["name"]), (&json!(code), &json!(meaning)));
                assert_eq!(world.profiles(&eid).await, profiles, "{name} {code} changed the profiles");
                // What does not fit the list has it asked for, and the device says that nothing changed.
                device.session().await;
            }
        }
        assert_eq!(world.profiles(&eid).await, profiles);
        assert!(device.poll().await.is_idle(), "nothing is left over");
    });
}

/// ST-12: fewer results and processingTerminated.
#[test]
fn operations_after_processing_terminated_are_shown_as_not_executed() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let forge = Forge::of(&device);
        let eid = device.eid();
        for (seq, (code, name)) in (100..).zip([
            (1, "resultSizeOverflow"),
            (2, "unknownOrDamagedCommand"),
            (3, "interruption"),
            (127, "undefinedError"),
        ]) {
            let body = json!({ "psmo": [
                { "listProfileInfo": { "iccid": device.iccid(1) } }, { "enable": { "iccid": device.iccid(2) } },
                { "delete": { "iccid": device.iccid(3) } } ] });
            let id = world.queue(&eid, body).await;
            let package = SentPackage::read(&device.fetch().await);
            let list = element(0xbf2d, &[&[0xa0, 0x00]]);
            let answer = device.deliver(&forge.answer(&package, seq, &[&list, &integer(0x02, code)])).await;
            assert_eq!(answer, Answer::Acknowledged(vec![seq]));
            let operation = world.operation(&id).await;
            let results = names(&operation);
            assert_eq!(results[0], result("listProfileInfo", "ok", None));
            assert_eq!(results[1], result("processingTerminated", name, Some(code)));
            let rest: Vec<_> = results[2..].iter().map(|entry| (entry.0.as_str(), entry.1.as_str())).collect();
            assert_eq!(rest, [("enable", "notExecuted"), ("delete", "notExecuted")], "{operation}");
            assert_eq!((&operation["state"], &operation["error"]["name"]), (&json!("failed"), &json!(name)));
            assert_eq!(world.enabled(&eid).await, [device.iccid(1)], "nothing was enabled");
            assert_eq!(world.profiles(&eid).await.len(), 3, "a list of one profile takes no other away");
        }
        device.euicc.faults.terminate_after = Some((1, 3));
        let id = world
            .queue(
                &eid,
                json!({ "psmo": [
            { "enable": { "iccid": device.iccid(2) } }, { "delete": { "iccid": device.iccid(3) } } ] }),
            )
            .await;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "failed");
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)], "the part that was done is applied: {operation}");
    });
}

/// T17: `02 xx` for the only operation asked for.
#[test]
fn a_lone_processing_terminated_shows_both_readings() {
    each_binding(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        device.deliver(&Forge::of(&device).answer(&package, 100, &[&integer(0x02, 3)])).await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "failed");
        let message = operation["results"][0]["message"].as_str().unwrap();
        assert!(operation["results"].to_string().contains("interruption"), "{operation}");
        assert!(message.contains("disallowedByPolicy"), "the other reading: {message}");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
    });
}

/// 07 reading 2, T18.
#[test]
fn a_result_arm_that_cannot_be_named_fails_the_operation_and_is_acknowledged() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        let unknown = element(0xbf7a, &[&[0x80, 0x01, 0x05]]);
        let answer = device.deliver(&Forge::of(&device).answer(&package, 100, &[&unknown])).await;
        assert_eq!(answer, Answer::Acknowledged(vec![100]));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("failed"), &json!(true)));
        assert_eq!(operation["error"]["name"], "unknownResult");
        use base64::Engine;
        let raw = base64::engine::general_purpose::STANDARD.encode(&unknown);
        assert!(operation["results"].to_string().contains(&raw), "the octets are kept: {operation}");
        assert!(device.poll().await.is_idle(), "it is not sent again");
    });
}

/// 1.2: number and kind of results match the operations.
#[test]
fn a_result_of_another_kind_than_asked_is_a_mismatch_and_the_list_is_asked_for() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        for (seq, list) in (100..).zip([vec![integer(0x84, 0)], vec![integer(0x83, 0), integer(0x85, 0)], vec![]]) {
            let id = world.queue(&device.eid(), device.enable(2, false)).await;
            let package = SentPackage::read(&device.fetch().await);
            let list: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
            let answer = device.deliver(&Forge::of(&device).answer(&package, seq, &list)).await;
            assert_eq!(answer, Answer::Acknowledged(vec![seq]));
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("failed"), &json!(true)),
                "{list:?}: {operation}"
            );
            if seq < 102 {
                assert_eq!(operation["error"]["name"], "resultMismatch");
                let next = SentPackage::read(&device.fetch().await);
                assert!(next.is_own_list(), "{next:?}");
                // the eUICC did nothing of it: its own list says so
                device.euicc.association_mut(&next.eim_id).unwrap().counter = next.counter - 1;
                let result = device.euicc.load_euicc_package(&next.octets).unwrap();
                device.deliver(&result).await;
            }
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)], "case {seq}");
        }
    });
}

/// CT-ESIPA-05.
#[test]
fn a_poll_with_nothing_waiting_is_answered_so_in_few_octets() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        for _ in 0..3 {
            let poll = device.poll().await;
            assert!(poll.is_idle());
            match world.binding {
                Binding::Asn1 => assert_eq!(poll.response, [0xbf, 0x4f, 0x03, 0x02, 0x01, 0x01]),
                Binding::Json => {
                    let body: Value = serde_json::from_slice(&poll.response).unwrap();
                    assert_eq!(body["header"]["functionExecutionStatus"]["status"], "Executed-Success");
                    assert_eq!(body["eimPackageError"], 1);
                }
            }
        }
        assert_eq!(world.euicc(&device.eid()).await["state"], "active");
        assert_eq!(world.metric("eim_polls_total", &["outcome=\"none\""]).await, 3.0);
        world.advance(chrono::TimeDelta::hours(1)).await;
        device.poll().await;
        world.advance(chrono::TimeDelta::zero()).await;
        let euicc = world.euicc(&device.eid()).await;
        assert!(euicc["lastSeenAt"].as_str().unwrap().starts_with("2026-01-01T01:00:00"), "{euicc}");
        assert!(
            euicc["nextPollExpectedAt"].as_str().is_some_and(|at| at.starts_with("2026-01-01T02:00:00")),
            "{euicc}"
        );
    });
}

/// HT-01, T24, CT-BEH-EN-02: the result by HandleNotification.
#[test]
fn a_result_in_handle_notification_is_applied_and_answered_with_an_empty_204() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.ipa.behaviour.delivery = Delivery::HandleNotification;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        assert_eq!(device.poll().await.answer, Some(Answer::NoContent));
        let exchange = device.ipa.last_exchange().unwrap();
        assert_eq!((exchange.status, exchange.response.len(), exchange.header("content-type")), (204, 0, None));
        assert_eq!(exchange.header("x-admin-protocol"), Some("gsma/rsp/v2.1.0"));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("unconfirmed"), &json!(true)));
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
        // The eUICC still keeps it; brought again the other way it is acknowledged and has no effect.
        device.ipa.behaviour.delivery = Delivery::ProvideEimPackageResult;
        let believed = world.believed(&device.eid()).await;
        let kept = device.euicc.stored_results()[0].clone();
        assert_eq!(device.deliver(&kept.octets).await, Answer::Acknowledged(vec![kept.seq_number]));
        assert_eq!(world.believed(&device.eid()).await, believed);
        assert_eq!(world.metric("eim_esipa_rejected_total", &[]).await, 0.0);
    });
}

/// 1.8: notifications along with a result are stored and acknowledged with their numbers.
#[test]
fn a_result_with_notifications_acknowledges_both_and_they_are_on_the_timeline() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.ipa.behaviour.with_notifications = true;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let poll = device.poll().await;
        assert_eq!(Tlv::only(poll.result.as_ref().unwrap()).unwrap().tag, 0x30, "ePRAndNotifications");
        let Some(Answer::Acknowledged(numbers)) = poll.answer else { panic!("{:?}", poll.answer) };
        assert_eq!(numbers.len(), 2, "the result and the disable notification of the first profile");
        assert!(device.euicc.stored_results().is_empty() && device.euicc.notifications().is_empty());
        assert_eq!(world.operation(&id).await["state"], "unconfirmed");
        let received = world.events_of(&device.eid(), "notificationReceived").await;
        assert_eq!(received.len(), 1);
        assert_eq!(received[0]["status"], "verified", "{received:?}");
        assert_eq!(received[0]["notificationAddress"], "smdp.example");
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
    });
}

/// 5.14.7: a notification alone; twice; from nobody we know.
#[test]
fn a_notification_is_stored_once_and_always_answered_with_204() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let disable = json!({ "psmo": [{ "disable": { "iccid": device.iccid(1) } }] });
        let id = world.queue_anyway(&device.eid(), disable).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let notification = device.euicc.notifications()[0].clone();
        for _ in 0..2 {
            let body = match world.binding {
                Binding::Asn1 => element(0xbf3d, &[&element(0xa0, &[&notification.octets])]),
                Binding::Json => {
                    use base64::Engine;
                    let octets = base64::engine::general_purpose::STANDARD.encode(&notification.octets);
                    json!({ "pendingNotification": octets }).to_string().into_bytes()
                }
            };
            let exchange = device.send(Function::HandleNotification, &body).await;
            assert_eq!((exchange.status, exchange.response.len(), exchange.header("content-type")), (204, 0, None));
        }
        assert_eq!(world.events_of(&device.eid(), "notificationReceived").await.len(), 1, "a duplicate has no effect");
        // Signed by an eUICC that is not registered: stored all the same.
        let mut stranger = world.device_of(world.pki.euicc(9).unwrap()).await;
        stranger.euicc.enable_locally(&stranger.raw_iccid(2));
        assert_eq!(stranger.ipa.deliver_notifications(&mut stranger.euicc).await.unwrap(), 1);
        assert_eq!(world.metric("eim_notifications_total", &["outcome=\"unattributed\""]).await, 1.0);
    });
}

/// T12: without eidValue the EID is found by the transaction, or by the certificate in the data.
#[test]
fn a_result_without_an_eid_is_attributed_by_its_transaction_or_certificate() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        device.ipa.behaviour.eid_in_result = EidInResult::Absent;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let poll = device.poll().await;
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{:?}", poll.answer);
        assert_eq!(world.operation(&id).await["state"], "unconfirmed");

        // a data response: by the transaction, then by the certificate alone
        let id = world.queue(&device.eid(), json!({ "euiccData": { "tags": ["A5", "A6", "83"] } })).await;
        let poll = device.poll().await;
        assert_eq!(poll.answer, Some(Answer::Empty));
        let operation = world.operation(&id).await;
        assert_eq!(
            (&operation["state"], &operation["verified"]),
            (&json!("succeeded"), &json!(false)),
            "the IPA signs nothing"
        );

        let mut bare = world.bare_device(2).await;
        bare.ipa.behaviour.eid_in_result = EidInResult::Absent;
        let identity = bare.euicc.identity().clone();
        let implicit = |tag: u32, certificate: &[u8]| element(tag, &[Tlv::only(certificate).unwrap().content]);
        let (a5, a6) = (implicit(0xa5, &identity.eum_certificate), implicit(0xa6, &identity.certificate));
        let data = element(0xbf52, &[&element(0xa0, &[&a5, &a6])]);
        assert_eq!(bare.deliver(&data).await, Answer::Empty);
        let euicc = world.euicc(&bare.eid()).await;
        assert_eq!(euicc["certificatesTrusted"], true, "by the serialNumber of A6");

        // nothing to find it by
        let nameless = Forge::of(&device).result(&world.eim_id().await, 2, None, 999, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&nameless).await, Answer::Error(4), "missingEid");
        // in HandleNotification form it is kept, and 204
        device.ipa.behaviour.delivery = Delivery::HandleNotification;
        assert_eq!(device.deliver(&nameless).await, Answer::NoContent);
    });
}

/// 2.3: the data are shown, never as verified; every tag; errors by name.
#[test]
fn euicc_data_is_reported_unverified_and_an_error_is_named() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let tags = ["A0", "81", "A2", "BF20", "BF22", "83", "84", "A5", "A6", "A8", "A9"];
        let id = world.queue(&eid, json!({ "euiccData": { "tags": tags } })).await;
        let poll = device.poll().await;
        let request = Tlv::only(poll.request().unwrap()).unwrap();
        assert_eq!(request.tag, 0xbf52);
        assert_eq!(hex::encode(request.child(0x5c).unwrap().content), tags.concat().to_lowercase());
        assert!(request.child(0x83).is_some(), "eimTransactionId is always set");
        assert_eq!(poll.answer, Some(Answer::Empty));
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(false)));
        assert_eq!(operation["counterValue"], Value::Null, "a data request has no counter");
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["capabilities"]["verified"], false, "{euicc}");
        assert_eq!(euicc["capabilities"]["rootSmdsAddress"], "rootsmds.example");
        for (code, name) in
            [(1, "incorrectTagList"), (5, "euiccCiPKIdNotFound"), (127, "undefinedError"), (77, "unknownResult")]
        {
            let id = world.queue(&eid, json!({ "euiccData": { "tags": ["83"] } })).await;
            device.ipa.behaviour.data_requests = eim_simulator::ipa::DataRequests::Error(code);
            assert_eq!(device.poll().await.answer, Some(Answer::Empty));
            let operation = world.operation(&id).await;
            assert_eq!((&operation["state"], &operation["error"]["name"]), (&json!("failed"), &json!(name)));
        }
        device.ipa.behaviour.data_requests = eim_simulator::ipa::DataRequests::Error(104);
        let id = world.queue(&eid, json!({ "euiccData": { "tags": ["83"] } })).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "queued", "ecallActive: later again");
        device.ipa.behaviour.data_requests = eim_simulator::ipa::DataRequests::Answer;
        world.advance(chrono::TimeDelta::hours(12)).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
    });
}

/// The association token of a registration stands behind the signature (05 5.1).
#[test]
fn packages_and_results_are_bound_to_the_token_of_the_association() {
    matrix(async |world: &mut World| {
        for (index, token) in [(1, 7), (2, 128), (3, 65_536)] {
            let eim_id = world.eim_id().await;
            let mut device = world.device_of(world.pki.euicc(index).unwrap()).await;
            device.euicc.association_mut(&eim_id).unwrap().token = Some(eim_core::ids::AssociationToken::new(token));
            world.register(&device, true).await;
            let id = world.queue(&device.eid(), device.enable(2, false)).await;
            let poll = device.poll().await;
            let package = SentPackage::read(poll.request().unwrap());
            assert!(world.signed_by_us(&package, token).await && !world.signed_by_us(&package, 0).await);
            assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{:?}", poll.answer);
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
            assert_eq!(world.euicc(&device.eid()).await["association"]["associationToken"], token);
        }
    });
}

/// 1.1: both TLS versions and both bindings serve the same device in turn.
#[test]
fn a_device_may_change_its_binding_between_the_package_and_the_result() {
    each_binding(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        device.ipa.behaviour.lose_result = true;
        device.poll().await;
        let other = match world.binding {
            Binding::Asn1 => Binding::Json,
            Binding::Json => Binding::Asn1,
        };
        device.ipa.behaviour.lose_result = false;
        device.ipa.reconfigure(world.ipa_config().binding(other));
        let answers = device.ipa.deliver_stored_results(&mut device.euicc).await.unwrap();
        assert!(matches!(answers.as_slice(), [Answer::Acknowledged(_)]), "{answers:?}");
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
    });
}

/// 5.14.4: what a poll says is recorded; `rPlmn` in both bindings.
#[test]
fn the_network_of_a_poll_is_recorded() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        let options = PollOptions { r_plmn: Some("26201".parse().unwrap()), ..PollOptions::default() };
        assert_eq!(device.poll_with(&options).await.package, Package::Error(1));
        let euicc = world.euicc(&device.eid()).await;
        assert_eq!(euicc["rPlmn"], "26201");
        let changes = world.events_of(&device.eid(), "stateChange").await;
        assert_eq!((changes.len(), &changes[0]["rPlmn"]), (1, &json!("26201")));
        device.poll_with(&options).await;
        assert_eq!(world.events_of(&device.eid(), "stateChange").await.len(), 1, "the same network is no news");
    });
}

/// `GET /eim`: an eUICC takes the AddInitialEimRequest, and the configuration is the one inside.
#[test]
fn the_eim_tells_a_factory_what_to_load() {
    each_binding(async |world: &mut World| {
        use base64::Engine;
        let eim = world.get("/api/v1/eim").await;
        let octets =
            |name: &str| base64::engine::general_purpose::STANDARD.decode(eim[name].as_str().unwrap()).unwrap();
        let configuration = octets("eimConfigurationData");
        assert_eq!(octets("addInitialEimRequest"), element(0xbf57, &[&element(0xa0, &[&configuration])]));
        let configuration = Tlv::only(&configuration).unwrap();
        assert_eq!(configuration.child(0x80).unwrap().content, eim["eimId"].as_str().unwrap().as_bytes());
        assert_eq!(configuration.child(0x83).unwrap().integer(), Some(0));
        let spki = Tlv::only(&octets("publicKey")).unwrap().content.to_vec();
        assert_eq!(configuration.child(0xa5).unwrap().content, element(0xa0, &[&spki]), "A0 replaces the 30");
    });
}
