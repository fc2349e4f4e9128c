//! Keys, roles, grants between tenants, and the record of decisions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use chrono::TimeDelta;
use eim_conformance::{Role, World, code_of, each_store, order};
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::ipa::DownloadMode;
use serde_json::{Value, json};

async fn key(world: &World, admin: &str, body: Value) -> (String, String) {
    let reply = world.send_as(admin, "POST", "/api/v1/api-keys", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let shown = reply.json();
    (shown["id"].as_str().unwrap().to_owned(), shown["key"].as_str().unwrap().to_owned())
}

async fn status(world: &World, key: &str, method: &str, path: &str, body: Value) -> u16 {
    world.send_as(key, method, path, body).await.status
}

#[test]
fn a_key_expires_is_rotated_with_an_overlap_and_is_revoked() {
    each_store(async |world: &mut World| {
        let admin = world.tenant("ours").await;
        let list = "/api/v1/euiccs";
        let get = async |world: &World, key: &str| status(world, key, "GET", list, Value::Null).await;
        let expires = (world.now() + TimeDelta::hours(1)).to_rfc3339();
        let (_, short) = key(world, &admin, json!({ "name": "a", "role": "viewer", "expiresAt": expires })).await;
        let (id, first) = key(world, &admin, json!({ "name": "b", "role": "operator" })).await;
        assert_eq!((get(world, &short).await, get(world, &first).await), (200, 200));
        world.advance(TimeDelta::hours(1)).await;
        assert_eq!((get(world, &short).await, get(world, &first).await), (401, 200));

        let path = format!("/api/v1/api-keys/{id}/rotate");
        let reply = world.send_as(&admin, "POST", &path, json!({ "overlapSeconds": 60 })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let second = reply.json()["key"].as_str().unwrap().to_owned();
        assert_eq!((get(world, &first).await, get(world, &second).await), (200, 200), "both for a minute");
        world.advance(TimeDelta::seconds(60)).await;
        assert_eq!((get(world, &first).await, get(world, &second).await), (401, 200));
        assert_eq!(
            world.send_as(&admin, "POST", &path, json!({ "overlapSeconds": -1 })).await.pointers(422),
            ["/overlapSeconds"]
        );

        let shown = world.send_as(&admin, "GET", "/api/v1/api-keys", Value::Null).await;
        assert!(!shown.text().contains(&second) && !shown.text().contains("eimk_"), "no list shows a key");
        let shown = shown.json()["items"].as_array().unwrap().iter().find(|key| key["id"] == *id).unwrap().clone();
        assert!(shown["lastUsedAt"].as_str().unwrap() >= "2026-01-01T01:01:00", "{shown}");

        let revoke = format!("/api/v1/api-keys/{id}/revoke");
        let revoked = world.send_as(&admin, "POST", &revoke, Value::Null).await;
        assert!(revoked.json()["revokedAt"].is_string(), "{}", revoked.text());
        assert_eq!(get(world, &second).await, 401);
        assert_eq!(status(world, &admin, "POST", &path, json!({})).await, 409, "what ended is not rotated");
    });
}

#[test]
fn scopes_and_roles_limit_a_key_and_a_key_makes_none_that_opens_more() {
    each_store(async |world: &mut World| {
        let admin = world.tenant("ours").await;
        let (_, devices) = key(world, &admin, json!({ "name": "d", "role": "operator", "scopes": ["devices"] })).await;
        let operations = "/api/v1/euiccs/89049032000000000000000000000163/operations";
        assert_eq!(status(world, &devices, "GET", "/api/v1/euiccs", Value::Null).await, 200);
        assert_eq!(status(world, &devices, "GET", "/api/v1/operations", Value::Null).await, 403);
        assert_eq!(status(world, &devices, "POST", operations, json!({})).await, 403);
        let (_, keys) = key(world, &admin, json!({ "name": "k", "role": "admin", "scopes": ["keys"] })).await;
        for scopes in [json!(null), json!([]), json!(["keys", "devices"])] {
            let body = json!({ "name": "more", "role": "admin", "scopes": scopes });
            assert_eq!(world.send_as(&keys, "POST", "/api/v1/api-keys", body).await.pointers(422), ["/scopes"]);
        }
        key(world, &keys, json!({ "name": "same", "role": "viewer", "scopes": ["keys"] })).await;
        let none = json!({ "name": "none", "role": "admin", "scopes": [] });
        assert_eq!(world.send_as(&admin, "POST", "/api/v1/api-keys", none).await.pointers(422), ["/scopes"]);
        let bad = json!({ "name": "", "role": "root", "scopes": ["all"], "expiresAt": "2020-01-01T00:00:00Z", "x": 1 });
        let mut pointers = world.send_as(&admin, "POST", "/api/v1/api-keys", bad).await.pointers(422);
        pointers.sort();
        assert_eq!(pointers, ["/expiresAt", "/name", "/role", "/scopes", "/x"]);

        let (_, approver) = key(world, &admin, json!({ "name": "second", "role": "approver" })).await;
        assert_eq!(status(world, &approver, "GET", "/api/v1/euiccs", Value::Null).await, 200);
        assert_eq!(status(world, &approver, "POST", operations, json!({})).await, 403, "who approves does not operate");
        assert_eq!(status(world, &approver, "GET", "/api/v1/api-keys", Value::Null).await, 403);
    });
}

#[test]
fn a_request_repeated_under_its_idempotency_key_makes_one_key_and_shows_it_once() {
    each_store(async |world: &mut World| {
        let body = json!({ "name": "once", "role": "viewer" }).to_string();
        let post = async |path: &str, body: &str| {
            world.send(Role::Admin, "POST", path, &[("idempotency-key", path)], body.to_owned()).await
        };
        let (first, again) =
            (post("/api/v1/api-keys", &body).await.json(), post("/api/v1/api-keys", &body).await.json());
        assert_eq!(first["id"], again["id"]);
        assert!(first["key"].is_string() && again.get("key").is_none(), "{again}");
        let path = format!("/api/v1/api-keys/{}/rotate", first["id"].as_str().unwrap());
        let (first, again) = (post(&path, "{}").await.json(), post(&path, "{}").await.json());
        let rotated = first["key"].as_str().unwrap();
        assert!(again.get("key").is_none(), "{again}");
        assert_eq!(status(world, rotated, "GET", "/api/v1/euiccs", Value::Null).await, 200, "rotated once");
    });
}

#[test]
fn what_an_owner_claims_counts_until_it_is_withdrawn() {
    each_store(async |world: &mut World| {
        let (owner, id) = confirmed_owner(world).await;
        let other = world.tenant("other").await;
        let device = world.listed_device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let operate = async || world.post(&path, device.enable(2, false)).await;
        assert_eq!(operate().await.problem(409)["type"], "urn:eim:problem:not-granted");
        let withdraw = format!("/api/v1/profile-owners/{id}/withdraw");
        let confirm = format!("/api/v1/profile-owners/{id}/confirm");
        assert_eq!(status(world, &other, "POST", &withdraw, Value::Null).await, 404, "somebody else's");
        assert_eq!(operate().await.status, 409);
        // Its own word is enough to take it back, and not to make it count again.
        let shown = world.send_as(&owner, "POST", &withdraw, Value::Null).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        assert!(shown.json().get("confirmedAt").is_none(), "{}", shown.text());
        assert_eq!(operate().await.status, 202);
        assert_eq!(status(world, &owner, "POST", &confirm, Value::Null).await, 403);
        assert_eq!(world.send(Role::Admin, "POST", &confirm, &[], "").await.status, 200);
        assert_eq!(operate().await.problem(409)["type"], "urn:eim:problem:not-granted");
        assert_eq!(world.send(Role::Admin, "POST", &withdraw, &[], "").await.status, 200);
        assert_eq!(operate().await.status, 202);
    });
}

#[test]
fn another_owners_profile_needs_a_grant_until_it_is_revoked() {
    each_store(async |world: &mut World| {
        let owner = world.tenant("owner").await;
        let device = world.listed_device(1).await;
        let operate =
            async |body: Value| world.post(&format!("/api/v1/euiccs/{}/operations", device.eid()), body).await;
        let claim = json!({ "name": "Acme", "serviceProviders": ["simulated OPERATOR"], "smdpAddresses": ["smdp.acme.example"] });
        let reply = world.send_as(&owner, "POST", "/api/v1/profile-owners", claim).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        assert!(reply.json().get("confirmedAt").is_none(), "a tenant can't lock others out on its own word");
        assert_eq!(operate(device.enable(2, false)).await.status, 202);

        let confirm = format!("/api/v1/profile-owners/{id}/confirm");
        assert_eq!(status(world, &owner, "POST", &confirm, Value::Null).await, 403);
        assert_eq!(world.send(Role::Admin, "POST", &confirm, &[], "").await.status, 200);
        let problem = operate(device.enable(2, false)).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:not-granted");
        assert!(problem["detail"].as_str().unwrap().contains("Acme"), "{problem}");
        let download = json!({ "profileDownload": { "activationCode": "LPA:1$smdp.acme.example$CODE-1" } });
        assert_eq!(operate(download.clone()).await.problem(409)["type"], "urn:eim:problem:not-granted");
        let strange = json!({ "psmo": [{ "delete": { "iccid": "8999000000000000001" } }] });
        assert_eq!(operate(strange).await.problem(409)["type"], "urn:eim:problem:owner-unknown");

        let grant = json!({ "owner": id, "grantee": "default", "actions": ["enable", "disable", "download"] });
        let reply = world.send_as(&owner, "POST", "/api/v1/grants", grant).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let grant = reply.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(operate(device.enable(2, false)).await.status, 202);
        assert_eq!(operate(download).await.status, 202);
        let delete = json!({ "psmo": [{ "delete": { "iccid": device.iccid(3) } }] });
        assert_eq!(operate(delete).await.problem(409)["type"], "urn:eim:problem:not-granted", "not among its actions");
        // What the owner allows is the owner's word, whatever was granted.
        let policy = json!({ "serviceProvider": "Simulated Operator", "disableAllowed": false });
        let made = world.send_as(&owner, "POST", "/api/v1/owner-policies", policy).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(operate(device.enable(2, false)).await.pointers(409), ["/checks/ownerPolicy"]);
        let mut overriding = device.enable(2, false);
        overriding["override"] = json!(["ownerPolicy"]);
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let reply = world.send(Role::Admin, "POST", &path, &[], overriding.to_string()).await;
        assert_eq!(reply.pointers(409), ["/checks/ownerPolicy"], "nobody but the owner sets it aside");
        assert!(world.get("/api/v1/owner-policies").await["items"].as_array().unwrap().is_empty(), "it is theirs");
        let gone = format!("/api/v1/owner-policies/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(status(world, &owner, "DELETE", &gone, Value::Null).await, 204);
        // One on what somebody else owns, or nobody, binds no other tenant.
        let foreign = json!({ "serviceProvider": "Another operator", "disableAllowed": false });
        assert_eq!(world.send_as(&owner, "POST", "/api/v1/owner-policies", foreign).await.status, 201);
        let decisions = world.send(Role::Admin, "GET", "/api/v1/decisions", &[], "").await.json();
        let with_grant = |decision: &&Value| decision["authority"].as_str().unwrap().contains(&grant);
        let queued = world.get(&format!("/api/v1/euiccs/{}/events", device.eid())).await;
        let queued: Vec<&Value> =
            queued["items"].as_array().unwrap().iter().filter(|event| event["grants"] == json!([grant])).collect();
        assert_eq!(queued.len(), 2, "each operation says on what it rests: {queued:?}");
        let by_grant: Vec<&Value> = decisions["items"].as_array().unwrap().iter().filter(with_grant).collect();
        assert_eq!(by_grant.iter().filter(|decision| decision["outcome"] == "done").count(), 2, "{by_grant:?}");

        assert_eq!(status(world, &owner, "POST", &format!("/api/v1/grants/{grant}/revoke"), Value::Null).await, 200);
        assert_eq!(operate(device.enable(2, false)).await.problem(409)["type"], "urn:eim:problem:not-granted");
        let seen = world.send(Role::Viewer, "GET", "/api/v1/grants", &[], "").await.json();
        assert!(seen["items"][0]["revokedAt"].is_string(), "the grantee sees that it is gone");
        let bad =
            json!({ "owner": "x", "grantee": "nobody", "actions": ["everything"], "profileClass": "big", "z": 1 });
        let mut pointers = world.send_as(&owner, "POST", "/api/v1/grants", bad).await.pointers(422);
        pointers.sort();
        assert_eq!(pointers, ["/actions", "/grantee", "/profileClass", "/z"]);
    });
}

/// An owner of another tenant, confirmed; its key and its name for reference.
async fn confirmed_owner(world: &World) -> (String, String) {
    let owner = world.tenant("owner").await;
    let claim =
        json!({ "name": "Acme", "serviceProviders": ["simulated OPERATOR"], "smdpAddresses": ["smdp.acme.example"] });
    let reply = world.send_as(&owner, "POST", "/api/v1/profile-owners", claim).await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let confirm = format!("/api/v1/profile-owners/{id}/confirm");
    assert_eq!(world.send(Role::Admin, "POST", &confirm, &[], "").await.status, 200);
    (owner, id)
}

#[test]
fn a_profile_that_has_just_come_is_enabled_though_nobody_has_told_whose_it_is() {
    each_store(async |world: &mut World| {
        let owner = world.tenant("owner").await;
        let claim = json!({ "name": "Acme", "serviceProviders": ["Acme"] });
        let id = world.send_as(&owner, "POST", "/api/v1/profile-owners", claim).await.json()["id"].clone();
        let confirm = format!("/api/v1/profile-owners/{}/confirm", id.as_str().unwrap());
        assert_eq!(world.send(Role::Admin, "POST", &confirm, &[], "").await.status, 200);
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "NEW", 1));
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(1, DownloadMode::Direct, &features).await;
        world.list(&mut device).await;
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let body = json!({ "to": { "activationCode": code_of(&smdp, "NEW") }, "waive": ["fallback", "memory"] });
        let reply = world.post(&path, body).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        for _ in 0..4 {
            device.session().await;
        }
        let ended = world.get(&format!("/api/v1/switches/{}", reply.json()["id"].as_str().unwrap())).await;
        assert_eq!(ended["outcome"], "proven", "{ended}");
    });
}

#[test]
fn a_profile_list_that_leaves_the_provider_out_makes_no_profile_free() {
    each_store(async |world: &mut World| {
        confirmed_owner(world).await;
        let mut device = world.device(1).await;
        let operations = format!("/api/v1/euiccs/{}/operations", device.eid());
        let reduced = json!({ "psmo": [{ "listProfileInfo": { "tags": ["5A", "9F70"] } }] });
        let id = world.queue(&device.eid(), reduced).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let shown = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        assert!(shown["items"][0]["serviceProvider"].is_null(), "{shown}");
        let delete = json!({ "psmo": [{ "delete": { "iccid": device.iccid(3) } }] });
        let problem = world.post(&operations, delete.clone()).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:owner-unknown");
        let fallback = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": device.iccid(3) } }] });
        assert_eq!(world.post(&operations, fallback).await.problem(409)["type"], "urn:eim:problem:owner-unknown");
        let switches = format!("/api/v1/euiccs/{}/switches", device.eid());
        let switch = json!({ "to": { "iccid": device.iccid(2) }, "waive": ["fallback"] });
        assert_eq!(world.post(&switches, switch).await.pointers(409), ["/checks/grant"]);
        let foretold = world.post(&format!("{operations}?dryRun=true"), delete.clone()).await.json();
        let failed = |check: &&Value| check["result"] == "failed";
        let checks: Vec<&Value> = foretold["checks"].as_array().unwrap().iter().filter(failed).collect();
        assert_eq!((&foretold["allowed"], checks.len()), (&json!(false), 1), "{foretold}");
        assert_eq!(checks[0]["name"], "grant", "{foretold}");
        // Told, it is known whose they are.
        world.list(&mut device).await;
        let not_granted = "urn:eim:problem:not-granted";
        assert_eq!(world.post(&operations, delete.clone()).await.problem(409)["type"], not_granted);
        // A tag that only holds the octet of the provider's takes nothing back.
        let odd = json!({ "psmo": [{ "listProfileInfo": { "tags": ["5A", "9F70", "9F9101"] } }] });
        world.queue(&device.eid(), odd).await;
        device.session().await;
        assert_eq!(world.post(&operations, delete).await.problem(409)["type"], not_granted);
        let two = json!({ "psmo": [{ "listProfileInfo": { "tags": ["5A9F70"] } }] });
        assert_eq!(world.post(&operations, two).await.pointers(422), ["/psmo/0/listProfileInfo/tags"]);
        assert_eq!(device.euicc.profiles().len(), 3);
    });
}

#[test]
fn a_profile_list_that_does_not_tell_of_the_fallback_attribute_lets_nobody_take_it() {
    each_store(async |world: &mut World| {
        confirmed_owner(world).await;
        let mut device = world.device(1).await;
        let operations = format!("/api/v1/euiccs/{}/operations", device.eid());
        let unset = json!({ "psmo": [{ "unsetFallbackAttribute": {} }] });
        let without = json!({ "psmo": [{ "listProfileInfo": { "tags": ["5A", "9F70", "91"] } }] });
        world.queue(&device.eid(), without).await;
        device.session().await;
        let profiles = format!("/api/v1/euiccs/{}/profiles", device.eid());
        let shown = world.get(&profiles).await;
        assert_eq!((&shown["items"][0]["fallback"], shown["items"].as_array().unwrap().len()), (&Value::Null, 3));
        let problem = world.post(&operations, unset.clone()).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:owner-unknown");
        let foretold = world.post(&format!("{operations}?dryRun=true"), unset.clone()).await.json();
        assert_eq!(foretold["allowed"], false, "{foretold}");
        // Told that no profile has it, nobody is asked.
        world.list(&mut device).await;
        assert_eq!(world.get(&profiles).await["items"][0]["fallback"], false);
        assert_eq!(world.post(&operations, unset).await.status, 202);
    });
}

#[test]
fn what_takes_the_place_of_an_owners_profile_by_itself_needs_its_grant() {
    each_store(async |world: &mut World| {
        let (owner, id) = confirmed_owner(world).await;
        let (listed, unlisted) = (world.listed_device(1).await, world.device(2).await);
        let own = json!({ "psmo": [{ "configureImmediateEnable": {
            "immediateEnableFlag": true, "defaultSmdpAddress": "smdp.of-our-own.example" } }] });
        let ask = async |device: &eim_conformance::Device| {
            let reply = world.post(&format!("/api/v1/euiccs/{}/operations", device.eid()), own.clone()).await;
            (reply.status, reply.json()["type"].clone())
        };
        assert_eq!(ask(&listed).await, (409, json!("urn:eim:problem:not-granted")));
        assert_eq!(ask(&unlisted).await, (409, json!("urn:eim:problem:owner-unknown")));
        let plan =
            json!({ "name": "n", "target": { "filter": { "eids": [listed.eid()] } }, "plan": { "operations": [own] } });
        let made = world.post("/api/v1/campaigns", plan).await.json()["id"].as_str().unwrap().to_owned();
        let grant = json!({ "owner": id, "grantee": "default", "actions": ["disable"] });
        assert_eq!(world.send_as(&owner, "POST", "/api/v1/grants", grant).await.status, 201);
        assert_eq!(ask(&listed).await.0, 202);
        assert_eq!(world.get(&format!("/api/v1/campaigns/{made}")).await["state"], "draft");
    });
}

#[test]
fn the_way_to_an_owners_server_needs_its_grant_too() {
    each_store(async |world: &mut World| {
        let (owner, id) = confirmed_owner(world).await;
        let mut device = world.device(1).await;
        let operations = format!("/api/v1/euiccs/{}/operations", device.eid());
        let refused = async |body: Value| world.post(&operations, body).await.problem(409)["type"].clone();
        let set = json!({ "psmo": [{ "setDefaultDpAddress": { "defaultDpAddress": "SMDP.acme.example" } }] });
        assert_eq!(refused(set.clone()).await, "urn:eim:problem:not-granted");
        for address in ["smdp.acme.example:8443", "smdp.acme.example:443"] {
            let set = json!({ "psmo": [{ "setDefaultDpAddress": { "defaultDpAddress": address } }] });
            assert_eq!(refused(set).await, "urn:eim:problem:not-granted", "{address}");
        }
        for address in ["smdp.acme.example.", "https://smdp.acme.example", "x@smdp.acme.example", " smdp.acme.example"]
        {
            let set = json!({ "psmo": [{ "setDefaultDpAddress": { "defaultDpAddress": address } }] });
            assert_eq!(refused(set).await, "urn:eim:problem:owner-unknown", "{address}");
        }
        let immediate = json!({ "psmo": [{ "configureImmediateEnable": {
            "immediateEnableFlag": true, "defaultSmdpAddress": "smdp.acme.example" } }] });
        assert_eq!(refused(immediate).await, "urn:eim:problem:not-granted");
        let immediate = json!({ "psmo": [{ "configureImmediateEnable": { "immediateEnableFlag": true } }] });
        assert_eq!(refused(immediate).await, "urn:eim:problem:owner-unknown", "which one is it?");
        let download = json!({ "profileDownload": { "defaultSmdp": true } });
        assert_eq!(refused(download.clone()).await, "urn:eim:problem:owner-unknown", "which one is it?");
        let grant = json!({ "owner": id, "grantee": "default", "actions": ["download"] });
        let grant = world.send_as(&owner, "POST", "/api/v1/grants", grant).await.json();
        assert_eq!(world.post(&operations, set).await.status, 202);
        world.queue(&device.eid(), json!({ "euiccData": { "tags": ["81"] } })).await;
        device.session().await;
        assert_eq!(world.post(&operations, download.clone()).await.status, 202);
        let revoke = format!("/api/v1/grants/{}/revoke", grant["id"].as_str().unwrap());
        assert_eq!(status(world, &owner, "POST", &revoke, Value::Null).await, 200);
        assert_eq!(refused(download).await, "urn:eim:problem:not-granted");
        // A pool leads there as well, and the dry run says so.
        let rest = json!({ "owner": id, "grantee": "default", "actions": ["enable", "disable"] });
        assert_eq!(world.send_as(&owner, "POST", "/api/v1/grants", rest).await.status, 201);
        let pool = world.post("/api/v1/pools", json!({ "name": "acme" })).await;
        assert_eq!(pool.status, 201, "{}", pool.text());
        let codes = format!("/api/v1/pools/{}/codes", pool.json()["id"].as_str().unwrap());
        let import = world.post(&codes, json!({ "codes": ["LPA:1$smdp.acme.example$A-1"] })).await;
        assert!(import.status < 300, "{}", import.text());
        world.list(&mut device).await;
        let path = format!("/api/v1/euiccs/{}/switches?dryRun=true", device.eid());
        let plan = world.post(&path, json!({ "to": { "pool": "acme" }, "waive": ["fallback"] })).await.json();
        let grants: Vec<&Value> =
            plan["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "grant").collect();
        assert_eq!(grants[0]["result"], "failed", "{plan}");
        assert!(grants[0]["message"].as_str().unwrap().contains("download"), "{plan}");
        let decisions = world.send(Role::Admin, "GET", "/api/v1/decisions", &[], "").await.json();
        let last = decisions["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["outcome"], "rehearsed", "{last}");
    });
}

#[test]
fn a_switch_under_a_grant_is_recorded_with_it() {
    each_store(async |world: &mut World| {
        let (owner, id) = confirmed_owner(world).await;
        let device = world.listed_device(1).await;
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let grant = json!({ "owner": id, "grantee": "default", "actions": ["enable", "disable"] });
        let grant = world.send_as(&owner, "POST", "/api/v1/grants", grant).await.json();
        let switch = json!({ "to": { "iccid": device.iccid(2) }, "waive": ["fallback"] });
        let deleting = json!({ "to": { "iccid": device.iccid(2) }, "waive": ["fallback"], "deleteOld": "afterProof" });
        assert_eq!(world.post(&path, deleting).await.pointers(409), ["/checks/grant"], "deleting is not granted");
        let policy = json!({ "serviceProvider": "simulated operator", "deleteWhenDisabled": true });
        assert_eq!(world.send_as(&owner, "POST", "/api/v1/owner-policies", policy).await.status, 201);
        let plan = world.post(&format!("{path}?dryRun=true"), switch.clone()).await;
        assert!(plan.text().contains("has not granted that, so it stays"), "{}", plan.text());
        assert_eq!(world.post(&path, switch).await.status, 202);
        let decisions = world.send(Role::Admin, "GET", "/api/v1/decisions", &[], "").await.json();
        let last = decisions["items"].as_array().unwrap().last().unwrap().clone();
        let authority = last["authority"].as_str().unwrap();
        assert!(authority.contains(grant["id"].as_str().unwrap()), "{last}");
    });
}

#[test]
fn what_a_campaign_begins_under_a_grant_says_so_for_each_device() {
    each_store(async |world: &mut World| {
        let (owner, id) = confirmed_owner(world).await;
        let grant = json!({ "owner": id, "grantee": "default", "actions": ["enable", "disable"] });
        let grant = world.send_as(&owner, "POST", "/api/v1/grants", grant).await.json()["id"].clone();
        for number in [1, 2] {
            let device = world.listed_device(number).await;
            let plan = match number {
                1 => json!({ "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } }),
                _ => json!({ "operations": [device.enable(2, false)] }),
            };
            let body = json!({ "name": "n", "target": { "filter": { "eids": [device.eid()] } }, "plan": plan, "approval": "none" });
            let campaign =
                world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], body.to_string()).await.json()["id"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            for verb in ["submit", "start"] {
                let path = format!("/api/v1/campaigns/{campaign}/{verb}");
                assert_eq!(world.post(&path, Value::Null).await.status, 200, "{verb}");
            }
            world.advance(TimeDelta::seconds(3)).await;
            let events = world.get(&format!("/api/v1/euiccs/{}/events", device.eid())).await;
            let mut events = events["items"].as_array().unwrap().iter();
            let created = events.find(|event| event["type"] == "switchCreated").expect("it began");
            assert_eq!(created["grants"], json!([grant]), "{created}");
        }
    });
}

#[test]
fn every_change_is_recorded_with_who_asked_and_what_came_of_it() {
    each_store(async |world: &mut World| {
        let admin = world.tenant("ours").await;
        let (viewer_id, viewer) = key(world, &admin, json!({ "name": "looker", "role": "viewer" })).await;
        assert_eq!(status(world, &viewer, "POST", "/api/v1/euiccs", json!({ "eid": "1" })).await, 403);
        assert_eq!(status(world, &admin, "POST", "/api/v1/euiccs", json!({ "eid": "SECRET" })).await, 422);
        let eid = "89049032000000000000000000000163";
        assert_eq!(status(world, &admin, "POST", "/api/v1/euiccs", json!({ "eid": eid })).await, 201);
        assert_eq!(status(world, &admin, "GET", "/api/v1/euiccs", Value::Null).await, 200);
        let shown = world.send_as(&admin, "GET", "/api/v1/decisions", Value::Null).await;
        assert!(!shown.text().contains("SECRET") && !shown.text().contains("eimk_"), "no values of a request");
        let decisions = shown.json()["items"].as_array().unwrap().clone();
        let of = |index: usize, name: &str| decisions[index][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(decisions.len(), 4, "reading is not recorded: {decisions:?}");
        let action = "POST /api/v1/euiccs";
        assert_eq!((of(1, "action"), of(1, "keyId"), of(1, "outcome")), (action.into(), viewer_id, "refused".into()));
        assert_eq!((of(1, "authority"), of(1, "reason")), ("role viewer".into(), "forbidden".into()));
        assert_eq!((of(2, "outcome"), of(2, "reason")), ("refused".into(), "invalid-value: /eid".into()));
        assert_eq!((of(3, "outcome"), of(3, "subject")), ("done".into(), format!("/api/v1/euiccs/{eid}")));
        assert_eq!(of(3, "keyName"), "first");
    });
}

#[test]
fn only_whoever_runs_the_server_makes_tenants() {
    each_store(async |world: &mut World| {
        let admin = world.tenant("ours").await;
        let make = async |body: Value| world.send(Role::Admin, "POST", "/api/v1/tenants", &[], body.to_string()).await;
        assert_eq!(make(json!({ "name": "ours" })).await.problem(409)["type"], "urn:eim:problem:tenant-exists");
        for name in ["", "Caps", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(make(json!({ "name": name })).await.pointers(422), ["/name"], "{name:?}");
        }
        assert_eq!(make(json!({ "name": "z", "colour": 1 })).await.pointers(422), ["/colour"]);
        let shown = world.send(Role::Admin, "GET", "/api/v1/tenants", &[], "").await.json();
        let names: Vec<&str> = shown["items"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["default", "ours"]);
        assert_eq!(status(world, &admin, "GET", "/api/v1/tenants/ours", Value::Null).await, 403);
        assert_eq!(world.send(Role::Operator, "GET", "/api/v1/tenants", &[], "").await.status, 403);
        let unknown = world.send(Role::Admin, "GET", "/api/v1/api-keys?tenant=nobody", &[], "").await;
        assert_eq!(unknown.status, 404);
    });
}
