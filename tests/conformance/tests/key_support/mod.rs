//! What the tests about signing keys share.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use chrono::TimeDelta;
use eim_conformance::{Device, Reply, Role, World};
use eim_core::ids::KeyId;
use eim_core::pki::{Curve, SigningKey};
use eim_server::config::KeySource;
use eim_simulator::pki::seeded_key;
use serde_json::{Value, json};

pub fn key(label: &str) -> SigningKey {
    seeded_key(Curve::P256, 17, label).unwrap()
}

pub fn id_of(key: &SigningKey) -> String {
    KeyId::of_spki(&key.public_key_spki()).to_string()
}

pub fn pem(key: &SigningKey) -> String {
    key.to_pkcs8_pem().unwrap().to_string()
}

/// Starts the server anew with another key for new associations; the one from before stays loaded where that is wanted.
pub async fn change_key(world: &mut World, label: &str, with_old: bool) -> SigningKey {
    let new = key(label);
    let (path, old) = (world.file(label, &pem(&new)), world.data_dir().join("signing-key.pem"));
    world
        .restart_with(|config| {
            config.eim.signing_key = Some(path);
            config.eim.further_signing_keys = if with_old { vec![KeySource::File(old)] } else { vec![] };
        })
        .await;
    new
}

/// Starts the server anew with another key for new associations, a minute later; those from before stay loaded. Gives its name.
pub async fn add_key(world: &mut World, label: &str) -> String {
    world.advance(TimeDelta::minutes(1)).await;
    let new = key(label);
    let (path, first) = (world.file(label, &pem(&new)), world.data_dir().join("signing-key.pem"));
    world
        .restart_with(|config| {
            let before = config.eim.signing_key.replace(path).unwrap_or(first);
            config.eim.further_signing_keys.push(KeySource::File(before));
        })
        .await;
    id_of(&new)
}

/// A key that a device is not given, since more may have been signed with it than is known.
pub async fn is_left_out(world: &World, device: &mut Device, key: &str) {
    let before = signing_key(world, &device.eid()).await;
    let id = rotate(world, json!({ "filter": { "eids": [device.eid()] }, "to": key })).await;
    device.session().await;
    world.advance(TimeDelta::seconds(20)).await;
    assert_eq!(rotation(world, &id).await["state"], "completed");
    let left = listed(world, &id, "notReachable").await;
    assert_eq!(left.first().map(|it| &it["eid"]), Some(&json!(device.eid())), "{left:?}");
    assert!(left[0]["reason"].as_str().unwrap().contains("name a key that was made since"), "{left:?}");
    assert_eq!(signing_key(world, &device.eid()).await, before);
}

pub async fn signing_key(world: &World, eid: &str) -> String {
    world.euicc(eid).await["association"]["signingKey"].as_str().unwrap().to_owned()
}

pub async fn rotate(world: &World, body: Value) -> String {
    let reply = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/api/v1/key-rotations/{id}").as_str()));
    world.advance(TimeDelta::seconds(1)).await;
    world.advance(TimeDelta::seconds(1)).await;
    id
}

pub async fn rotation(world: &World, id: &str) -> Value {
    world.get(&format!("/api/v1/key-rotations/{id}")).await
}

pub async fn listed(world: &World, id: &str, state: &str) -> Vec<Value> {
    let path = format!("/api/v1/key-rotations/{id}/devices?state={state}");
    world.get(&path).await["items"].as_array().unwrap().clone()
}

pub async fn act(world: &World, id: &str, verb: &str) -> Reply {
    world.send(Role::Admin, "POST", &format!("/api/v1/key-rotations/{id}/{verb}"), &[], "").await
}

/// An operation that the device carries out, since it trusts what it is signed with.
pub async fn works(world: &World, device: &mut Device) -> Value {
    let id = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
    device.session().await;
    let operation = world.operation(&id).await;
    assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
    operation
}

/// Polls until the eIM has nothing more, as the device does over hours.
pub async fn settle(world: &World, device: &mut Device) {
    for _ in 0..6 {
        device.session().await;
        world.advance(TimeDelta::minutes(11)).await;
    }
}

/// Executes the package that waits; neither its result nor what the eUICC keeps of it can be had.
pub async fn lose_for_good(device: &mut Device) {
    device.ipa.behaviour.lose_result = true;
    device.poll().await;
    device.ipa.behaviour.lose_result = false;
    forget_results(device);
}

/// What the eUICC keeps of its results is gone.
pub fn forget_results(device: &mut Device) {
    let kept: Vec<i64> = device.euicc.stored_results().iter().map(|stored| stored.seq_number).collect();
    for number in kept {
        device.euicc.remove_notification(number);
    }
}

pub async fn abandon(world: &World, id: &str) -> Reply {
    world.post(&format!("/api/v1/operations/{id}/abandon"), Value::Null).await
}
