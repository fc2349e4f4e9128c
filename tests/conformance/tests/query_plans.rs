//! What a device asks for costs the same however many devices, operations and events there are: no statement on its way goes
//! through a table that grows with the fleet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{THIN_IPA, World, code_of, each_store, order, plan};
use eim_simulator::ipa::DownloadMode;
use serde_json::json;
use std::collections::BTreeMap;

/// Tables that hold a bounded number of rows, or few: limits keep tenants, keys, owners, policies and the like small.
const SMALL: [&str; 16] = [
    "tenants",
    "api_keys",
    "audit_chains",
    "keys",
    "signing_keys",
    "webhooks",
    "rules",
    "rule_readers",
    "desired_states",
    "owner_policies",
    "profile_owners",
    "grants",
    "key_rotations",
    "handovers",
    "__diesel_schema_migrations",
    // What SQLite calls a row without a table.
    "CONSTANT",
];
/// Statements of jobs that run beside the devices and are bounded otherwise: hand-overs look at the devices that are under way.
const OF_JOBS: [&str; 1] = ["handover_devices"];
/// What every row of a tenant has in common, or very many.
const IN_COMMON: [&str; 5] = ["tenant_id", "state", "status", "kind", "event_type"];

/// Statements that go through a table that grows, each with what it goes through.
fn walks(world: &World, statements: impl IntoIterator<Item = String>) -> BTreeMap<String, Vec<plan::Access>> {
    let is_small = |name: &str| SMALL.iter().any(|small| *small == name || name.starts_with(&format!("{small}_")));
    let mut found = BTreeMap::new();
    for statement in statements {
        let plain = statement.replace(['`', '"'], "");
        if OF_JOBS.iter().any(|table| plain.contains(&format!("FROM (({table} "))) {
            continue;
        }
        let walked: Vec<plan::Access> = world
            .accesses(&statement)
            .into_iter()
            .filter(|access| !is_small(&access.table) && !access.is_led_beyond(&IN_COMMON))
            .collect();
        if !walked.is_empty() {
            found.insert(statement, walked);
        }
    }
    found
}

#[test]
fn no_statement_on_the_way_of_a_device_goes_through_a_table_that_grows() {
    plan::tell_statements();
    each_store(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "INDIRECT", 1));
        let mut device = world.downloading_device(1, DownloadMode::Indirect, &THIN_IPA).await;
        world.list(&mut device).await;
        let eid = device.eid();
        plan::listen();
        // A poll with nothing to fetch, and one after a while.
        device.session().await;
        world.advance(TimeDelta::hours(1)).await;
        device.session().await;
        // A package, its delivery again, its result, and the answer to the operator.
        let id = world.queue(&eid, device.enable(2, true)).await;
        device.fetch().await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let id = world.queue(&eid, json!({ "euiccData": { "tags": ["81", "BF22"] } })).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        // A download through the eIM, and its notifications on their way to the SM-DP+.
        let id = world.download(&device, &code_of(&smdp, "INDIRECT"), json!({ "indirect": true })).await;
        device.session().await;
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        world.until("the SM-DP+ has its notifications", async || smdp.notifications().len() == 2).await;
        // A proven switch, and a cancelled operation.
        let body = json!({ "to": { "iccid": device.iccid(3) }, "waive": ["fallback"] });
        let switch = world.post(&format!("/api/v1/euiccs/{eid}/switches"), body).await;
        assert_eq!(switch.status, 202, "{}", switch.text());
        device.session().await;
        device.session().await;
        let statements = plan::heard();
        assert!(statements.len() > 40, "{statements:?}");
        let walks = walks(world, statements);
        let told: Vec<String> = walks.iter().map(|(statement, walked)| format!("{walked:?}\n  {statement}")).collect();
        assert!(told.is_empty(), "on {:?}:\n{}", world.backend, told.join("\n"));
        smdp.stop().await;
    });
}

#[test]
fn a_statement_that_goes_through_a_table_is_found() {
    each_store(async |world: &mut World| {
        let walked = |statement: &str| !walks(world, [statement.to_owned()]).is_empty();
        let place = if world.postgres_url().is_some() { "$1" } else { "?" };
        assert!(walked(&format!("SELECT id FROM operations WHERE label = {place}")));
        assert!(walked(&format!("SELECT id FROM operations WHERE tenant_id = {place} AND label = 'x'")));
        assert!(walked(&format!("SELECT count(*) FROM operations WHERE tenant_id = 1 AND state = {place}")));
        assert!(walked("SELECT count(*) FROM events"));
        assert!(!walked(&format!("SELECT id FROM operations WHERE tenant_id = 1 AND eid = {place}")));
        assert!(!walked("SELECT id FROM tenants"));
    });
}
