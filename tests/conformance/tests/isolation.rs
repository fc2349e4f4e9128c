//! Tenants see nothing of each other, whichever route they take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_conformance::{Device, Role, World, each_store};
use eim_core::pki::{Curve, SigningKey};
use serde_json::{Value, json};

/// What a key of one tenant gets from a route, when all names in the path and the body are those of another tenant's things.
enum Case {
    /// 404, as for something that does not exist. The body would be taken for the caller's own.
    Missing(Value),
    /// 200, and nothing of the other tenant in it.
    Own,
    /// The caller may make things of its own.
    Makes(Value),
    /// This status: 409 for what is one of a kind in the whole server, 422 for a name in the body, 403 for what is only for
    /// whoever runs the server.
    Refused(u16, Value),
}

/// What a tenant has.
struct Things {
    eid: String,
    operation: String,
    switch: String,
    pool: String,
    code: String,
    policy: String,
    owner: String,
    grant: String,
    key: String,
    webhook: String,
    campaign: String,
    rule: String,
    desired: String,
    rotation: String,
    handover: String,
}

/// A route that is not named here fails the test.
fn case(route: &str, things: &Things) -> Case {
    use Case::{Makes, Missing, Own, Refused};
    let list = json!({ "psmo": [{ "listProfileInfo": {} }] });
    match route {
        "GET /euiccs"
        | "GET /operations"
        | "GET /notifications"
        | "GET /switches"
        | "GET /campaigns"
        | "GET /desired-states"
        | "GET /owner-policies"
        | "GET /pools"
        | "GET /rules"
        | "GET /summary"
        | "GET /api-keys"
        | "GET /profile-owners"
        | "GET /grants"
        | "GET /decisions"
        | "GET /handovers"
        | "GET /exports/portable"
        | "GET /audit"
        | "GET /audit/checkpoints"
        | "GET /exports/audit"
        | "GET /eim"
        | "GET /eim/configuration"
        | "GET /events"
        | "GET /webhooks"
        | "GET /exports/euiccs"
        | "GET /exports/associations"
        | "GET /exports/operations"
        | "GET /signing-keys"
        | "GET /key-rotations" => Own,
        "GET /key-rotations/{id}"
        | "GET /key-rotations/{id}/devices"
        | "POST /key-rotations/{id}/pause"
        | "POST /key-rotations/{id}/resume"
        | "POST /key-rotations/{id}/cancel"
        | "POST /key-rotations/{id}/close"
        | "POST /euiccs/{eid}/counter-recovery" => Missing(Value::Null),
        "POST /key-rotations" => Refused(422, json!({ "filter": { "eids": [things.eid] } })),
        // A report on each line: it changes nothing of the other tenant.
        "POST /imports/manufacturing" | "POST /imports/euiccs" => Refused(200, json!({ "eid": things.eid })),
        // No portable export at all.
        "POST /imports/portable" => Refused(422, json!({ "eid": things.eid })),
        "POST /imports/operations" => Refused(200, json!({ "eid": things.eid, "euiccData": {} })),
        "GET /webhooks/{id}"
        | "DELETE /webhooks/{id}"
        | "GET /webhooks/{id}/deliveries"
        | "POST /webhooks/{id}/test"
        | "GET /webhook-deliveries/{id}"
        | "POST /webhook-deliveries/{id}/retry" => Missing(Value::Null),
        "GET /campaigns/{id}"
        | "GET /campaigns/{id}/devices"
        | "POST /campaigns/{id}/submit"
        | "POST /campaigns/{id}/approve"
        | "POST /campaigns/{id}/deny"
        | "POST /campaigns/{id}/start"
        | "POST /campaigns/{id}/pause"
        | "POST /campaigns/{id}/resume"
        | "POST /campaigns/{id}/nextWave"
        | "POST /campaigns/{id}/abort"
        | "POST /campaigns/{id}/revert"
        | "POST /campaigns/{id}/retryFailed"
        | "POST /campaigns/{id}/clone" => Missing(Value::Null),
        "GET /rules/{id}" | "DELETE /rules/{id}" | "GET /rules/{id}/firings" => Missing(Value::Null),
        "PATCH /rules/{id}" => Missing(json!({ "enabled": false })),
        "POST /rules" => Refused(422, rule(&things.webhook)),
        "POST /campaigns" | "POST /campaigns/preview" => Refused(422, campaign(&things.eid)),
        "GET /desired-states/{id}"
        | "GET /desired-states/{id}/devices"
        | "DELETE /desired-states/{id}"
        | "GET /euiccs/{eid}/desired-state"
        | "DELETE /euiccs/{eid}/desired-state" => Missing(Value::Null),
        "PATCH /desired-states/{id}" => Missing(json!({ "name": "stolen" })),
        "PUT /euiccs/{eid}/desired-state" => {
            Missing(json!({ "state": { "enabled": { "profile": { "name": "Two" } } } }))
        }
        "POST /desired-states" => Makes(desired()),
        "PATCH /webhooks/{id}" => Missing(json!({ "description": "stolen" })),
        "POST /webhooks/{id}/rotate-secret" => Missing(json!({})),
        "POST /webhooks/{id}/replay" => {
            Missing(json!({ "from": "2025-12-31T00:00:00Z", "until": "2026-01-01T00:00:00Z" }))
        }
        "POST /webhooks" => Makes(json!({ "url": "https://127.0.0.1:9/", "enabled": false })),
        "POST /euiccs" => Refused(409, json!({ "eid": things.eid })),
        "GET /euiccs/{eid}"
        | "GET /euiccs/{eid}/associations"
        | "GET /euiccs/{eid}/eim-configuration"
        | "GET /euiccs/{eid}/profiles"
        | "GET /euiccs/{eid}/events"
        | "GET /operations/{id}"
        | "GET /switches/{id}"
        | "GET /pools/{id}"
        | "GET /pools/{id}/codes"
        | "DELETE /owner-policies/{id}"
        | "POST /operations/{id}/cancel"
        | "POST /operations/{id}/abandon"
        | "POST /switches/{id}/cancel"
        | "POST /pools/{id}/codes/{code}/release"
        | "POST /api-keys/{id}/revoke"
        | "POST /grants/{id}/revoke"
        | "GET /handovers/{id}"
        | "GET /handovers/{id}/devices"
        | "GET /handovers/{id}/offer"
        | "POST /handovers/{id}/cancel"
        | "POST /handovers/{id}/pause"
        | "POST /handovers/{id}/resume"
        | "POST /handovers/{id}/retryFailed"
        | "GET /euiccs/{eid}/handover-proof" => Missing(Value::Null),
        "POST /handovers/{id}/proofs" => Missing(json!({ "proofs": [{}] })),
        "POST /handovers/{id}/confirm" => Missing(json!({ "eids": [things.eid] })),
        "POST /handovers" => Refused(422, handover(&things.eid)),
        "POST /euiccs/{eid}/associations" => Missing(json!({ "associationToken": 1 })),
        "PATCH /euiccs/{eid}" => Missing(json!({ "label": "stolen" })),
        "POST /euiccs/{eid}/operations" => Missing(list),
        "POST /euiccs/{eid}/switches" => Missing(json!({ "to": { "iccid": "89990000000000000015" } })),
        "POST /pools/{id}/codes" => Missing(json!({ "codes": ["LPA:1$smdp.example$STOLEN"] })),
        "POST /api-keys/{id}/rotate" => Missing(json!({})),
        "POST /pools" => Makes(json!({ "name": "codes" })),
        "POST /owner-policies" => Makes(json!({ "serviceProvider": "Mine" })),
        "POST /api-keys" => Makes(json!({ "name": "mine", "role": "viewer" })),
        "POST /profile-owners" => Makes(json!({ "name": "Mine", "serviceProviders": ["Mine"] })),
        "POST /grants" => Refused(422, json!({ "owner": things.owner, "grantee": "default", "actions": ["enable"] })),
        "GET /tenants" | "GET /tenants/{name}" => Refused(403, Value::Null),
        "POST /tenants" => Refused(403, json!({ "name": "mine" })),
        "POST /profile-owners/{id}/confirm" => Refused(403, Value::Null),
        "POST /profile-owners/{id}/withdraw" => Missing(Value::Null),
        _ => panic!("{route} has no case: say here what a key of another tenant gets"),
    }
}

/// The path with the other tenant's names in it.
fn path(template: &str, things: &Things) -> String {
    let id = match template.split('/').nth(1).unwrap() {
        "operations" => &things.operation,
        "switches" => &things.switch,
        "pools" => &things.pool,
        "webhooks" => &things.webhook,
        "campaigns" => &things.campaign,
        "rules" => &things.rule,
        "desired-states" => &things.desired,
        "key-rotations" => &things.rotation,
        "owner-policies" => &things.policy,
        "profile-owners" => &things.owner,
        "grants" => &things.grant,
        "api-keys" => &things.key,
        "handovers" => &things.handover,
        _ => &things.eid,
    };
    let named = template.replace("{eid}", &things.eid).replace("{code}", &things.code).replace("{name}", "default");
    format!("/api/v1{}", named.replace("{id}", id))
}

async fn made(world: &World, key: &str, path: &str, body: Value) -> String {
    let reply = world.send_as(key, "POST", path, body).await;
    assert!(matches!(reply.status, 201 | 202), "{path}: {}", reply.text());
    let reply = reply.json();
    reply.get("id").or_else(|| reply.get("eid")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn things(world: &World, key: &str, other: &str, device: &mut Device) -> Things {
    let eid = made(world, key, "/api/v1/euiccs", world.registration(device, true)).await;
    made(world, key, &format!("/api/v1/euiccs/{eid}/operations"), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
    device.session().await;
    let pool = made(world, key, "/api/v1/pools", json!({ "name": "codes" })).await;
    let codes = json!({ "codes": ["LPA:1$smdp.example$ONE"] });
    let reply = world.send_as(key, "POST", &format!("/api/v1/pools/{pool}/codes"), codes).await;
    assert!(reply.status < 300, "{}", reply.text());
    let codes = world.send_as(key, "GET", &format!("/api/v1/pools/{pool}/codes"), Value::Null).await.json();
    let owner = json!({ "name": "Acme", "serviceProviders": ["Acme"] });
    let owner = made(world, key, "/api/v1/profile-owners", owner).await;
    let webhook = json!({ "url": "https://127.0.0.1:9/", "enabled": false });
    let webhook = made(world, key, "/api/v1/webhooks", webhook).await;
    let grant = json!({ "owner": owner, "grantee": other, "actions": ["enable"] });
    // Of a device of its own, and called off at once: nothing is asked of the others.
    let handed = world.device_of(world.pki.euicc(9).unwrap()).await;
    let handed = made(world, key, "/api/v1/euiccs", world.registration(&handed, false)).await;
    let handover = made(world, key, "/api/v1/handovers", handover(&handed)).await;
    let reply = world.send_as(key, "POST", &format!("/api/v1/handovers/{handover}/cancel"), Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Things {
        handover,
        switch: made(
            world,
            key,
            &format!("/api/v1/euiccs/{eid}/switches"),
            json!({ "to": { "iccid": device.iccid(2) }, "notBefore": "2026-06-01T00:00:00Z", "waive": ["fallback"] }),
        )
        .await,
        operation: made(world, key, &format!("/api/v1/euiccs/{eid}/operations"), json!({ "euiccData": {} })).await,
        code: codes["items"][0]["id"].as_str().unwrap().to_owned(),
        pool,
        policy: made(world, key, "/api/v1/owner-policies", json!({ "serviceProvider": "Acme" })).await,
        grant: made(world, key, "/api/v1/grants", grant).await,
        owner,
        key: made(world, key, "/api/v1/api-keys", json!({ "name": "second", "role": "viewer" })).await,
        rule: made(world, key, "/api/v1/rules", rule(&webhook)).await,
        webhook,
        campaign: made(world, key, "/api/v1/campaigns", campaign(&eid)).await,
        desired: made(world, key, "/api/v1/desired-states", desired()).await,
        rotation: made(world, key, "/api/v1/key-rotations", json!({ "filter": { "eids": [eid] } })).await,
        eid,
    }
}

/// A rule that no device meets, and that names a webhook.
fn rule(webhook: &str) -> Value {
    json!({
        "name": "tell",
        "filter": { "tags": ["nobody"] },
        "when": { "foreignEim": {} },
        "then": [{ "webhook": { "id": webhook } }],
    })
}

/// A hand-over to an eIM that nobody is.
fn handover(eid: &str) -> Value {
    let key = SigningKey::from_scalar(Curve::P256, &[7; 32]).unwrap().public_key_spki();
    let key = json!({ "eimPublicKey": STANDARD.encode(key) });
    json!({ "configuration": { "eimId": "1.2.3", "counterValue": 0, "eimPublicKeyData": key }, "eids": [eid] })
}

/// What is wanted of every device, and nothing done about it.
fn desired() -> Value {
    json!({ "name": "all", "filter": { "all": true }, "state": { "enabled": { "profile": { "name": "Two" } } } })
}

fn campaign(eid: &str) -> Value {
    json!({
        "name": "list",
        "target": { "filter": { "eids": [eid] } },
        "plan": { "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] },
    })
}

/// Everything that a tenant can see.
async fn sight(world: &World, key: &str, things: &Things) -> Vec<String> {
    let mut seen = Vec::new();
    for path in [
        "/api/v1/euiccs".to_owned(),
        format!("/api/v1/euiccs/{}/events", things.eid),
        format!("/api/v1/euiccs/{}/profiles", things.eid),
        format!("/api/v1/euiccs/{}/associations", things.eid),
        "/api/v1/operations".to_owned(),
        "/api/v1/switches".to_owned(),
        "/api/v1/campaigns".to_owned(),
        "/api/v1/rules".to_owned(),
        "/api/v1/desired-states".to_owned(),
        "/api/v1/key-rotations".to_owned(),
        format!("/api/v1/euiccs/{}/desired-state", things.eid),
        "/api/v1/pools".to_owned(),
        "/api/v1/webhooks".to_owned(),
        "/api/v1/events".to_owned(),
        format!("/api/v1/pools/{}/codes", things.pool),
        "/api/v1/owner-policies".to_owned(),
        "/api/v1/api-keys".to_owned(),
        "/api/v1/profile-owners".to_owned(),
        "/api/v1/grants".to_owned(),
        "/api/v1/decisions".to_owned(),
        "/api/v1/handovers".to_owned(),
        format!("/api/v1/handovers/{}/devices", things.handover),
        "/api/v1/summary".to_owned(),
    ] {
        let reply = world.send_as(key, "GET", &path, Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        // Where the stream stands moves with every transaction of the server.
        let shown = reply.json();
        seen.push(shown.get("items").unwrap_or(&shown).to_string());
    }
    seen
}

#[test]
fn a_key_of_one_tenant_finds_and_changes_nothing_of_another_on_any_route() {
    each_store(async |world: &mut World| {
        let (ours, theirs) = (world.tenant("ours").await, world.tenant("theirs").await);
        world.tenant("third").await;
        let mut device = world.device_of(world.pki.euicc(1).unwrap()).await;
        let things = things(world, &ours, "third", &mut device).await;
        // On PostgreSQL the stream waits for whatever could still come before, transactions of others included.
        let told = async || {
            let events = world.send_as(&ours, "GET", "/api/v1/events", Value::Null).await.text();
            ["campaignCreated", "desiredStateCreated", "driftFound", "keyRotationCompleted"]
                .iter()
                .all(|told| events.contains(told))
        };
        world.advance(chrono::TimeDelta::zero()).await;
        world.until("the stream has told everything", told).await;
        let before = sight(world, &ours, &things).await;
        let document = world.send(Role::Nobody, "GET", "/openapi.json", &[], "").await.json();
        let mut walked = 0;
        for (template, item) in document["paths"].as_object().unwrap() {
            let Some(template) = template.strip_prefix("/api/v1") else { continue };
            for method in item.as_object().unwrap().keys() {
                let route = format!("{} {template}", method.to_uppercase());
                let (status, body) = match case(&route, &things) {
                    Case::Missing(body) => (404, body),
                    Case::Own => (200, Value::Null),
                    Case::Makes(body) => (201, body),
                    Case::Refused(status, body) => (status, body),
                };
                let path = path(template, &things);
                let reply = world.send_as(&theirs, &method.to_uppercase(), &path, body).await;
                assert_eq!(reply.status, status, "{route}: {}", reply.text());
                // What a tenant itself has asked is in its own audit log, with the names that it guessed.
                if status == 200 && method == "get" && route != "GET /exports/audit" {
                    let shown = reply.text();
                    for name in
                        [&things.eid, &things.operation, &things.switch, &things.pool, &things.owner, &things.handover]
                    {
                        assert!(!shown.contains(name.as_str()), "{route} shows {name}: {shown}");
                    }
                }
                walked += 1;
            }
        }
        assert!(walked > 40, "{walked}");
        assert_eq!(sight(world, &ours, &things).await, before, "nothing of the first tenant has changed");

        // What exists elsewhere can't be told from what exists nowhere, and what another has from what one has oneself.
        let of = async |eid: &str| world.send_as(&theirs, "GET", &format!("/api/v1/euiccs/{eid}"), Value::Null).await;
        let nowhere = "89049032000000000000000000009999";
        assert_eq!(of(&things.eid).await.text().replace(&things.eid, nowhere), of(nowhere).await.text());
        let again = json!({ "eid": things.eid });
        let own = world.send_as(&ours, "POST", "/api/v1/euiccs", again.clone()).await.problem(409);
        assert_eq!(world.send_as(&theirs, "POST", "/api/v1/euiccs", again).await.problem(409), own);
        for path in ["/api/v1/api-keys?tenant=ours", "/api/v1/grants?tenant=ours", "/api/v1/decisions?tenant=ours"] {
            assert_eq!(world.send_as(&theirs, "GET", path, Value::Null).await.status, 403, "{path}");
        }
    });
}

#[test]
fn devices_of_several_tenants_poll_side_by_side() {
    each_store(async |world: &mut World| {
        let (ours, theirs) = (world.tenant("ours").await, world.tenant("theirs").await);
        let mut devices = Vec::new();
        for (index, key) in [(1, &ours), (2, &theirs)] {
            let device = world.device_of(world.pki.euicc(index).unwrap()).await;
            made(world, key, "/api/v1/euiccs", world.registration(&device, true)).await;
            devices.push(device);
        }
        let mut third = world.device(3).await;
        for (device, key) in devices.iter_mut().zip([&ours, &theirs]) {
            let path = format!("/api/v1/euiccs/{}/operations", device.eid());
            let id = made(world, key, &path, json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            device.session().await;
            let shown = world.send_as(key, "GET", &format!("/api/v1/operations/{id}"), Value::Null).await.json();
            assert_eq!((&shown["state"], &shown["verified"]), (&json!("succeeded"), &json!(true)), "{shown}");
        }
        third.session().await;
        world.advance(chrono::TimeDelta::zero()).await;
        for (device, key) in devices.iter().zip([&ours, &theirs]) {
            let listed = world.send_as(key, "GET", "/api/v1/euiccs", Value::Null).await.json();
            let items = listed["items"].as_array().unwrap();
            assert_eq!(items.len(), 1, "{listed}");
            assert_eq!((&items[0]["eid"], &items[0]["state"]), (&json!(device.eid()), &json!("active")));
            assert!(items[0]["lastSeenAt"].is_string(), "{listed}");
            let summary = world.send_as(key, "GET", "/api/v1/summary", Value::Null).await.json();
            assert_eq!(summary["euiccs"], json!({ "active": 1 }), "a total counts the tenant's own rows");
        }
        let listed = world.get("/api/v1/euiccs").await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "whoever runs the server sees its own devices");
    });
}

#[test]
fn an_operation_that_expires_is_noted_at_its_own_tenant() {
    each_store(async |world: &mut World| {
        let ours = world.tenant("ours").await;
        let device = world.device_of(world.pki.euicc(1).unwrap()).await;
        let eid = made(world, &ours, "/api/v1/euiccs", world.registration(&device, true)).await;
        let until = (world.now() + chrono::TimeDelta::hours(1)).to_rfc3339();
        let body = json!({ "psmo": [{ "listProfileInfo": {} }], "validUntil": until });
        let id = made(world, &ours, &format!("/api/v1/euiccs/{eid}/operations"), body).await;
        world.advance(chrono::TimeDelta::hours(2)).await;
        let shown = world.send_as(&ours, "GET", &format!("/api/v1/operations/{id}"), Value::Null).await.json();
        assert_eq!(shown["state"], "expired");
        let events = world.send_as(&ours, "GET", &format!("/api/v1/euiccs/{eid}/events"), Value::Null).await.text();
        assert!(events.contains("operationExpired"), "{events}");
    });
}
