//! One contract for the store, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod store_support;

use eim_core::domain::changes::ProfileChanges;
use eim_core::domain::operation::Purpose;
use eim_core::domain::{
    Changes, Event, InstalledRules, Kind, NewOperation, OperationState, Origin, Profile, Received, ReceivedKind,
    ReceivedStatus,
};
use eim_core::ids::{CounterValue, Eid, EimTransactionId, Iccid, OperationId, SeqNumber, TenantId};
use eim_core::store::{Enqueued, EuiccFilter, IdempotencyKey, OperationFilter, ResultKeys, Saved, Store, StoredApiKey};
use serde_json::json;
use std::sync::Arc;
use store_support::{euicc, on_each_backend, on_postgres};

const NOW: i64 = 1_767_225_600_000;

fn id(number: u8) -> OperationId {
    OperationId::new(NOW, [number; 10])
}

fn operation(number: u8) -> NewOperation {
    NewOperation {
        id: id(number),
        kind: Kind::Psmo,
        origin: Origin::Operator,
        purpose: None,
        subject: None,
        request: json!({ "psmo": [{ "getRAT": {} }] }),
        label: Some("a label".to_owned()),
        not_before: None,
        valid_until: None,
        secret: None,
        overridden: vec![],
    }
}

fn event() -> Event {
    Event::new("test", json!({ "number": 1 }))
}

fn key(text: &str, fingerprint: &[u8]) -> IdempotencyKey {
    IdempotencyKey { key: text.to_owned(), fingerprint: fingerprint.to_vec() }
}

async fn registered(store: &Store, number: u32) -> Eid {
    let euicc = euicc(number);
    let eid = euicc.eid;
    assert_eq!(store.insert_euicc(euicc, event(), None, NOW).await.unwrap(), Enqueued::Done);
    eid
}

#[test]
fn of_many_servers_that_migrate_an_empty_database_at_once_one_does_and_the_others_wait() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(on_postgres(async |url| {
        let mut servers = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let store = Store::open(&url, 1).await.unwrap();
            servers.spawn(async move { store.migrate().await });
        }
        let runs: Vec<usize> = servers.join_all().await.into_iter().map(|run| run.unwrap().len()).collect();
        assert!(runs.iter().filter(|run| **run > 0).count() == 1 && runs.iter().any(|run| *run > 15), "{runs:?}");
    }));
}

#[test]
fn keeps_an_euicc_as_it_was_given() {
    on_each_backend(async |store| {
        let mut given = euicc(1);
        given.tags = vec!["a".to_owned(), "b".to_owned()];
        given.label = Some("meter \u{fc}".to_owned());
        given.euicc_certificate = Some(vec![0x30, 0x00]);
        given.capabilities = Some(json!({ "x": [1, 2] }));
        store.insert_euicc(given.clone(), event(), None, NOW).await.unwrap();
        assert_eq!(store.euicc(given.eid).await.unwrap(), Some((given.clone(), 0)));
        assert_eq!(store.insert_euicc(given, event(), None, NOW).await.unwrap(), Enqueued::Exists);
        assert_eq!(store.euicc(euicc(2).eid).await.unwrap(), None);
    });
}

#[test]
fn lists_by_tag_and_state_in_pages() {
    on_each_backend(async |store| {
        for number in 1..=5 {
            let mut euicc = euicc(number);
            if number % 2 == 1 {
                euicc.tags = vec!["odd".to_owned()];
            }
            store.insert_euicc(euicc, event(), None, NOW).await.unwrap();
        }
        let filter =
            |tag: Option<&str>, after, limit| EuiccFilter { tag: tag.map(str::to_owned), state: None, after, limit };
        let first = store.euiccs(filter(Some("odd"), 0, 2)).await.unwrap();
        assert_eq!(first.iter().map(|found| found.euicc.eid).collect::<Vec<_>>(), [euicc(1).eid, euicc(3).eid]);
        let second = store.euiccs(filter(Some("odd"), first[1].seq, 2)).await.unwrap();
        assert_eq!(second.iter().map(|found| found.euicc.eid).collect::<Vec<_>>(), [euicc(5).eid]);
        assert!(store.euiccs(filter(Some("none"), 0, 9)).await.unwrap().is_empty());
        let active = EuiccFilter { state: Some(eim_core::domain::EuiccState::Active), ..filter(None, 0, 9) };
        assert!(store.euiccs(active).await.unwrap().is_empty());
    });
}

#[test]
fn saves_a_decision_whole_or_not_at_all() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        store.enqueue(eid, operation(1), event(), None, NOW).await.unwrap();
        let snapshot = store.poll_snapshot(eid, NOW).await.unwrap().unwrap();
        let mut changed = snapshot.euicc.clone();
        changed.counter = CounterValue::try_from(7).unwrap();
        let mut delivered = snapshot.operations[0].clone();
        delivered.state = OperationState::Delivered;
        delivered.package = Some(vec![1, 2, 3]);
        delivered.counter = Some(changed.counter);
        delivered.eim_transaction_id = Some("A1B2".parse().unwrap());
        let profile = Profile {
            iccid: Iccid::from_raw_hex("98444738290120000010").unwrap(),
            enabled: Some(true),
            profile_class: Some(2),
            name: Some("n".to_owned()),
            service_provider: None,
            fallback: Some(false),
            aid: Some(vec![0xa0]),
            verified: true,
            updated_at: NOW,
            rules: Some(InstalledRules { ppr1: true, ppr2: false }),
            owner_mcc_mnc: Some("26201".to_owned()),
        };
        let changes = Arc::new(Changes {
            euicc: Some(changed.clone()),
            operations: vec![delivered.clone()],
            queue: vec![operation(2)],
            profiles: ProfileChanges { put: vec![profile.clone()], gone: vec![] },
            received: vec![],
            events: vec![event()],
            ..Changes::default()
        });
        let version = snapshot.euicc.version;
        assert_eq!(store.save_decision(eid, version, changes.clone(), NOW).await.unwrap(), Saved::Done);
        // The same decision, made on the state before: nothing of it is written.
        let again = Arc::new(Changes { queue: vec![operation(3)], ..(*changes).clone() });
        assert_eq!(store.save_decision(eid, version, again, NOW).await.unwrap(), Saved::Conflict);

        let after = store.poll_snapshot(eid, NOW).await.unwrap().unwrap();
        assert_eq!(after.euicc.version, version + 1);
        assert_eq!(after.euicc.counter, changed.counter);
        assert_eq!(after.operations.iter().map(|found| found.id).collect::<Vec<_>>(), [id(1), id(2)]);
        assert_eq!(after.operations[0], delivered);
        assert_eq!(store.profiles(eid).await.unwrap(), std::slice::from_ref(&profile));

        let gone =
            Changes { profiles: ProfileChanges { put: vec![], gone: vec![profile.iccid] }, ..Changes::default() };
        assert_eq!(store.save_decision(eid, version + 1, Arc::new(gone), NOW).await.unwrap(), Saved::Done);
        assert!(store.profiles(eid).await.unwrap().is_empty());
    });
}

#[test]
fn of_many_decisions_at_once_one_is_saved() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        let mut tasks = vec![];
        for number in 0..20_u8 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let changes = Changes { queue: vec![operation(number)], ..Changes::default() };
                store.save_decision(eid, 1, Arc::new(changes), NOW).await.unwrap()
            }));
        }
        let mut done = 0;
        for task in tasks {
            done += usize::from(task.await.unwrap() == Saved::Done);
        }
        assert_eq!(done, 1);
        assert_eq!(store.poll_snapshot(eid, NOW).await.unwrap().unwrap().operations.len(), 1);
    });
}

#[test]
fn shows_a_poll_what_is_due_in_order() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        let other = registered(&store, 2).await;
        for (number, not_before, valid_until) in
            [(1, Some(NOW + 10), None), (2, None, Some(NOW)), (3, None, None), (4, Some(NOW), Some(NOW + 1))]
        {
            let queued = NewOperation { not_before, valid_until, ..operation(number) };
            store.enqueue(eid, queued, event(), None, NOW).await.unwrap();
        }
        store.enqueue(other, operation(9), event(), None, NOW).await.unwrap();
        let due = store.poll_snapshot(eid, NOW).await.unwrap().unwrap().operations;
        assert_eq!(due.iter().map(|found| found.id).collect::<Vec<_>>(), [id(3), id(4)]);
    });
}

#[test]
fn shows_the_eims_own_questions_behind_a_long_queue() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        for number in 0..30 {
            store.enqueue(eid, operation(number), event(), None, NOW).await.unwrap();
        }
        let own = NewOperation { origin: Origin::Eim, purpose: Some(Purpose::Refresh), ..operation(99) };
        store.enqueue(eid, own, event(), None, NOW).await.unwrap();
        let seen = store.poll_snapshot(eid, NOW).await.unwrap().unwrap().operations;
        assert_eq!(seen.first().map(|found| found.id), Some(id(0)));
        assert!(seen.iter().any(|found| found.id == id(99)));
        assert!(seen.len() < 20);
    });
}

#[test]
fn expires_what_was_not_delivered_in_time() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        let until = NewOperation { valid_until: Some(NOW + 5), ..operation(1) };
        store.enqueue(eid, until, event(), None, NOW).await.unwrap();
        store.enqueue(eid, operation(2), event(), None, NOW).await.unwrap();
        assert_eq!(store.expire_operations(NOW + 4).await.unwrap().len(), 0);
        assert_eq!(store.expire_operations(NOW + 5).await.unwrap(), ["psmo"]);
        assert_eq!(store.expire_operations(NOW + 5).await.unwrap().len(), 0);
        let expired = store.operation(id(1)).await.unwrap().unwrap();
        assert_eq!((expired.state, expired.completed_at), (OperationState::Expired, Some(NOW + 5)));
        assert_eq!(store.operation(id(2)).await.unwrap().unwrap().state, OperationState::Queued);
    });
}

#[test]
fn an_idempotency_key_stands_for_one_request() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        let enqueue = async |number, fingerprint: &[u8]| {
            store.enqueue(eid, operation(number), event(), Some(key("k", fingerprint)), NOW).await.unwrap()
        };
        assert_eq!(enqueue(1, b"a").await, Enqueued::Done);
        assert_eq!(enqueue(2, b"a").await, Enqueued::Before { resource: id(1).to_string() });
        assert_eq!(enqueue(3, b"b").await, Enqueued::KeyTaken);
        assert!(store.operation(id(2)).await.unwrap().is_none());
        // A key of a request that came to nothing is free again: its transaction was not committed as a success.
        let unknown = euicc(77).eid;
        let refused = store.enqueue(unknown, operation(4), event(), Some(key("l", b"a")), NOW).await.unwrap();
        assert_eq!(refused, Enqueued::UnknownEuicc);
        let done = store.enqueue(eid, operation(5), event(), Some(key("l", b"a")), NOW).await.unwrap();
        assert_eq!(done, Enqueued::Done);
        assert_eq!(store.forget_idempotency_keys(NOW).await.unwrap(), 0);
        assert_eq!(store.forget_idempotency_keys(NOW + 1).await.unwrap(), 2);
        assert_eq!(enqueue(6, b"c").await, Enqueued::Done);
    });
}

#[test]
fn finds_what_a_result_names() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        store.enqueue(eid, operation(1), event(), None, NOW).await.unwrap();
        let mut ended = store.poll_snapshot(eid, NOW).await.unwrap().unwrap().operations.remove(0);
        let transaction: EimTransactionId = "0102".parse().unwrap();
        ended.state = OperationState::Succeeded;
        ended.eim_transaction_id = Some(transaction.clone());
        ended.counter = Some(CounterValue::try_from(5).unwrap());
        let held = Received {
            seq: 0,
            kind: ReceivedKind::PackageResult,
            seq_number: Some(SeqNumber::new(3)),
            identity: vec![7],
            raw: vec![9, 9],
            status: ReceivedStatus::Held,
            reason: Some("why".to_owned()),
            operation: Some(ended.id),
            at: NOW,
        };
        let changes = Changes { operations: vec![ended], received: vec![held.clone()], ..Changes::default() };
        store.save_decision(eid, 1, Arc::new(changes), NOW).await.unwrap();
        assert!(store.poll_snapshot(eid, NOW).await.unwrap().unwrap().operations.is_empty());
        assert_eq!(store.euicc(eid).await.unwrap().unwrap().1, 1);

        let by = async |keys: ResultKeys| store.result_snapshot(eid, keys, NOW).await.unwrap().unwrap();
        let (snapshot, before) =
            by(ResultKeys { transactions: vec![transaction.clone()], ..ResultKeys::default() }).await;
        assert_eq!(snapshot.operations.len(), 1);
        assert_eq!(snapshot.held.len(), 1);
        assert!(before.is_empty());
        let (snapshot, before) =
            by(ResultKeys { counters: vec![5], octets: vec![vec![9, 9]], ..ResultKeys::default() }).await;
        assert_eq!(snapshot.operations.len(), 1);
        assert_eq!(before, [Received { seq: before[0].seq, ..held.clone() }]);
        let (_, before) = by(ResultKeys { identities: vec![vec![7]], ..ResultKeys::default() }).await;
        assert_eq!(before.len(), 1);
        assert_eq!(store.eid_of_transaction(&transaction).await.unwrap(), Some(eid));
        assert_eq!(store.eid_of_transaction(&"FF".parse().unwrap()).await.unwrap(), None);

        // The same octets again, now believed: one row, changed.
        let believed = Received { status: ReceivedStatus::Verified, reason: None, ..held };
        let changes = Changes { received: vec![believed], ..Changes::default() };
        store.save_decision(eid, 2, Arc::new(changes), NOW).await.unwrap();
        let (snapshot, before) = by(ResultKeys { octets: vec![vec![9, 9]], ..ResultKeys::default() }).await;
        assert!(snapshot.held.is_empty());
        assert_eq!(before[0].status, ReceivedStatus::Verified);
    });
}

#[test]
fn keeps_a_bounded_number_of_what_is_not_believed() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        for number in 0..100_u8 {
            let refused = Received {
                seq: 0,
                kind: ReceivedKind::PackageResult,
                seq_number: None,
                identity: vec![number],
                raw: vec![number],
                status: ReceivedStatus::Refused,
                reason: None,
                operation: None,
                at: NOW,
            };
            let changes = Changes { received: vec![refused], ..Changes::default() };
            store.save_decision(eid, 1 + i64::from(number), Arc::new(changes), NOW).await.unwrap();
        }
        let keys = ResultKeys { octets: (0..100_u8).map(|number| vec![number]).collect(), ..ResultKeys::default() };
        let (_, before) = store.result_snapshot(eid, keys, NOW).await.unwrap().unwrap();
        assert_eq!(before.len(), 64);
        assert_eq!(before[0].raw, [36]);
    });
}

#[test]
fn keeps_a_bounded_number_of_events_that_nobody_proved() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        let noise = Event::new("stateChange", json!({}));
        for round in 0..11 {
            let changes = Changes { events: vec![noise.clone(); 100], ..Changes::default() };
            store.save_decision(eid, 1 + round, Arc::new(changes), NOW).await.unwrap();
        }
        let events = store.events(eid, 0, 2_000).await.unwrap();
        assert_eq!(events.len(), 1_001);
        assert_eq!(events[0].event_type, "test");
    });
}

#[test]
fn learns_the_poll_interval_from_visits() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        let hour = 3_600_000;
        for at in [NOW, NOW + 500, NOW + hour, NOW + hour + 1_000, NOW + 2 * hour] {
            store.record_sightings(vec![(eid, at), (euicc(9).eid, at)]).await.unwrap();
        }
        let (euicc, _) = store.euicc(eid).await.unwrap().unwrap();
        assert_eq!(euicc.last_seen_at, Some(NOW + 2 * hour));
        let interval = euicc.poll_interval_ms.unwrap();
        assert!((hour - 2_000..=hour).contains(&interval), "{interval}");
    });
}

#[test]
fn keeps_timelines_keys_and_depths() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        store.enqueue(eid, operation(1), event(), None, NOW).await.unwrap();
        let events = store.events(eid, 0, 10).await.unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].details["number"], 1);
        assert_eq!(store.events(eid, events[0].seq, 10).await.unwrap().len(), 1);

        let stored = StoredApiKey {
            id: "i".into(),
            name: "n".into(),
            role: "admin".into(),
            tenant: TenantId::DEFAULT,
            created_at: NOW,
            seq: 0,
            scopes: vec![],
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            secret_until: None,
        };
        store.insert_api_key(stored, vec![1; 32]).await.unwrap();
        assert_eq!(store.api_key(vec![1; 32]).await.unwrap().unwrap().name, "n");
        assert!(store.api_key(vec![2; 32]).await.unwrap().is_none());

        let depths = store.queue_depths().await.unwrap();
        assert_eq!((depths.len(), depths[0].depth, depths[0].oldest_at), (1, 1, Some(NOW)));
        let page =
            OperationFilter { eid: Some(eid), state: Some(OperationState::Queued), after: 0, newest: false, limit: 5 };
        assert_eq!(store.operations(page).await.unwrap().len(), 1);
    });
}

#[test]
fn migrates_once() {
    on_each_backend(async |store| {
        assert!(store.pending_migrations().await.unwrap().is_empty());
        assert!(store.migrate().await.unwrap().is_empty());
        store.ping().await.unwrap();
    });
}
