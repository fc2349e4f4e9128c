//! The operator API as a hostile or clumsy client finds it (design/api.md; issue points 8, 9, "Bad input").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{PollOptions, Reply, Role, SentPackage, World, each_store};
use eim_core::pki::Curve;
use eim_simulator::tlv::element;
use serde_json::{Value, json};

async fn register(world: &World, body: Value) -> Reply {
    world.post("/api/v1/euiccs", body).await
}

async fn ask(world: &World, eid: &str, body: Value) -> Reply {
    world.post(&format!("/api/v1/euiccs/{eid}/operations"), body).await
}

async fn get(world: &World, path: &str) -> Reply {
    world.send(Role::Viewer, "GET", path, &[], "").await
}

/// "bad EID check digits are a warning on registration, a wrong length an error".
#[test]
fn an_eid_is_judged_at_the_door() {
    each_store(async |world: &mut World| {
        for eid in [
            "",
            "8",
            "8904404593000000000000149229442",
            "890440459300000000000014922944288",
            "8904404593000000000000149229442A",
            "8904404593000000000000149229442\u{0665}",
            " 89044045930000000000001492294428",
            "89044045930000000000001492294428\n",
            "89044045-930000000000001492294428",
        ] {
            assert_eq!(register(world, json!({ "eid": eid })).await.pointers(422), ["/eid"], "{eid:?}");
        }
        for eid in [json!(89_044_045), Value::Null, json!(["89044045930000000000001492294428"]), json!({})] {
            assert_eq!(register(world, json!({ "eid": eid })).await.pointers(422), ["/eid"], "{eid}");
        }
        assert_eq!(register(world, json!({})).await.pointers(422), ["/eid"]);
        let reply = register(world, json!({ "eid": "89049032000000000000000000000164" })).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert!(reply.json()["warnings"].to_string().contains("check digits"), "{}", reply.text());
        let reply = register(world, json!({ "eid": "89049032000000000000000000000163" })).await;
        assert_eq!((reply.status, &reply.json()["warnings"]), (201, &json!([])));
        assert_eq!(reply.header("location"), Some("/api/v1/euiccs/89049032000000000000000000000163"));
        let reply = register(world, json!({ "eid": "89049032000000000000000000000163", "label": "other" })).await;
        assert_eq!(reply.problem(409)["type"], "urn:eim:problem:euicc-exists");
        assert_eq!(world.euicc("89049032000000000000000000000163").await["label"], Value::Null);
    });
}

#[test]
fn a_registration_names_every_member_that_cannot_be_taken() {
    each_store(async |world: &mut World| {
        let eid = "89049032000000000000000000000163";
        let pki = world.test_pki.clone();
        let der = |name: &str| STANDARD.encode(pki.certificate(Curve::P256, name).unwrap());
        let cases = [
            (json!({ "color": "red" }), vec!["/color"]),
            (json!({ "label": 5 }), vec!["/label"]),
            (json!({ "label": "x".repeat(129) }), vec!["/label"]),
            (json!({ "tags": "berlin" }), vec!["/tags"]),
            (json!({ "tags": ["a", 5] }), vec!["/tags"]),
            (json!({ "tags": [""] }), vec!["/tags"]),
            (json!({ "tags": vec!["t"; 70] }), vec![]),
            (json!({ "tags": (0..70).map(|n| n.to_string()).collect::<Vec<_>>() }), vec!["/tags"]),
            (json!({ "resultPolicy": "trusting" }), vec!["/resultPolicy"]),
            (json!({ "association": { "counterValue": -1 } }), vec!["/association/counterValue"]),
            (json!({ "association": { "counterValue": 8_388_608 } }), vec!["/association/counterValue"]),
            (json!({ "association": { "associationToken": -1 } }), vec!["/association/associationToken"]),
            (json!({ "eumCertificate": der("eum") }), vec!["/euiccCertificate"]),
            (json!({ "euiccCertificate": der("euicc1") }), vec!["/eumCertificate"]),
            (json!({ "eumCertificate": der("eum"), "euiccCertificate": "AAAA" }), vec!["/euiccCertificate"]),
            (json!({ "eumCertificate": "no base64", "euiccCertificate": der("euicc1") }), vec!["/eumCertificate"]),
            (
                json!({ "eumCertificate": der("eum"), "euiccCertificate": der("euicc1_expired") }),
                vec!["/euiccCertificate"],
            ),
            (json!({ "eumCertificate": der("eum"), "euiccCertificate": der("euicc2") }), vec!["/euiccCertificate"]),
            (
                json!({ "eumCertificate": der("eum_rogue"), "euiccCertificate": der("euicc_rogue_eum") }),
                vec!["/euiccCertificate"],
            ),
            (
                json!({ "label": "x".repeat(200), "resultPolicy": "?", "association": { "counterValue": -5 } }),
                vec!["/association/counterValue", "/label", "/resultPolicy"],
            ),
        ];
        for (mut body, expected) in cases {
            body["eid"] = eid.into();
            let mut pointers = register(world, body.clone()).await.pointers_or_none();
            pointers.sort();
            if expected.is_empty() {
                continue;
            }
            assert_eq!(pointers, expected, "{body}");
            assert_eq!(get(world, &format!("/api/v1/euiccs/{eid}")).await.status, 404, "nothing half done: {body}");
        }
        // the members of the association by name, wherever it is wrong
        for association in
            [json!(5), json!({ "counter": 1 }), json!({ "counterValue": "1" }), json!({ "counterValue": 1.5 })]
        {
            let pointers = register(world, json!({ "eid": eid, "association": association })).await.pointers(422);
            assert!(pointers.iter().all(|pointer| pointer.starts_with("/association")), "{association}: {pointers:?}");
        }
        let reply = register(world, json!({ "eid": eid, "label": "meter", "tags": ["b", "a", "b"], "association": { "counterValue": 7, "associationToken": 3 },
            "eumCertificate": der("eum"), "euiccCertificate": der("euicc1") })).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let euicc = reply.json();
        assert_eq!(
            (&euicc["tags"], &euicc["certificatesTrusted"], &euicc["state"]),
            (&json!(["a", "b"]), &json!(true), &json!("registered"))
        );
        assert_eq!(
            (&euicc["association"]["counterValue"], &euicc["association"]["associationToken"]),
            (&json!(7), &json!(3))
        );
        assert_eq!(euicc["euiccCertificate"], der("euicc1"));
    });
}

trait PointersOrNone {
    fn pointers_or_none(&self) -> Vec<String>;
}

impl PointersOrNone for Reply {
    fn pointers_or_none(&self) -> Vec<String> {
        // 70 times the same tag is one tag or too many: either is an answer
        if self.status == 422 { self.pointers(422) } else { vec![] }
    }
}

#[test]
fn a_request_for_an_operation_names_every_member_that_cannot_be_taken() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let eid = device.eid();
        let key = world.get("/api/v1/eim").await["publicKey"].clone();
        let iccid = device.iccid(1);
        let cases: Vec<(Value, &str)> = vec![
            (json!({}), ""),
            (json!({ "psmo": [{ "getRAT": {} }], "eco": [{ "listEim": {} }] }), ""),
            (json!({ "psmo": [] }), "/psmo"),
            (json!({ "psmo": {} }), "/psmo"),
            (json!({ "psmo": [5] }), "/psmo/0"),
            (json!({ "psmo": [{ "getRAT": {} }, {}] }), "/psmo/1"),
            (json!({ "psmo": [{ "getRAT": {}, "enable": { "iccid": iccid } }] }), "/psmo/0"),
            (json!({ "psmo": [{ "rollback": {} }] }), "/psmo/0/rollback"),
            (json!({ "psmo": [{ "listEim": {} }] }), "/psmo/0/listEim"),
            (json!({ "eco": [{ "enable": { "iccid": iccid } }] }), "/eco/0/enable"),
            (json!({ "psmo": [{ "enable": {} }] }), "/psmo/0/enable/iccid"),
            (json!({ "psmo": [{ "enable": { "iccid": "12" } }] }), "/psmo/0/enable/iccid"),
            (json!({ "psmo": [{ "enable": { "iccid": 5 } }] }), "/psmo/0/enable/iccid"),
            (json!({ "psmo": [{ "enable": { "iccid": "8900123456789012345A" } }] }), "/psmo/0/enable/iccid"),
            (json!({ "psmo": [{ "enable": { "rawIccid": "98" } }] }), "/psmo/0/enable/rawIccid"),
            (json!({ "psmo": [{ "enable": { "rawIccid": "zz444748329012000001" } }] }), "/psmo/0/enable/rawIccid"),
            (json!({ "psmo": [{ "enable": { "iccid": iccid, "rollback": "yes" } }] }), "/psmo/0/enable/rollback"),
            (json!({ "psmo": [{ "enable": { "iccid": iccid, "now": true } }] }), "/psmo/0/enable/now"),
            (json!({ "psmo": [{ "getRAT": { "x": 1 } }] }), "/psmo/0/getRAT/x"),
            (json!({ "psmo": [{ "listProfileInfo": { "class": "secret" } }] }), "/psmo/0/listProfileInfo/class"),
            (json!({ "psmo": [{ "setDefaultDpAddress": {} }] }), "/psmo/0/setDefaultDpAddress/defaultDpAddress"),
            (
                json!({ "psmo": [{ "configureImmediateEnable": { "defaultSmdpOid": "a.b" } }] }),
                "/psmo/0/configureImmediateEnable/defaultSmdpOid",
            ),
            // 07 reading 18
            (
                json!({ "eco": [{ "addEim": { "eimId": "x", "eimPublicKeyData": { "eimPublicKey": key } } }] }),
                "/eco/0/addEim/counterValue",
            ),
            (json!({ "eco": [{ "addEim": { "eimId": "x", "counterValue": 0 } }] }), "/eco/0/addEim/eimPublicKeyData"),
            (json!({ "eco": [{ "updateEim": { "counterValue": 0 } }] }), "/eco/0/updateEim/eimId"),
            (json!({ "eco": [{ "deleteEim": {} }] }), "/eco/0/deleteEim/eimId"),
            (json!({ "eco": [{ "deleteEim": { "eimId": "" } }] }), "/eco/0/deleteEim/eimId"),
            (json!({ "eco": [{ "deleteEim": { "eimId": "x".repeat(129) } }] }), "/eco/0/deleteEim/eimId"),
            (json!({ "euiccData": { "tags": [] } }), "/euiccData/tags"),
            (json!({ "euiccData": { "tags": ["BF20", "5A"] } }), "/euiccData/tags/1"),
            (json!({ "euiccData": { "tags": ["BF2D"] } }), "/euiccData/tags/0"),
            (json!({ "profileDownload": {} }), "/profileDownload/activationCode"),
            (json!({ "profileDownload": { "defaultSmdp": false } }), "/profileDownload/defaultSmdp"),
            (json!({ "profileDownload": { "activationCode": "2$smdp.example$X" } }), "/profileDownload/activationCode"),
            (
                json!({ "profileDownload": { "activationCode": { "smdpAddress": "a" } } }),
                "/profileDownload/activationCode",
            ),
            (json!({ "profileDownload": { "activationCode": "1$10.0.0.1$X" } }), "/profileDownload/activationCode"),
            (json!({ "profileDownload": { "smds": { "address": "a b" } } }), "/profileDownload/smds/address"),
            (json!({ "profileDownload": { "defaultSmdp": true, "indirect": 1 } }), "/profileDownload/indirect"),
            (
                json!({ "profileDownload": { "defaultSmdp": true, "indirect": false, "confirmationCode": "1" } }),
                "/profileDownload/confirmationCode",
            ),
            (
                json!({ "profileDownload": { "activationCode": "1$smdp.example$X$$1" } }),
                "/profileDownload/confirmationCode",
            ),
            (
                json!({ "profileDownload": { "activationCode": "1$smdp.example$X$$1", "indirect": true } }),
                "/profileDownload/confirmationCode",
            ),
            (json!({ "profileDownload": { "defaultSmdp": true, "surprise": 1 } }), "/profileDownload/surprise"),
            (json!({ "psmo": [{ "getRAT": {} }], "when": "now" }), "/when"),
            (json!({ "psmo": [{ "getRAT": {} }], "label": 5 }), "/label"),
            (json!({ "psmo": [{ "getRAT": {} }], "label": "x".repeat(129) }), "/label"),
            (json!({ "psmo": [{ "getRAT": {} }], "notBefore": 1_700_000_000 }), "/notBefore"),
            (json!({ "psmo": [{ "getRAT": {} }], "notBefore": "2026-13-01T00:00:00Z" }), "/notBefore"),
            (json!([]), ""),
            (json!("psmo"), ""),
        ];
        for (body, pointer) in cases {
            let reply = ask(world, &eid, body.clone()).await;
            let pointers = reply.pointers(422);
            assert!(pointers.iter().any(|found| found == pointer), "{body}: {pointers:?}");
        }
        assert_eq!(world.operations(&eid).await.len(), 0, "nothing was queued");
        for body in ["{", "", "psmo", "{\"psmo\": [{\"getRAT\": {}}]} x", "\u{feff}{", "\u{0}"] {
            let path = format!("/api/v1/euiccs/{eid}/operations");
            let reply = world.send(Role::Operator, "POST", &path, &[], body).await;
            assert_eq!(reply.problem(400)["type"], "urn:eim:problem:malformed-request", "{body:?}");
        }
        let unknown = ask(world, "89049032000000000000000000000163", json!({ "psmo": [{ "getRAT": {} }] })).await;
        assert_eq!(unknown.problem(404)["type"], "urn:eim:problem:not-found");
        // what may be: rawIccid, an ICCID with 18 to 20 digits, an updateEim of any subset (reading 18)
        for body in [
            json!({ "psmo": [{ "enable": { "rawIccid": "98444738290120000010" } }] }),
            json!({ "psmo": [{ "enable": { "rawIccid": "A8444738290120000010" } }] }),
            json!({ "psmo": [{ "enable": { "iccid": "89001234567890123452" } }, { "enable": { "iccid": "8900123456789012345" } }] }),
            json!({ "eco": [{ "updateEim": { "eimId": "x", "eimFqdn": "b.example" } }] }),
            json!({ "euiccData": {} }),
            json!({ "euiccData": { "tags": ["bf20"] } }),
            json!({ "profileDownload": { "activationCode": "1$smdp.example$X$$1", "confirmationCode": "1234" } }),
            // The code is left to the device.
            json!({ "profileDownload": { "activationCode": "1$smdp.example$Y$$1", "indirect": false } }),
        ] {
            assert_eq!(ask(world, &eid, body.clone()).await.status, 202, "{body}");
        }
    });
}

/// 5.6: ICCIDs as people read them, or raw; on the wire nibble-swapped.
#[test]
fn iccids_are_written_as_in_ef_iccid() {
    each_store(async |world: &mut World| {
        for (index, (member, text, octets)) in (1..).zip([
            ("iccid", "89447483921002000001", "98444738290120000010"),
            ("iccid", "8944748392100200001", "984447382901200000f1"),
            ("iccid", "894474839210020000", "984447382901200000ff"),
            ("rawIccid", "98444738290120000010", "98444738290120000010"),
            ("rawIccid", "0A1B2C3D4E5F60718293", "0a1b2c3d4e5f60718293"),
        ]) {
            let mut device = world.device(index).await;
            let id = world.queue_anyway(&device.eid(), json!({ "psmo": [{ "disable": { member: text } }] })).await;
            let package = SentPackage::read(&device.fetch().await);
            let expected = element(0xa0, &[&element(0xa4, &[&element(0x5a, &[&hex::decode(octets).unwrap()])])]);
            assert_eq!(hex::encode(&package.operations), hex::encode(&expected), "{text}");
            assert_eq!(
                world.operation(&id).await["request"]["psmo"][0]["disable"][member],
                text,
                "the request as it was made"
            );
        }
    });
}

/// A profile whose ICCID is not BCD is shown by its octets.
#[test]
fn a_profile_whose_iccid_is_no_number_is_shown_raw() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let id = world.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        let raw = hex::decode("0a1b2c3d4e5f60718293").unwrap();
        let info = element(
            0xe3,
            &[&element(0x5a, &[&raw]), &[0x9f, 0x70, 0x01, 0x01], &element(0x92, &["Zähler".as_bytes()])],
        );
        let list = element(0xbf2d, &[&element(0xa0, &[&info])]);
        device.deliver(&eim_conformance::Forge::of(&device).answer(&package, 3, &[&list])).await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let profiles = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        let profile = &profiles["items"][0];
        assert_eq!(
            (&profile["rawIccid"], &profile["name"], &profile["state"]),
            (&json!("0A1B2C3D4E5F60718293"), &json!("Zähler"), &json!("enabled"))
        );
        assert!(profile.get("iccid").is_none_or(Value::is_null));
    });
}

#[test]
fn a_repeated_request_with_the_same_key_has_no_second_effect() {
    each_store(async |world: &mut World| {
        let (one, two) = (world.device(1).await, world.device(2).await);
        let path = |eid: &str| format!("/api/v1/euiccs/{eid}/operations");
        let body = one.enable(2, false).to_string();
        let key = [("idempotency-key", "k-1")];
        let first = world.send(Role::Operator, "POST", &path(&one.eid()), &key, body.clone()).await;
        assert_eq!(first.status, 202);
        world.advance(TimeDelta::minutes(1)).await;
        for _ in 0..3 {
            let again = world.send(Role::Operator, "POST", &path(&one.eid()), &key, body.clone()).await;
            assert_eq!((again.status, again.header("location")), (202, first.header("location")));
            assert_eq!(again.json(), first.json());
        }
        // the same members in another order and spacing are the same request
        let reordered =
            format!("{{ \"psmo\" : [ {{\"enable\":{{\"rollback\":false,\"iccid\":\"{}\"}}}} ] }}", one.iccid(2));
        assert_eq!(
            world.send(Role::Operator, "POST", &path(&one.eid()), &key, reordered).await.header("location"),
            first.header("location")
        );
        for (eid, body) in [(one.eid(), one.enable(3, false).to_string()), (two.eid(), body.clone())] {
            let reply = world.send(Role::Operator, "POST", &path(&eid), &key, body).await;
            assert_eq!(reply.problem(409)["type"], "urn:eim:problem:idempotency-key-taken");
        }
        let other =
            world.send(Role::Operator, "POST", &path(&one.eid()), &[("idempotency-key", "k-2")], body.clone()).await;
        assert_ne!(other.header("location"), first.header("location"));
        assert_eq!((world.operations(&one.eid()).await.len(), world.operations(&two.eid()).await.len()), (2, 0));
        // after a crash, too; and after the operation has moved on
        world.crash_and_restart().await;
        let again = world.send(Role::Operator, "POST", &path(&one.eid()), &key, body.clone()).await;
        assert_eq!((again.status, again.header("location")), (202, first.header("location")));
        // refused ones take no key
        let wrong = world.send(Role::Operator, "POST", &path(&one.eid()), &[("idempotency-key", "k-3")], "{}").await;
        assert_eq!(wrong.status, 422);
        let right =
            world.send(Role::Operator, "POST", &path(&one.eid()), &[("idempotency-key", "k-3")], body.clone()).await;
        assert_eq!(right.status, 202, "{}", right.text());
        for key in ["", &"k".repeat(256)] {
            let reply =
                world.send(Role::Operator, "POST", &path(&one.eid()), &[("idempotency-key", key)], body.clone()).await;
            assert_eq!(reply.pointers(400), ["/Idempotency-Key"]);
        }
        // registrations
        let body = json!({ "eid": world.pki.eid(8).to_string(), "label": "x" }).to_string();
        for _ in 0..2 {
            let reply =
                world.send(Role::Operator, "POST", "/api/v1/euiccs", &[("idempotency-key", "r-1")], body.clone()).await;
            assert_eq!((reply.status, &reply.json()["label"]), (201, &json!("x")));
        }
    });
}

#[test]
fn requests_at_once_with_one_key_make_one_operation() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let body = device.enable(2, false).to_string();
        let send = || world.send(Role::Operator, "POST", &path, &[("idempotency-key", "once")], body.clone());
        let (a, b, c, d, e) = tokio::join!(send(), send(), send(), send(), send());
        for reply in [&b, &c, &d, &e] {
            assert_eq!((reply.status, reply.header("location")), (202, a.header("location")), "{}", reply.text());
        }
        assert_eq!(world.operations(&device.eid()).await.len(), 1);
    });
}

#[test]
fn lists_are_paged_in_order_and_filtered() {
    each_store(async |world: &mut World| {
        let mut seen = world.device(1).await;
        for index in 2..=7 {
            let device = world.device(index).await;
            world.patch(&device.eid(), json!({ "tags": [if index % 2 == 0 { "even" } else { "odd" }, "a b&c"] })).await;
        }
        seen.poll().await;
        let eid = seen.eid();
        let mut ids = Vec::new();
        for number in 0..25 {
            ids.push(world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }], "label": format!("n{number}") })).await);
        }
        world.post(&format!("/api/v1/operations/{}/cancel", ids[3]), Value::Null).await;
        // every operation once, in order, whatever the page
        let orders = ["", "&order=oldest", "&order=newest"];
        for (limit, order) in [1, 7, 10, 25, 26, 1_000].into_iter().flat_map(|limit| orders.map(|order| (limit, order)))
        {
            let mut walked = Vec::new();
            let first = format!("/api/v1/operations?limit={limit}&eid={eid}{order}");
            let mut path = first.clone();
            for _ in 0..40 {
                let page = world.get(&path).await;
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= limit);
                walked.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
                let Some(cursor) = page["nextCursor"].as_str() else { break };
                path = format!("{first}&cursor={cursor}");
            }
            if order.ends_with("newest") {
                walked.reverse();
            }
            assert_eq!(walked, ids, "limit {limit}{order}");
        }
        let count = async |path: &str| world.get(path).await["items"].as_array().unwrap().len();
        assert_eq!(count("/api/v1/operations?state=cancelled").await, 1);
        assert_eq!(count("/api/v1/operations?state=queued&limit=1000").await, 24);
        assert_eq!(count(&format!("/api/v1/operations?state=queued&eid={}", world.pki.eid(2))).await, 0);
        assert_eq!(count("/api/v1/euiccs").await, 7);
        assert_eq!(count("/api/v1/euiccs?tag=even").await, 3);
        assert_eq!(count("/api/v1/euiccs?tag=a%20b%26c").await, 6);
        assert_eq!(count("/api/v1/euiccs?tag=eve").await, 0);
        assert_eq!(count("/api/v1/euiccs?state=active").await, 1);
        assert_eq!(count("/api/v1/euiccs?state=registered&tag=odd").await, 3);
        assert_eq!(count("/api/v1/euiccs?tag=%27%3B%20DROP%20TABLE%20euiccs%3B--").await, 0);
        let page = world.get(&format!("/api/v1/euiccs/{eid}/events?limit=5")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), 5);
        let next = world
            .get(&format!("/api/v1/euiccs/{eid}/events?limit=5&cursor={}", page["nextCursor"].as_str().unwrap()))
            .await;
        assert_ne!(next["items"][0], page["items"][0]);
        for (path, pointer, status) in [
            ("/api/v1/operations?state=done", "/state", 422),
            ("/api/v1/operations?eid=12", "/eid", 422),
            ("/api/v1/operations?limit=0", "/limit", 422),
            ("/api/v1/operations?limit=1001", "/limit", 422),
            ("/api/v1/operations?limit=many", "/limit", 400),
            ("/api/v1/operations?order=random", "/order", 422),
            ("/api/v1/operations?cursor=x", "/cursor", 422),
            ("/api/v1/operations?cursor=-1", "/cursor", 422),
            ("/api/v1/operations?page=2", "/page", 400),
            ("/api/v1/euiccs?state=asleep", "/state", 422),
            ("/api/v1/euiccs?tag=a&tag=b", "/tag", 400),
        ] {
            assert_eq!(get(world, path).await.pointers(status), [pointer], "{path}");
        }
    });
}

#[test]
fn roles_reach_as_far_as_they_should() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let reads = [
            "/api/v1/euiccs".to_owned(),
            format!("/api/v1/euiccs/{eid}"),
            format!("/api/v1/euiccs/{eid}/profiles"),
            format!("/api/v1/euiccs/{eid}/events"),
            "/api/v1/operations".to_owned(),
            format!("/api/v1/operations/{id}"),
            "/api/v1/eim".to_owned(),
        ];
        for path in &reads {
            for role in [Role::Viewer, Role::Operator, Role::Admin] {
                assert_eq!(world.send(role, "GET", path, &[], "").await.status, 200, "{role:?} {path}");
            }
            let reply = world.send(Role::Nobody, "GET", path, &[], "").await;
            assert_eq!(reply.problem(401)["type"], "urn:eim:problem:unauthorized");
            for bearer in ["Bearer ", "Bearer x", "Bearer eimk_0000", "Basic eDp5", "eimk_"] {
                let reply = world.send(Role::Nobody, "GET", path, &[("authorization", bearer)], "").await;
                assert!(reply.status == 401 || reply.status == 400, "{bearer:?}: {}", reply.status);
            }
        }
        let writes = [
            ("POST", "/api/v1/euiccs".to_owned()),
            ("PATCH", format!("/api/v1/euiccs/{eid}")),
            ("POST", format!("/api/v1/euiccs/{eid}/operations")),
            ("POST", format!("/api/v1/operations/{id}/cancel")),
            ("POST", format!("/api/v1/operations/{id}/abandon")),
        ];
        for (method, path) in &writes {
            for (role, status) in [(Role::Nobody, 401), (Role::Viewer, 403)] {
                let reply = world.send(role, method, path, &[], "{}").await;
                assert_eq!(reply.problem(status)["status"], status, "{role:?} {method} {path}");
            }
        }
        assert_eq!(world.operation(&id).await["state"], "queued");
        // what is wrong is not told to those who may not
        let reply = world
            .send(Role::Viewer, "POST", "/api/v1/euiccs/99999999999999999999999999999999/operations", &[], "{")
            .await;
        assert_eq!(reply.status, 403);
        device.session().await;
    });
}

#[test]
fn an_euicc_is_changed_by_a_merge_patch() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let eid = device.eid();
        let path = format!("/api/v1/euiccs/{eid}");
        world.patch(&eid, json!({ "label": "gate", "tags": ["x", "y"] })).await;
        let euicc = world.patch(&eid, json!({ "label": null })).await;
        assert_eq!((&euicc["label"], &euicc["tags"]), (&Value::Null, &json!(["x", "y"])), "what is not named stays");
        let before = world.euicc(&eid).await;
        for (body, pointer) in [
            (json!({ "eid": "89049032000000000000000000000163" }), "/eid"),
            (json!({ "state": "active" }), "/state"),
            (json!({ "label": 5 }), "/label"),
            (json!({ "tags": [5] }), "/tags"),
            (json!({ "resultPolicy": "x" }), "/resultPolicy"),
            (json!({ "association": 5 }), "/association"),
            (json!({ "association": { "counterValue": "5" } }), "/association/counterValue"),
            (json!({ "association": { "counterValue": 9_000_000 } }), "/association/counterValue"),
            (json!({ "association": { "associationToken": -1 } }), "/association/associationToken"),
            (json!({ "association": { "eimId": "x" } }), "/association/eimId"),
            (json!({ "label": "good", "tags": "bad" }), "/tags"),
            (json!({ "euiccCertificate": null }), "/euiccCertificate"),
            (json!([]), ""),
        ] {
            let reply = world.send(Role::Operator, "PATCH", &path, &[], body.to_string()).await;
            let pointers = reply.pointers(422);
            assert!(
                pointers
                    .iter()
                    .any(|found| found == pointer || pointer == "/euiccCertificate" && found == "/eumCertificate"),
                "{body}: {pointers:?}"
            );
            assert_eq!(world.euicc(&eid).await, before, "{body}: all or nothing");
        }
        let reply =
            world.send(Role::Operator, "PATCH", "/api/v1/euiccs/89049032000000000000000000000163", &[], "{}").await;
        assert_eq!(reply.problem(404)["type"], "urn:eim:problem:not-found");
        let euicc = world
            .patch(
                &eid,
                json!({ "euiccCertificate": null, "eumCertificate": null, "association": { "associationToken": 4 } }),
            )
            .await;
        assert_eq!(
            (&euicc["euiccCertificate"], &euicc["certificatesTrusted"], &euicc["association"]["associationToken"]),
            (&Value::Null, &json!(false), &json!(4))
        );
        assert!(world.events_of(&eid, "changed").await.len() >= 3);
    });
}

/// RFC 9457, and HTTP at its edges.
#[test]
fn everything_that_goes_wrong_is_a_problem_of_one_form() {
    each_store(async |world: &mut World| {
        for (method, path, status) in [
            ("GET", "/api/v1/nothing", 404),
            ("GET", "/api/v2/euiccs", 404),
            ("DELETE", "/api/v1/euiccs", 405),
            ("PUT", "/api/v1/operations", 405),
            ("GET", "/api/v1/operations/x", 404),
            ("GET", "/api/v1/operations/x/cancel", 405),
            ("GET", "/api/v1/operations/00000000-0000-7000-8000-000000000000", 404),
            ("POST", "/api/v1/operations/00000000-0000-7000-8000-000000000000/cancel", 404),
            ("GET", "/api/v1/euiccs/12", 404),
            ("GET", "/api/v1/euiccs/89049032000000000000000000000163/profiles", 404),
            ("GET", "/api/v1/euiccs/89049032000000000000000000000163/events", 404),
            ("GET", "/gsma/rsp2/asn1", 404),
            ("GET", "/api/v1/euiccs/%00", 404),
        ] {
            let reply = world.send(Role::Operator, method, path, &[], "").await;
            // an EID that is none is no such thing, or a value that can't be
            let status = if path.ends_with("/12") || path.ends_with("%00") { reply.status } else { status };
            assert!([404, 405, 422].contains(&status), "{path}: {status}");
            assert!(reply.problem(status)["type"].as_str().unwrap().starts_with("urn:eim:problem:"), "{path}");
        }
        let large = vec![b' '; 1_100_000];
        assert_eq!(world.send(Role::Operator, "POST", "/api/v1/euiccs", &[], large).await.problem(413)["status"], 413);
        let deep = format!("{{\"eid\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(world.send(Role::Operator, "POST", "/api/v1/euiccs", &[], deep).await.problem(400)["status"], 400);
        let eim = world.send(Role::Admin, "GET", "/api/v1/eim", &[], "").await.text();
        assert!(!eim.contains("PRIVATE") && !eim.contains("signingKey"), "CR-08");
    });
}

/// Point 9; no EID labels.
#[test]
fn metrics_tell_depth_age_and_outcomes_without_naming_a_device() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut other = world.device(2).await;
        world.queue(&device.eid(), device.enable(2, false)).await;
        world.advance(TimeDelta::seconds(90)).await;
        world.queue(&device.eid(), json!({ "eco": [{ "listEim": {} }] })).await;
        world.queue(&other.eid(), json!({ "euiccData": {} })).await;
        world.queue(&other.eid(), device.enable(2, false)).await;
        assert_eq!(world.metric("eim_queue_depth", &["kind=\"psmo\""]).await, 2.0);
        assert_eq!(world.metric("eim_queue_depth", &["kind=\"eco\""]).await, 1.0);
        assert_eq!(world.metric("eim_queue_depth", &["kind=\"euiccData\""]).await, 1.0);
        assert_eq!(world.metric("eim_queue_oldest_seconds", &["kind=\"psmo\""]).await, 90.0);
        device.poll_with(&PollOptions { r_plmn: Some("310410".parse().unwrap()), ..PollOptions::default() }).await;
        other.fetch().await;
        assert_eq!(world.metric("eim_queue_depth", &["kind=\"euiccData\""]).await, 0.0);
        assert_eq!(world.metric("eim_packages_total", &["kind=\"euiccData\"", "outcome=\"delivered\""]).await, 1.0);
        device.session().await;
        assert!(
            world.metric("eim_esipa_request_seconds_count", &["function=\"getEimPackage\"", "binding=\"asn1\""]).await
                >= 3.0
        );
        assert!(world.metric("eim_polls_total", &["outcome=\"package\""]).await >= 2.0);
        let text = world.send(Role::Nobody, "GET", "/metrics", &[], "").await.text();
        for secret in [device.eid(), other.eid(), device.iccid(2), "310410".to_owned()] {
            assert!(!text.contains(&secret), "{secret} in /metrics");
        }
        for name in [
            "eim_polls_total",
            "eim_packages_total",
            "eim_queue_depth",
            "eim_queue_oldest_seconds",
            "eim_esipa_request_seconds",
            "eim_jobs_total",
        ] {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} is in the contract");
        }
        for path in ["/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(world.send(Role::Nobody, "GET", path, &[], "").await.status, 200, "{path}");
        }
        let document = world.send(Role::Nobody, "GET", "/openapi.json", &[], "").await.json();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        for path in [
            "/api/v1/euiccs",
            "/api/v1/euiccs/{eid}",
            "/api/v1/euiccs/{eid}/profiles",
            "/api/v1/euiccs/{eid}/events",
            "/api/v1/euiccs/{eid}/operations",
            "/api/v1/operations",
            "/api/v1/operations/{id}",
            "/api/v1/operations/{id}/cancel",
            "/api/v1/operations/{id}/abandon",
            "/api/v1/eim",
        ] {
            assert!(document["paths"][path].is_object(), "{path} is documented");
        }
    });
}

/// Texts that a database may not take are still answered for.
#[test]
fn texts_with_odd_characters_are_kept_or_refused_and_never_a_failure() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let path = format!("/api/v1/euiccs/{}", device.eid());
        for text in ["a\u{0}b", "\u{0}", "\u{202e}x", "\u{1f600}", "'; DROP TABLE euiccs; --", "\\u0000", "%00"] {
            for body in [json!({ "label": text }), json!({ "tags": [text] })] {
                let reply = world.send(Role::Operator, "PATCH", &path, &[], body.to_string()).await;
                assert!(
                    reply.status == 200 || reply.status == 422,
                    "{text:?} on {:?}: {}",
                    world.backend,
                    reply.text()
                );
                if reply.status == 200 {
                    assert!(world.euicc(&device.eid()).await.to_string().contains(&json!(text).to_string()));
                }
            }
            let body = json!({ "psmo": [{ "getRAT": {} }], "label": text });
            let status = ask(world, &device.eid(), body).await.status;
            assert!(status == 202 || status == 422, "{text:?} on {:?}: {status}", world.backend);
            let body = json!({ "psmo": [{ "setDefaultDpAddress": { "defaultDpAddress": text } }] });
            let status = ask(world, &device.eid(), body).await.status;
            assert!(status == 202 || status == 422, "{text:?} on {:?}: {status}", world.backend);
        }
        for path in ["/api/v1/euiccs?tag=%00", "/api/v1/euiccs?tag=%FF", "/api/v1/euiccs?tag=a%00b"] {
            let status = get(world, path).await.status;
            assert!(status < 500, "{path} on {:?}: {status}", world.backend);
        }
    });
}
