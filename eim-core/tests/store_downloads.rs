//! Download sessions, notifications on their way, and job rows: one contract on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod store_support;

use eim_core::domain::{
    Changes, Der, DownloadSession, Event, Kind, NewNotification, NewOperation, NotificationState, Origin, Phase,
    SessionFacts,
};
use eim_core::ids::{Eid, OperationId, RspAddress, SeqNumber, TransactionId};
use eim_core::jobs::KINDS;
use eim_core::store::{JobEnd, JobLease, Leased, NotificationFilter, ResultKeys, Saved, Store};
use serde_json::json;
use std::sync::Arc;
use store_support::{euicc, on_each_backend};

const NOW: i64 = 1_767_225_600_000;
const JOB: &str = KINDS[0];
const SMDP: &str = "smdp.example";

fn id(number: u8) -> OperationId {
    OperationId::new(NOW, [number; 10])
}

fn address(text: &str) -> RspAddress {
    text.parse().unwrap()
}

async fn registered(store: &Store, number: u32) -> Eid {
    let euicc = euicc(number);
    let eid = euicc.eid;
    store.insert_euicc(euicc, Event::new("test", json!({})), None, NOW).await.unwrap();
    eid
}

fn notification(number: u8, to: &str) -> NewNotification {
    NewNotification {
        id: id(number),
        identity: vec![number; 32],
        seq_number: SeqNumber::new(i64::from(number)),
        event: "install".to_owned(),
        iccid: None,
        address: address(to),
        octets: vec![0x30, 0x01, number],
    }
}

async fn save(store: &Store, eid: Eid, changes: Changes, now: i64) {
    let version = store.euicc(eid).await.unwrap().unwrap().0.version;
    assert_eq!(store.save_decision(eid, version, Arc::new(changes), now).await.unwrap(), Saved::Done);
}

async fn arrive(store: &Store, eid: Eid, notifications: Vec<NewNotification>, now: i64) {
    save(store, eid, Changes { notifications, ..Changes::default() }, now).await;
}

async fn due(store: &Store, now: i64) -> Vec<i64> {
    let due = store.due_notifications(SMDP, now, 100).await.unwrap();
    due.iter().map(|notification| notification.seq_number.value()).collect()
}

async fn jobs(store: &Store, now: i64) -> Vec<String> {
    store.due_jobs(&KINDS, now, 100).await.unwrap().into_iter().map(|job| job.key).collect()
}

async fn lease(store: &Store, owner: &str, now: i64) -> JobLease {
    match store.lease_job(JOB, SMDP, owner, now, now + 1_000).await.unwrap() {
        Leased::Yes(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_is_found_by_its_transaction_and_belongs_to_one_euicc() {
    on_each_backend(async |store| {
        let (one, two) = (registered(&store, 1).await, registered(&store, 2).await);
        let transaction = TransactionId::from_octets(&[7; 16]).unwrap();
        let session = |operation, server: &str| DownloadSession {
            seq: 0,
            operation,
            transaction_id: transaction.clone(),
            address: address(server),
            phase: Phase::Initiated,
            facts: SessionFacts { server_signed1: Der(vec![0x30, 0x00]), ..SessionFacts::default() },
            created_at: NOW,
            touched_at: NOW,
        };
        let operation = NewOperation {
            id: id(1),
            kind: Kind::ProfileDownload,
            origin: Origin::Operator,
            purpose: None,
            subject: None,
            request: json!({ "profileDownload": { "defaultSmdp": true, "indirect": true } }),
            label: None,
            not_before: None,
            valid_until: None,
            secret: Some(vec![1, 2, 3]),
            overridden: vec![],
        };
        store.enqueue(one, operation, Event::new("test", json!({})), None, NOW).await.unwrap();
        save(&store, one, Changes { sessions: vec![session(id(1), "a.example")], ..Changes::default() }, NOW).await;
        save(&store, two, Changes { sessions: vec![session(id(2), "b.example")], ..Changes::default() }, NOW).await;
        let mut eids = store.eids_of_session(&transaction).await.unwrap();
        eids.sort_unstable();
        assert_eq!(eids, [one, two]);

        let keys = ResultKeys { sessions: vec![transaction.clone()], ..ResultKeys::default() };
        let (snapshot, _) = store.result_snapshot(one, keys.clone(), NOW).await.unwrap().unwrap();
        let [found] = snapshot.sessions.as_slice() else { panic!("{:?}", snapshot.sessions) };
        assert_eq!(found.address, address("a.example"));
        // The operation that a session serves comes with it.
        assert_eq!(snapshot.operation(id(1)).unwrap().secret.as_deref(), Some(&[1, 2, 3][..]));
        let ended = DownloadSession { phase: Phase::Ended, touched_at: NOW + 1, ..found.clone() };
        save(&store, one, Changes { sessions: vec![ended.clone()], ..Changes::default() }, NOW).await;
        let (snapshot, _) = store.result_snapshot(one, keys.clone(), NOW).await.unwrap().unwrap();
        assert_eq!(snapshot.sessions, [ended]);

        assert_eq!(store.forget_sessions(NOW + 1).await.unwrap(), 1);
        assert_eq!(store.eids_of_session(&transaction).await.unwrap(), [one]);
        // A device that starts session after session keeps the latest ones alone.
        for number in 0..40_u8 {
            let transaction_id = TransactionId::from_octets(&[number; 8]).unwrap();
            let session = DownloadSession { transaction_id, ..session(id(1), "a.example") };
            save(&store, one, Changes { sessions: vec![session], ..Changes::default() }, NOW).await;
        }
        let first = TransactionId::from_octets(&[0; 8]).unwrap();
        let last = TransactionId::from_octets(&[39; 8]).unwrap();
        assert!(store.eids_of_session(&first).await.unwrap().is_empty());
        assert_eq!(store.eids_of_session(&last).await.unwrap(), [one]);
    });
}

#[test]
fn a_notification_comes_with_a_job_and_is_kept_once() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        arrive(&store, eid, vec![notification(1, "SMDP.example"), notification(2, "other.example")], NOW).await;
        assert_eq!(jobs(&store, NOW).await, [SMDP, "other.example"]);
        arrive(&store, eid, vec![notification(1, SMDP)], NOW).await;
        assert_eq!(due(&store, NOW).await, [1]);
        assert_eq!(store.pending_notifications().await.unwrap(), 2);
        let [kept] = &store.due_notifications(SMDP, NOW, 9).await.unwrap()[..] else { panic!("one is due") };
        assert_eq!((kept.octets.as_slice(), kept.eid, kept.attempts), (&[0x30, 0x01, 1][..], eid, 0));

        store.end_notification(kept.seq, NotificationState::Delivered, None, NOW + 5).await.unwrap();
        assert!(due(&store, NOW).await.is_empty());
        // It is not sent again, though it arrives again.
        arrive(&store, eid, vec![notification(1, SMDP)], NOW).await;
        assert!(due(&store, NOW).await.is_empty());
        let filter = NotificationFilter { eid: Some(eid), state: None, address: None, after: 0, limit: 9 };
        let states: Vec<_> =
            store.notifications(filter).await.unwrap().iter().map(|notification| notification.state).collect();
        assert_eq!(states, [NotificationState::Delivered, NotificationState::Pending]);
        assert_eq!(store.forget_notifications(NOW + 5).await.unwrap(), 0);
        assert_eq!(store.forget_notifications(NOW + 6).await.unwrap(), 1);
    });
}

#[test]
fn one_that_is_not_taken_holds_up_the_later_ones_of_its_euicc_to_that_server_alone() {
    on_each_backend(async |store| {
        let (one, two) = (registered(&store, 1).await, registered(&store, 2).await);
        arrive(&store, one, vec![notification(1, SMDP), notification(2, SMDP), notification(3, "b.example")], NOW)
            .await;
        arrive(&store, two, vec![notification(4, SMDP)], NOW).await;
        let first = store.due_notifications(SMDP, NOW, 1).await.unwrap().remove(0);
        store.postpone_notification(first, "refused".to_owned(), NOW + 100).await.unwrap();
        assert_eq!(due(&store, NOW).await, [4]);
        assert_eq!(store.due_notifications("b.example", NOW, 9).await.unwrap().len(), 1);
        // One that arrives now waits behind those before it.
        arrive(&store, one, vec![notification(5, SMDP)], NOW + 1).await;
        assert_eq!(due(&store, NOW + 1).await, [4]);
        assert_eq!(due(&store, NOW + 100).await, [1, 2, 4, 5]);
        assert_eq!(store.next_notification(SMDP).await.unwrap(), Some(NOW));
        let first = store.due_notifications(SMDP, NOW + 100, 1).await.unwrap().remove(0);
        assert_eq!((first.attempts, first.last_error.as_deref()), (1, Some("refused")));
    });
}

#[test]
fn a_job_is_leased_to_one_and_not_lost_when_something_comes_meanwhile() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        arrive(&store, eid, vec![notification(1, SMDP)], NOW).await;
        let first = lease(&store, "one", NOW).await;
        assert!(matches!(store.lease_job(JOB, SMDP, "two", NOW, NOW + 1).await.unwrap(), Leased::No));
        assert!(jobs(&store, NOW).await.is_empty(), "nobody else is told of it");
        arrive(&store, eid, vec![notification(2, SMDP)], NOW).await;
        // The first one found nothing more, but something has come since it looked.
        assert!(store.finish_job(first, "one", JobEnd::Done, 0, NOW).await.unwrap());
        assert_eq!(jobs(&store, NOW).await, [SMDP]);
        let second = lease(&store, "one", NOW).await;
        assert!(!store.finish_job(second, "one", JobEnd::Done, 0, NOW).await.unwrap());
        assert!(jobs(&store, NOW + 1_000_000).await.is_empty(), "it is gone");
        assert!(matches!(store.lease_job(JOB, SMDP, "one", NOW, NOW + 1).await.unwrap(), Leased::No));
    });
}

#[test]
fn a_lease_that_ran_out_is_taken_over_and_the_first_holder_can_not_end_it() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        arrive(&store, eid, vec![notification(1, SMDP)], NOW).await;
        let lost = lease(&store, "dead", NOW).await;
        assert_eq!(jobs(&store, NOW + 1_001).await, [SMDP]);
        let taken = lease(&store, "alive", NOW + 1_001).await;
        assert!(!store.renew_job(lost.clone(), "dead", NOW + 9_000).await.unwrap());
        assert!(!store.finish_job(lost, "dead", JobEnd::Done, 0, NOW + 1_002).await.unwrap());
        assert!(store.renew_job(taken.clone(), "alive", NOW + 5_000).await.unwrap());
        let failed = JobEnd::Failed { run_at: NOW + 10_000, error: "unreachable".to_owned() };
        assert!(!store.finish_job(taken, "alive", failed, 500, NOW + 1_003).await.unwrap());
        let Leased::NotDue { run_at } = store.lease_job(JOB, SMDP, "x", NOW + 9_999, NOW + 10_999).await.unwrap()
        else {
            panic!("it waits");
        };
        assert_eq!(run_at, NOW + 10_000);
        // What arrives meanwhile does not make a server that can't be reached be asked earlier.
        arrive(&store, eid, vec![notification(2, SMDP)], NOW + 2_000).await;
        assert!(jobs(&store, NOW + 10_000).await.is_empty(), "whoever was told of it is expected to come");
        assert_eq!(jobs(&store, NOW + 10_500).await, [SMDP]);
        assert_eq!(lease(&store, "x", NOW + 10_500).await.attempts, 1);
    });
}

#[test]
fn a_job_that_was_handed_out_is_not_handed_out_again_for_a_while() {
    on_each_backend(async |store| {
        let eid = registered(&store, 1).await;
        arrive(&store, eid, vec![notification(1, SMDP)], NOW).await;
        let found = store.due_jobs(&KINDS, NOW, 9).await.unwrap();
        assert_eq!(found[0].kind, JOB);
        store.hand_out_jobs(found.clone(), NOW + 60_000).await.unwrap();
        assert!(jobs(&store, NOW + 59_999).await.is_empty());
        assert_eq!(jobs(&store, NOW + 60_000).await, [SMDP]);
        let taken = lease(&store, "one", NOW).await;
        let later = JobEnd::Later { run_at: NOW + 100 };
        assert!(!store.finish_job(taken, "one", later, 0, NOW).await.unwrap());
        assert!(jobs(&store, NOW + 99).await.is_empty());
        // Something new is told at once, unless the job waits because it failed.
        arrive(&store, eid, vec![notification(2, SMDP)], NOW + 1).await;
        assert_eq!(jobs(&store, NOW + 1).await, [SMDP]);
        // Whoever was told of the job as it was before was not told of what came since.
        store.hand_out_jobs(found, NOW + 90_000).await.unwrap();
        assert_eq!(jobs(&store, NOW + 1).await, [SMDP]);
    });
}
