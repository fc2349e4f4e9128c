//! Every POST is safe to repeat under its Idempotency-Key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Receiver, Reply, Role, World, each_store};
use eim_core::pki::{Curve, SigningKey};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What is not repeated here.
const NOT_HERE: [(&str, &str); 13] = [
    ("/campaigns/preview", "changes nothing"),
    ("/imports/euiccs", "takes no key: a line that was registered before is `exists`; see `bulk`"),
    ("/imports/manufacturing", "takes no key: a line that was registered before is `exists`; see `associations`"),
    ("/imports/operations", "answers line by line; see `bulk`"),
    ("/imports/portable", "takes no key: a device that was here before is `exists`; see `portable`"),
    ("/campaigns/{id}/clone", "see `campaigns`"),
    ("/key-rotations", "needs a second key; see `keys`"),
    ("/key-rotations/{id}/pause", "see `keys`"),
    ("/key-rotations/{id}/resume", "see `keys`"),
    ("/key-rotations/{id}/cancel", "see `keys`"),
    ("/key-rotations/{id}/close", "see `keys`"),
    ("/euiccs/{eid}/counter-recovery", "needs a lost counter; see `keys`"),
    ("/handovers/{id}/proofs", "needs another eIM; see `handover`"),
];

/// The requests that were repeated.
struct Repeated<'a> {
    world: &'a World,
    routes: BTreeSet<String>,
}

impl Repeated<'_> {
    async fn post(&self, bearer: &str, key: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let bearer = format!("Bearer {bearer}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        self.world.send(Role::Nobody, "POST", path, &headers, body).await
    }

    async fn listed(&self, list: &str) -> usize {
        let path = format!("/api/v1{list}?limit=1000");
        let reply = self.world.send(Role::Admin, "GET", &path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()["items"].as_array().unwrap().len()
    }

    /// Sends a request three times under one key: one effect, and the same answer but for what is shown once. Another body
    /// under the key is refused; where there is none, another request.
    async fn once(&mut self, bearer: &str, route: &str, path: &str, body: Value, other: Value) -> Value {
        let key = format!("{route} {}", self.routes.len());
        let path = format!("/api/v1{path}");
        let first = self.post(bearer, &key, &path, &body).await;
        assert!(matches!(first.status, 200..=202), "{path}: {} {}", first.status, first.text());
        for _ in 0..2 {
            let again = self.post(bearer, &key, &path, &body).await;
            assert_eq!(again.status, first.status, "{path}: {}", again.text());
            assert_eq!(again.header("location"), first.header("location"), "{path}");
            assert_eq!(lasting(&again), lasting(&first), "{path}");
        }
        let refused = match other {
            Value::Null => {
                let policy = json!({ "serviceProvider": "Somebody" });
                let admin = self.world.key(Role::Admin).unwrap();
                self.post(admin, &key, "/api/v1/owner-policies", &policy).await
            }
            other => self.post(bearer, &key, &path, &other).await,
        };
        assert_eq!(refused.problem(409)["type"], "urn:eim:problem:idempotency-key-taken", "{path}");
        self.routes.insert(route.to_owned());
        first.json()
    }

    /// The same for what makes something: one more is in the list. Gives its id.
    async fn made(&mut self, route: &str, path: &str, list: &str, body: Value, other: Value) -> String {
        let before = self.listed(list).await;
        let admin = self.world.key(Role::Admin).unwrap();
        let made = self.once(admin, route, path, body, other).await;
        assert_eq!(self.listed(list).await, before + 1, "{route}");
        made["id"].as_str().unwrap_or_default().to_owned()
    }

    async fn verb(&mut self, bearer: &str, id: &str, verb: &str) -> Value {
        let (route, path) = (format!("/campaigns/{{id}}/{verb}"), format!("/campaigns/{id}/{verb}"));
        self.once(bearer, &route, &path, json!({ "message": "why" }), json!({ "message": "else" })).await
    }
}

/// What lasts of an answer: not what is shown once, nor how far a delivery has come meanwhile.
fn lasting(reply: &Reply) -> Value {
    let mut shown = if reply.body.is_empty() { Value::Null } else { reply.json() };
    if let Some(members) = shown.as_object_mut() {
        let is_delivery = members.contains_key("webhookId");
        members.retain(|name, _| name != "key" && (!is_delivery || name == "id"));
        if members.contains_key("secret") || members.contains_key("url") {
            members.retain(|name, _| name != "replay" && name != "state");
        }
    }
    shown
}

/// A campaign with a wave for each device.
fn campaign(eids: &[String], approval: &str) -> Value {
    let waves: Vec<Value> = eids.iter().map(|_| json!({ "count": 1 })).collect();
    json!({
        "name": "to two",
        "target": { "filter": { "eids": eids } },
        "plan": { "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } },
        "waves": waves,
        "approval": approval,
    })
}

/// A campaign that was handed in, and started where it needs no approval.
async fn submitted(world: &World, body: Value) -> String {
    let reply = world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let verbs: &[&str] = if body["approval"] == "none" { &["submit", "start"] } else { &["submit"] };
    for verb in verbs {
        let reply = world.post(&format!("/api/v1/campaigns/{id}/{verb}"), Value::Null).await;
        assert_eq!(reply.status, 200, "{verb}: {}", reply.text());
    }
    world.advance(TimeDelta::seconds(3)).await;
    id
}

async fn campaigns(world: &World, repeated: &mut Repeated<'_>, approver: &str) {
    let admin = world.key(Role::Admin).unwrap();
    let mut eids = Vec::new();
    for index in 11..=14 {
        eids.push(world.listed_device(index).await.eid());
    }
    let mut other = campaign(&eids, "none");
    other["name"] = json!("other");
    let id = repeated.made("/campaigns", "/campaigns", "/campaigns", campaign(&eids, "none"), other).await;
    for (verb, state) in [("submit", "approved"), ("start", "running"), ("pause", "paused"), ("resume", "running")] {
        assert_eq!(repeated.verb(admin, &id, verb).await["state"], state, "{verb}");
        world.advance(TimeDelta::seconds(3)).await;
    }
    let path = format!("/api/v1/campaigns/{id}");
    assert_eq!(world.get(&path).await["wave"], 0);
    // Three requests under one key begin one wave, and another key begins the next one.
    repeated.verb(admin, &id, "nextWave").await;
    world.advance(TimeDelta::seconds(3)).await;
    let shown = world.get(&path).await;
    assert_eq!((&shown["wave"], &shown["totals"]["pending"]), (&json!(1), &json!(2)), "{shown}");
    assert_eq!(repeated.post(admin, "later", &format!("{path}/nextWave"), &Value::Null).await.status, 200);
    world.advance(TimeDelta::seconds(3)).await;
    assert_eq!(world.get(&path).await["wave"], 2);
    repeated.verb(admin, &id, "abort").await;
    // What was not delivered is withdrawn, so that the devices are free.
    world.advance(TimeDelta::seconds(3)).await;

    let id = submitted(world, campaign(&eids, "none")).await;
    assert_eq!(repeated.verb(admin, &id, "revert").await["state"], "reverting");
    for (verb, state) in [("approve", "approved"), ("deny", "denied")] {
        let id = submitted(world, campaign(&eids, "required")).await;
        assert_eq!(repeated.verb(approver, &id, verb).await["state"], state);
    }
    // A device without the profile is refused.
    let mut nowhere = campaign(&[world.listed_device(15).await.eid()], "none");
    nowhere["plan"]["switch"]["to"]["profile"]["name"] = json!("Nowhere");
    let id = submitted(world, nowhere).await;
    world.advance(TimeDelta::seconds(3)).await;
    let retried = repeated.verb(admin, &id, "retryFailed").await;
    assert_eq!(retried["totals"]["pending"], 1, "{retried}");
}

async fn devices(world: &World, repeated: &mut Repeated<'_>) {
    let admin = world.key(Role::Admin).unwrap();
    let new = world.device_of(world.pki.euicc(1).unwrap()).await;
    let body = world.registration(&new, true);
    let mut other = body.clone();
    other["label"] = json!("other");
    repeated.made("/euiccs", "/euiccs", "/euiccs", body, other).await;
    let path = format!("/euiccs/{}/associations", new.eid());
    let told = |token: i64| json!({ "associationToken": token });
    repeated.once(admin, "/euiccs/{eid}/associations", &path, told(5), told(6)).await;
    assert_eq!(world.events_of(&new.eid(), "associationRenewed").await.len(), 1);

    let mut device = world.listed_device(2).await;
    let path = format!("/euiccs/{}/operations", device.eid());
    let (list, data) = (json!({ "psmo": [{ "listProfileInfo": {} }] }), json!({ "euiccData": {} }));
    let id = repeated.made("/euiccs/{eid}/operations", &path, "/operations", list.clone(), data).await;
    let cancel = format!("/operations/{id}/cancel");
    let shown = repeated.once(admin, "/operations/{id}/cancel", &cancel, Value::Null, Value::Null).await;
    assert_eq!(shown["state"], "cancelled");
    assert_eq!(repeated.post(admin, "other", &format!("/api/v1{cancel}"), &Value::Null).await.status, 409);
    let id = world.queue(&device.eid(), list).await;
    device.fetch().await;
    let abandon = format!("/operations/{id}/abandon");
    let shown = repeated.once(admin, "/operations/{id}/abandon", &abandon, Value::Null, Value::Null).await;
    assert_eq!((&shown["state"], &shown["error"]["name"]), (&json!("cancelled"), &json!("abandoned")), "{shown}");
    for told in ["operationCancelled", "operationAbandoned"] {
        assert_eq!(world.events_of(&device.eid(), told).await.len(), 1, "{told}");
    }

    let device = world.listed_device(3).await;
    let path = format!("/euiccs/{}/switches", device.eid());
    let body =
        json!({ "to": { "iccid": device.iccid(2) }, "notBefore": "2026-06-01T00:00:00Z", "waive": ["fallback"] });
    let mut other = body.clone();
    other["label"] = json!("other");
    let id = repeated.made("/euiccs/{eid}/switches", &path, "/switches", body, other).await;
    let path = format!("/switches/{id}/cancel");
    let shown = repeated.once(admin, "/switches/{id}/cancel", &path, Value::Null, Value::Null).await;
    assert_eq!(shown["outcome"], "cancelled", "{shown}");
}

async fn rules_of_the_house(world: &World, repeated: &mut Repeated<'_>) {
    let admin = world.key(Role::Admin).unwrap();
    let named = |name: &str| json!({ "name": name });
    let policy = |name: &str| json!({ "serviceProvider": name });
    repeated.made("/owner-policies", "/owner-policies", "/owner-policies", policy("Acme"), policy("Other")).await;
    repeated.made("/tenants", "/tenants", "/tenants", named("theirs"), named("others")).await;
    let state = |name: &str| json!({ "name": name, "filter": { "tags": ["none"] }, "state": { "enabled": { "profile": { "name": "Two" } } } });
    let list = "/desired-states";
    repeated.made(list, list, list, state("one"), state("other")).await;
    let owner = |name: &str| json!({ "name": name, "serviceProviders": ["Nobody"] });
    let list = "/profile-owners";
    let owner = repeated.made(list, list, list, owner("Acme"), owner("Other")).await;
    let path = format!("/profile-owners/{owner}/confirm");
    repeated.once(admin, "/profile-owners/{id}/confirm", &path, Value::Null, Value::Null).await;
    let grant = |action: &str| json!({ "owner": owner, "grantee": "theirs", "actions": [action] });
    let grant = repeated.made("/grants", "/grants", "/grants", grant("enable"), grant("delete")).await;
    let path = format!("/grants/{grant}/revoke");
    repeated.once(admin, "/grants/{id}/revoke", &path, Value::Null, Value::Null).await;
    let path = format!("/profile-owners/{owner}/withdraw");
    repeated.once(admin, "/profile-owners/{id}/withdraw", &path, Value::Null, Value::Null).await;
    let key = |name: &str| json!({ "name": name, "role": "viewer" });
    let key = repeated.made("/api-keys", "/api-keys", "/api-keys", key("one"), key("other")).await;
    let path = format!("/api-keys/{key}/rotate");
    repeated.once(admin, "/api-keys/{id}/rotate", &path, json!({}), json!({ "overlapSeconds": 1 })).await;
    let path = format!("/api-keys/{key}/revoke");
    repeated.once(admin, "/api-keys/{id}/revoke", &path, Value::Null, Value::Null).await;

    let receiver = Receiver::start().await;
    receiver.answer(410);
    let webhook = |enabled: bool| json!({ "url": receiver.url(), "enabled": enabled });
    let id = repeated.made("/webhooks", "/webhooks", "/webhooks", webhook(false), webhook(true)).await;
    let path = format!("/webhooks/{id}/rotate-secret");
    repeated.once(admin, "/webhooks/{id}/rotate-secret", &path, json!({}), json!({ "overlapSeconds": 1 })).await;
    let path = format!("/webhooks/{id}/test");
    let test = repeated.once(admin, "/webhooks/{id}/test", &path, Value::Null, Value::Null).await;
    let delivery = format!("/webhook-deliveries/{}", test["id"].as_str().unwrap());
    let shown = format!("/api/v1{delivery}");
    world.until("nobody takes it", async || world.get(&shown).await["state"] == "dead").await;
    let route = "/webhook-deliveries/{id}/retry";
    repeated.once(admin, route, &format!("{delivery}/retry"), Value::Null, Value::Null).await;
    world.until("it was tried again", async || receiver.all().len() == 2).await;
    let span = |to: &str| json!({ "from": "2025-12-31T00:00:00Z", "to": to });
    let path = format!("/webhooks/{id}/replay");
    let (body, other) = (span("2026-01-01T00:00:00Z"), span("2025-12-31T12:00:00Z"));
    repeated.once(admin, "/webhooks/{id}/replay", &path, body, other).await;
    let rule = |name: &str| {
        json!({
            "name": name,
            "filter": { "tags": ["nobody"] },
            "when": { "foreignEim": {} },
            "then": [{ "webhook": { "id": id } }],
        })
    };
    repeated.made("/rules", "/rules", "/rules", rule("one"), rule("other")).await;
}

async fn handovers(world: &World, repeated: &mut Repeated<'_>) {
    let admin = world.key(Role::Admin).unwrap();
    let key = SigningKey::from_scalar(Curve::P256, &[7; 32]).unwrap().public_key_spki();
    let key = json!({ "eimPublicKey": STANDARD.encode(key) });
    let configuration = json!({ "eimId": "1.2.3", "counterValue": 0, "eimPublicKeyData": key });
    let mut device = world.listed_device(5).await;
    let eid = device.eid();
    let body = |own: &str| json!({ "configuration": configuration, "eids": [eid], "deleteOwn": own });
    let (list, never, after) = ("/handovers", body("never"), body("afterProof"));
    let id = repeated.made(list, list, list, after, never).await;
    world.advance(TimeDelta::zero()).await;
    device.session().await;
    world.advance(TimeDelta::zero()).await;
    let eids = json!({ "eids": [device.eid()] });
    for (verb, state) in [("pause", "paused"), ("resume", "running")] {
        let (route, path) = (format!("/handovers/{{id}}/{verb}"), format!("/handovers/{id}/{verb}"));
        assert_eq!(repeated.once(admin, &route, &path, Value::Null, Value::Null).await["state"], state);
    }
    let path = format!("/handovers/{id}/confirm");
    repeated.once(admin, "/handovers/{id}/confirm", &path, eids, json!({ "eids": [] })).await;
    assert_eq!(world.events_of(&device.eid(), "handoverProven").await.len(), 1);
    let path = format!("/handovers/{id}/cancel");
    let shown = repeated.once(admin, "/handovers/{id}/cancel", &path, Value::Null, Value::Null).await;
    assert_eq!(shown["state"], "cancelled", "{shown}");
    // The device has that eIM already, so adding it again fails.
    let id = world.send(Role::Admin, "POST", "/api/v1/handovers", &[], body("never").to_string()).await.json();
    let id = id["id"].as_str().unwrap().to_owned();
    world.advance(TimeDelta::zero()).await;
    device.session().await;
    world.advance(TimeDelta::zero()).await;
    let path = format!("/handovers/{id}/retryFailed");
    let shown = repeated.once(admin, "/handovers/{id}/retryFailed", &path, Value::Null, Value::Null).await;
    assert_eq!(shown["totals"], json!({ "queued": 1 }), "{shown}");
}

async fn pools(world: &World, repeated: &mut Repeated<'_>) {
    let admin = world.key(Role::Admin).unwrap();
    let named = |name: &str| json!({ "name": name });
    let pool = repeated.made("/pools", "/pools", "/pools", named("codes"), named("others")).await;
    let codes = |name: &str| json!({ "codes": [format!("1$smdp.example$CODE-{name}")] });
    let path = format!("/pools/{pool}/codes");
    let imported = repeated.once(admin, "/pools/{id}/codes", &path, codes("1"), codes("2")).await;
    assert_eq!(imported, json!({ "imported": 1, "knownAlready": 0, "free": 1 }));
    let pool = format!("/api/v1/pools/{pool}");
    assert_eq!(world.get(&pool).await["free"], 1);
    // Delivered and lost: nobody knows whether the SM-DP+ still has the profile for it.
    let mut device = world.listed_device(4).await;
    let switch = json!({ "to": { "pool": "codes" }, "waive": ["fallback"] });
    let reply = world.post(&format!("/api/v1/euiccs/{}/switches", device.eid()), switch).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    device.session().await;
    device.fetch().await;
    for _ in 0..12 {
        world.advance(TimeDelta::days(30)).await;
    }
    let spent = world.get(&format!("{pool}/codes?state=spent")).await["items"].clone();
    let path = format!("{path}/{}/release", spent[0]["id"].as_str().unwrap());
    let route = "/pools/{id}/codes/{code}/release";
    assert_eq!(repeated.once(admin, route, &path, Value::Null, Value::Null).await["free"], 1);
    assert_eq!(world.get(&pool).await["free"], 1);
}

#[test]
fn every_post_has_one_effect_under_its_idempotency_key() {
    each_store(async |world: &mut World| {
        let second = json!({ "name": "second", "role": "approver" }).to_string();
        let second = world.send(Role::Admin, "POST", "/api/v1/api-keys", &[], second).await.json();
        let mut repeated = Repeated { world, routes: BTreeSet::new() };
        devices(world, &mut repeated).await;
        campaigns(world, &mut repeated, second["key"].as_str().unwrap()).await;
        rules_of_the_house(world, &mut repeated).await;
        pools(world, &mut repeated).await;
        handovers(world, &mut repeated).await;

        let document = world.send(Role::Nobody, "GET", "/openapi.json", &[], "").await.json();
        let mut routes: BTreeSet<String> = BTreeSet::new();
        for (template, item) in document["paths"].as_object().unwrap() {
            let (Some(route), Some(post)) = (template.strip_prefix("/api/v1"), item.get("post")) else { continue };
            if NOT_HERE.iter().any(|(other, _)| *other == route) {
                continue;
            }
            let parameters = post["parameters"].as_array().cloned().unwrap_or_default();
            let named = parameters.iter().any(|one| one["name"] == "Idempotency-Key" && one["in"] == "header");
            assert!(named, "POST {route} does not name the header Idempotency-Key");
            routes.insert(route.to_owned());
        }
        assert_eq!(repeated.routes, routes, "every POST is repeated here, or NOT_HERE says why not");
    });
}
