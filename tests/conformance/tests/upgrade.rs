//! Servers of one version on the schema of a newer one, and beside what its nodes write: the half of an upgrade during which both run
//! (docs/adr/0024). What a migration may do so that this holds is in `eim-core/tests/migrations.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{
    Backend, Binding, Device, Mode, PollOptions, Receiver, Role, World, each_store, round, run_with,
};
use eim_simulator::rsp::SmdpServer;
use serde_json::{Value, json};

/// The tables as this version knows them.
const SCHEMA: &str = include_str!("../../../eim-core/src/store/schema.rs");

fn tables() -> Vec<&'static str> {
    let headings = SCHEMA.lines().filter(|line| line.ends_with(") {") && line.starts_with("    "));
    let names = headings.filter_map(|line| line.trim().split_once(" (")).map(|(name, _)| name);
    let names: Vec<&str> =
        names.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')).collect();
    assert!(names.len() > 20 && names.contains(&"euiccs") && names.contains(&"operations"), "{names:?}");
    names
}

/// What a newer version may do to the schema: more columns in every table, with and without a default, more indices, a table that refers
/// to one. And the number that its migration leaves behind.
fn expansion() -> Vec<String> {
    let mut sql: Vec<String> = Vec::new();
    for table in tables() {
        sql.push(format!(
            "ALTER TABLE {table} ADD COLUMN later_note TEXT; \
             ALTER TABLE {table} ADD COLUMN later_count BIGINT NOT NULL DEFAULT 7; \
             CREATE INDEX {table}_by_later_count ON {table} (later_count);\n"
        ));
    }
    sql.push("CREATE TABLE later_visits (eid TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (eid, at))".to_owned());
    sql.push(ran("20991231000001"));
    sql
}

fn ran(number: &str) -> String {
    format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{number}');")
}

async fn started(world: &World, path: &str, body: Value) -> String {
    let reply = world.send(Role::Admin, "POST", path, &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    format!("{path}/{}", reply.json()["id"].as_str().unwrap())
}

/// A campaign, a rule and a desired state with these devices, to their ends.
async fn fleet_work(world: &World, fleet: &mut [Device], number: usize) {
    let tag = format!("round-{number}");
    for device in fleet.iter_mut() {
        world.patch(&device.eid(), json!({ "tags": [tag] })).await;
    }
    let rule = json!({
        "name": format!("rule {number}"),
        "when": { "stateChangeCause": ["local"] },
        "filter": { "tags": [tag] },
        "then": [{ "operations": [{ "psmo": [{ "getRAT": {} }] }] }],
    });
    let rule = started(world, "/api/v1/rules", rule).await;
    for device in fleet.iter_mut() {
        device.poll_with(&PollOptions::state_change(3)).await;
        device.session().await;
    }
    let fired = async || {
        world.advance(TimeDelta::seconds(3)).await;
        let firings = world.get(&format!("{rule}/firings")).await["items"].as_array().unwrap().clone();
        firings.len() == fleet.len() && firings.iter().all(|firing| firing["outcome"] == "done")
    };
    world.until("the rule fired", fired).await;
    for device in fleet.iter_mut() {
        device.session().await;
    }
    let campaign = json!({
        "name": format!("to one {number}"),
        "target": { "filter": { "tags": [tag] } },
        "plan": { "switch": { "to": { "profile": { "name": "One" } }, "waive": ["fallback"] } },
        "approval": "none",
    });
    let campaign = started(world, "/api/v1/campaigns", campaign).await;
    for verb in ["submit", "start"] {
        assert_eq!(world.post(&format!("{campaign}/{verb}"), Value::Null).await.status, 200);
    }
    for _ in 0..3 {
        world.advance(TimeDelta::seconds(3)).await;
        for device in fleet.iter_mut() {
            device.session().await;
        }
    }
    world.advance(TimeDelta::seconds(3)).await;
    assert_eq!(world.get(&campaign).await["state"], "completed");
    let state = json!({
        "name": format!("two {number}"),
        "filter": { "tags": [tag] },
        "state": { "enabled": { "profile": { "name": "Two" } } },
        "waive": ["fallback"],
        "enforce": true,
    });
    started(world, "/api/v1/desired-states", state).await;
    for _ in 0..3 {
        world.advance(TimeDelta::seconds(3)).await;
        for device in fleet.iter_mut() {
            device.session().await;
        }
    }
    for device in fleet.iter() {
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
    }
    // Nothing is left of them for the next time.
    world.patch(&fleet[0].eid(), json!({ "tags": [] })).await;
}

async fn everything(world: &World, smdp: &SmdpServer, index: u32) {
    let mut device = world.traveller(smdp, index).await;
    world.go_the_way(smdp, &mut device, index).await;
    fleet_work(world, std::slice::from_mut(&mut device), index as usize).await;
    round(&world.server().eim).await;
}

#[test]
fn a_server_works_on_while_a_newer_version_expands_the_schema_and_starts_on_it_anew() {
    each_store(async |world: &mut World| {
        let smdp = world.smdp().await;
        // Statements are prepared before the schema changes.
        everything(world, &smdp, 1).await;
        for statements in expansion() {
            world.sql(&statements).await;
        }
        everything(world, &smdp, 2).await;
        assert_eq!(world.send(Role::Nobody, "GET", "/readyz", &[], "").await.status, 200);
        // What the newer version writes in its own columns is left alone.
        world
            .sql("UPDATE euiccs SET later_count = 9, later_note = 'theirs'; UPDATE operations SET later_count = 9")
            .await;
        world.crash_and_restart().await;
        everything(world, &smdp, 3).await;
        world.sql("UPDATE euiccs SET later_count = 10 / (CASE WHEN EXISTS (SELECT 1 FROM euiccs WHERE later_note = 'theirs' AND later_count = 9) THEN 1 ELSE 0 END)").await;
        let report = eim_core::manage::audit::verify_audit(vec![], None, &world.server().eim).await.unwrap();
        assert!(report.is_good(), "{:?}", report.faults);
        smdp.stop().await;
    });
}

#[test]
fn a_server_is_not_ready_and_does_not_start_where_a_newer_version_took_away_what_it_needs() {
    each_store(async |world: &mut World| {
        world.sql(&ran("20991231900001")).await;
        let ready = world.send(Role::Nobody, "GET", "/readyz", &[], "").await;
        assert_eq!(ready.status, 503, "{}", ready.text());
        assert!(ready.text().contains("newer version"), "{}", ready.text());
        if world.backend == Backend::Postgres {
            let refused = format!("{:#}", world.try_node().await.err().expect("it must not start"));
            assert!(refused.contains("newer version") && refused.contains("20991231900001"), "{refused}");
        }
    });
}

#[test]
fn a_newer_server_waits_for_its_migrations_and_an_older_one_beside_it_goes_on() {
    run_with(
        &[Mode { backend: Backend::Postgres, broker: false }],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let mut device = world.listed_device(1).await;
            // As if this version had a migration more than the database.
            let last = "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)";
            world.sql(last).await;
            let missing = world.server().eim.store().pending_migrations().await.unwrap();
            assert_eq!(missing.len(), 1, "{missing:?}");
            let number = missing[0].split('_').next().unwrap().replace('-', "");
            let refused = format!("{:#}", world.try_node().await.err().expect("it must not start"));
            assert!(refused.contains("eim-server migrate"), "{refused}");
            let id = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
            world.sql(&ran(&number)).await;
            world.node().await.stop().await;
        },
    );
}

/// A row of a kind that only a newer version knows is left for it, however many there are.
#[test]
fn jobs_of_a_newer_version_hold_up_none_of_this_one() {
    run_with(
        &[Mode::EMBEDDED, Mode { backend: Backend::Postgres, broker: false }, Mode::PRODUCTION],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let insert: Vec<String> = (0..600)
                .map(|number| {
                    format!(
                        "INSERT INTO jobs (tenant_id, kind, key, version, attempts, run_at, handed_until, created_at) \
                     VALUES (1, 'ofANewerVersion', 'key-{number}', 0, 0, 1, 0, 1);"
                    )
                })
                .collect();
            world.sql(&insert.concat()).await;
            let receiver = Receiver::start().await;
            let body = json!({ "url": receiver.url(), "types": ["eim.operationQueued"] }).to_string();
            let reply = world.send(Role::Admin, "POST", "/api/v1/webhooks", &[], body).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            let device = world.listed_device(1).await;
            world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
            world.until("the webhook is called", async || !receiver.taken().is_empty()).await;
            // None of them was touched.
            world
            .sql(
                "UPDATE jobs SET version = 1 / (CASE WHEN (SELECT count(*) FROM jobs WHERE kind = 'ofANewerVersion' \
                 AND handed_until = 0 AND lease_until IS NULL AND attempts = 0) = 600 THEN 1 ELSE 0 END) \
                 WHERE kind = 'ofANewerVersion'",
            )
            .await;
        },
    );
}
