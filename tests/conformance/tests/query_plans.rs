//! What a device asks for costs the same however many devices, operations and events there are: no statement on its way goes
//! through a table that grows with the fleet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use eim_conformance::{World, each_store, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
/// What every row of a tenant has in common, or very many.
const IN_COMMON: [&str; 5] = ["tenant_id", "state", "status", "kind", "event_type"];

/// What jobs do meanwhile may go through a table where it is said why.
const JOBS_MAY: [(&str, &str); 1] = [(
    "FROM ((handover_devices ",
    "devices of hand-overs that are under way, found by their state, which leaves out all that have ended",
)];

/// Whoever listens hears all connections of the process, so one test at a time has its servers.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    plan::tell_statements();
    guard
}

/// Statements that go through a table that grows, each with what it goes through.
fn walks(world: &World, statements: impl IntoIterator<Item = String>) -> BTreeMap<String, Vec<plan::Access>> {
    let is_small = |name: &str| SMALL.iter().any(|small| *small == name || name.starts_with(&format!("{small}_")));
    let mut found = BTreeMap::new();
    for statement in statements {
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

/// Fails with every statement that goes through a table that grows.
fn none_walks(world: &World, statements: impl IntoIterator<Item = String>, except: &[(&str, &str)]) {
    let walks = walks(world, statements);
    let plain = |statement: &str| statement.replace(['`', '"'], "");
    let told: Vec<String> = walks
        .iter()
        // Nothing is meant by an empty list.
        .filter(|(statement, _)| !plain(statement).ends_with("WHERE (1=0)"))
        .filter(|(statement, _)| except.iter().all(|(part, _)| !plain(statement).contains(part)))
        .map(|(statement, walked)| format!("{walked:?}\n  {statement}"))
        .collect();
    assert!(told.is_empty(), "on {:?}:\n{}", world.backend, told.join("\n"));
}

#[test]
fn no_statement_on_the_way_of_a_device_goes_through_a_table_that_grows() {
    let _alone = alone();
    each_store(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut device = world.traveller(&smdp, 1).await;
        plan::listen();
        world.go_the_way(&smdp, &mut device, 1).await;
        let statements = plan::heard();
        assert!(statements.len() > 40, "{statements:?}");
        none_walks(world, statements, &JOBS_MAY);
        smdp.stop().await;
    });
}

#[test]
fn a_statement_that_goes_through_a_table_is_found() {
    let _alone = alone();
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

/// What is prepared stays in the memory of a connection for as long as it lives: there must be no statement for each length of a list, and
/// none for each value.
#[test]
fn statements_are_prepared_once_whatever_is_in_them() {
    let _alone = alone();
    each_store(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut texts = 0;
        for index in 1..=3 {
            let mut device = world.traveller(&smdp, index).await;
            plan::listen();
            world.go_the_way(&smdp, &mut device, index).await;
            let prepared = plan::prepared();
            if index == 1 {
                let plain = |text: &String| text.replace(['`', '"'], "");
                let anew =
                    plan::heard().into_iter().filter(|text| !text.starts_with("SELECT") && !prepared.contains(text));
                // The upsert of jobs once for each change of the device's, and what is written in rows of several.
                let (jobs, several) = ("INSERT INTO jobs ", "), (");
                let anew: Vec<String> =
                    anew.filter(|text| !plain(text).starts_with(jobs) && !text.contains(several)).collect();
                assert!(anew.is_empty(), "prepared anew each time: {anew:#?}");
            }
            if index == 3 {
                assert!(prepared.len() <= texts + 10, "{} after {texts}", prepared.len());
            }
            texts = prepared.len();
        }
        let mut forms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for statement in plan::prepared() {
            forms.entry(plan::without_lengths(&statement)).or_default().insert(statement);
        }
        let several: Vec<_> = forms.values().filter(|forms| forms.len() > 1).collect();
        assert!(several.is_empty(), "{several:#?}");
        smdp.stop().await;
    });
}

/// When a device was seen, and how often it polls, is written once for many polls.
#[test]
fn polls_that_find_nothing_write_nothing_but_when_devices_were_seen_and_that_together() {
    let _alone = alone();
    each_store(async |world: &mut World| {
        let mut fleet = vec![world.listed_device(1).await, world.listed_device(2).await];
        for device in &mut fleet {
            device.session().await;
        }
        world.server().eim.flush_sightings().await.unwrap();
        plan::listen();
        for _ in 0..30 {
            for device in &mut fleet {
                assert!(device.poll().await.is_idle());
            }
        }
        let seen = world.now();
        world.server().eim.flush_sightings().await.unwrap();
        let counted = plan::counted();
        let of_sightings = |statement: &str| {
            let statement = statement.replace(['`', '"'], "");
            statement.starts_with("UPDATE euiccs SET last_seen_at")
        };
        let writes = counted.iter().filter(|(statement, _)| !statement.starts_with("SELECT"));
        // What a server does by itself every two seconds may fall in between.
        let sightings: usize = writes.filter(|(statement, _)| of_sightings(statement)).map(|(_, count)| count).sum();
        assert!(sightings <= 30, "{sightings} writes for 60 polls");
        let of_euiccs = ["euiccs ", "operations ", "events ", "profiles "];
        let others: Vec<&String> = counted
            .keys()
            .filter(|statement| !statement.starts_with("SELECT") && !of_sightings(statement))
            .filter(|statement| {
                let statement = statement.replace(['`', '"'], "");
                let table = |word: &str| statement.split_once(word).map_or("", |(_, rest)| rest).to_owned();
                let into = [table("INSERT INTO "), table("UPDATE "), table("DELETE FROM ")];
                statement.starts_with("INSERT") && of_euiccs.iter().any(|name| into[0].starts_with(name))
                    || statement.starts_with("DELETE") && of_euiccs.iter().any(|name| into[2].starts_with(name))
            })
            .collect();
        assert!(others.is_empty(), "{others:#?}");
        for device in &fleet {
            let shown = world.euicc(&device.eid()).await["lastSeenAt"].as_str().unwrap().to_owned();
            assert_eq!(shown.parse::<chrono::DateTime<chrono::Utc>>().unwrap(), seen);
        }
    });
}
