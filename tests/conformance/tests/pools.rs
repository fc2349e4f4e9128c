//! Pools of activation codes: each is handed out once, and comes back when nobody got it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Role, World, code_of, each_store, modes, order};
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::ipa::DownloadMode;
use serde_json::{Value, json};

async fn pool(world: &World, name: &str, low_water: i64) -> String {
    let reply = world.post("/api/v1/pools", json!({ "name": name, "lowWater": low_water })).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/api/v1/pools/{id}").as_str()));
    id
}

async fn states(world: &World, pool: &str) -> Vec<String> {
    let codes = world.get(&format!("/api/v1/pools/{pool}/codes")).await;
    codes["items"].as_array().unwrap().iter().map(|code| code["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_switch_takes_a_code_of_its_own_and_the_code_is_used_up() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "POOLED", 1));
        let id = pool(world, "operator one", 3).await;
        let path = format!("/api/v1/pools/{id}/codes");
        let body = json!({ "codes": [code_of(&smdp, "POOLED")] });
        for (imported, known) in [(1, 0), (0, 1)] {
            let reply = world.post(&path, body.clone()).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(reply.json(), json!({ "imported": imported, "knownAlready": known, "free": 1 }));
        }
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(1, DownloadMode::Direct, &features).await;
        world.list(&mut device).await;
        let switches = format!("/api/v1/euiccs/{}/switches", device.eid());
        let to = json!({ "to": { "pool": "operator one" }, "waive": ["fallback"] });
        let reply = world.post(&switches, to.clone()).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        assert_eq!(states(world, &id).await, ["reserved"]);
        for _ in 0..3 {
            device.session().await;
        }
        let switch = world.get(&format!("/api/v1/switches/{}", reply.json()["id"].as_str().unwrap())).await;
        assert_eq!(switch["outcome"], "proven", "{switch}");
        assert_eq!(states(world, &id).await, ["used"]);
        let codes = world.get(&path).await;
        assert_eq!(codes["items"][0]["eid"], device.eid());
        assert!(!codes.to_string().contains("POOLED"), "a code is a secret: {codes}");
        // It never had more codes than its mark, and it says that the last one is gone.
        let low = async || {
            let events = world.get("/api/v1/events?type=eim.poolLow").await;
            events["items"].as_array().unwrap().iter().filter(|event| event["data"]["free"] == 0).count()
        };
        world.until("poolLow", async || low().await == 1).await;
        let problem = world.post(&switches, to).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:pool-empty");
        smdp.stop().await;
    });
}

#[test]
fn a_code_that_nobody_got_goes_back_and_one_that_went_out_does_not() {
    each_store(async |world: &mut World| {
        let id = pool(world, "p", 2).await;
        let codes: Vec<String> = (0..3).map(|number| format!("1$smdp.example$CODE-{number}")).collect();
        world.post(&format!("/api/v1/pools/{id}/codes"), json!({ "codes": codes })).await;
        let mut device = world.listed_device(1).await;
        let switches = format!("/api/v1/euiccs/{}/switches", device.eid());
        let to = json!({ "to": { "pool": id }, "waive": ["fallback"] });
        let ask = async |to: &Value| {
            let reply = world.post(&switches, to.clone()).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            reply.json()["id"].as_str().unwrap().to_owned()
        };
        let first = ask(&to).await;
        assert_eq!(world.get(&format!("/api/v1/pools/{id}")).await["free"], 2);
        assert_eq!(world.post(&format!("/api/v1/switches/{first}/cancel"), Value::Null).await.status, 200);
        assert_eq!(states(world, &id).await, ["free", "free", "free"]);

        // Delivered and lost: nobody knows whether the SM-DP+ still has the profile for it.
        let second = ask(&to).await;
        device.session().await;
        device.fetch().await;
        for _ in 0..12 {
            world.advance(TimeDelta::days(30)).await;
        }
        let switch = world.get(&format!("/api/v1/switches/{second}")).await;
        assert_eq!(switch["outcome"], "downloadFailed", "{switch}");
        let spent = world.get(&format!("/api/v1/pools/{id}/codes?state=spent")).await["items"].clone();
        assert_eq!(spent.as_array().unwrap().len(), 1, "{spent}");
        let release = format!("/api/v1/pools/{id}/codes/{}/release", spent[0]["id"].as_str().unwrap());
        assert_eq!(world.post(&release, Value::Null).await.json()["free"], 3);
        assert_eq!(world.post(&release, Value::Null).await.status, 409);
    });
}

#[test]
fn one_order_is_one_code_however_it_is_written() {
    each_store(async |world: &mut World| {
        let id = pool(world, "p", 0).await;
        let path = format!("/api/v1/pools/{id}/codes");
        let first = ["1$smdp.example$SAME-1", "1$SMDP.EXAMPLE$SAME-1", "LPA:1$smdp.example$SAME-1$2.999.10"];
        // A matchingId has a case, and another port is another server.
        let others = ["1$smdp.example$same-1", "1$smdp.example:8443$SAME-1", "1$Smdp.Example:8443$SAME-1"];
        let reply = world.post(&path, json!({ "codes": ([first, others].concat()) })).await;
        assert_eq!(reply.json(), json!({ "imported": 3, "knownAlready": 3, "free": 3 }));
        let reply = world.post(&path, json!({ "codes": ["1$smdp.example$SAME-1$$0", "1$sMDP.example$OTHER"] })).await;
        assert_eq!(reply.json(), json!({ "imported": 1, "knownAlready": 1, "free": 4 }));
    });
}

#[test]
fn an_import_with_one_bad_code_brings_none() {
    each_store(async |world: &mut World| {
        let id = pool(world, "p", 0).await;
        let path = format!("/api/v1/pools/{id}/codes");
        let codes = json!({ "codes": ["1$smdp.example$GOOD", "SECRET-NONSENSE", "1$smdp.example$FINE", 7] });
        let reply = world.post(&path, codes).await;
        assert_eq!(reply.pointers(422), ["/codes/1", "/codes/3"]);
        assert!(!reply.text().contains("NONSENSE"), "{}", reply.text());
        // A pool has no confirmation codes.
        let codes = json!({ "codes": ["1$smdp.example$GOOD", "1$smdp.example$ASKS$$1"] });
        let reply = world.post(&path, codes).await;
        assert_eq!(reply.pointers(422), ["/codes/1"]);
        assert!(reply.text().contains("asks for a confirmation code"), "{}", reply.text());
        assert!(!reply.text().contains("ASKS"), "{}", reply.text());
        assert!(states(world, &id).await.is_empty());
        for (body, pointer) in
            [(json!({}), "/codes"), (json!({ "codes": [] }), "/codes"), (json!({ "code": [] }), "/code")]
        {
            assert_eq!(world.post(&path, body).await.pointers(422), [pointer]);
        }
        for (body, pointer) in [(json!({}), "/name"), (json!({ "name": "x", "lowWater": -1 }), "/lowWater")] {
            assert_eq!(world.post("/api/v1/pools", body).await.pointers(422), [pointer]);
        }
        assert_eq!(world.post("/api/v1/pools", json!({ "name": "p" })).await.status, 409);
        let reply =
            world.send(Role::Viewer, "POST", &path, &[], json!({ "codes": ["1$a.example$B"] }).to_string()).await;
        assert_eq!(reply.status, 403);
    });
}
