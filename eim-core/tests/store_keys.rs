//! Which key each eUICC trusts, in the store, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod store_support;

use eim_core::domain::Event;
use eim_core::ids::{EimId, KeyId};
use eim_core::store::keys::KnownKey;
use serde_json::json;
use store_support::{euicc, on_each_backend};

fn known(name: &str, eim_id: &str) -> KnownKey {
    KnownKey {
        id: KeyId::of_spki(name.as_bytes()),
        eim_id: eim_id.parse::<EimId>().unwrap(),
        public_key: name.as_bytes().to_vec(),
        first_seen_at: 5,
        withheld_at: None,
    }
}

#[test]
fn an_euicc_from_before_trusts_the_key_that_was_first_in_force() {
    on_each_backend(async |store| {
        let (first, second) = (known("first", "eim"), known("second", "eim"));
        let add = async |number| {
            let event = Event::new("registered", json!({}));
            store.insert_euicc(euicc(number), event, None, 1).await.unwrap();
        };
        let key_of = async |number| store.euicc(euicc(number).eid).await.unwrap().unwrap().0.signing_key;
        add(1).await;
        assert_eq!(key_of(1).await, None, "as a version wrote it that knew of one key");
        assert_eq!(store.record_keys(vec![first.clone()]).await.unwrap(), None);
        assert_eq!(key_of(1).await, Some(first.id));
        add(2).await;
        // Started with another key: those from before still trust the first one.
        assert_eq!(store.record_keys(vec![second.clone(), first.clone()]).await.unwrap(), None);
        assert_eq!((key_of(1).await, key_of(2).await), (Some(first.id), Some(first.id)));
        assert_eq!(store.key_usage().await.unwrap(), [(first.id, 2)]);
        assert_eq!(store.known_keys().await.unwrap(), [first.clone(), second], "each once, in order");
        let taken = known("first", "another eim");
        assert_eq!(store.record_keys(vec![taken]).await.unwrap(), Some(first.id), "a key has one eIM");
    });
}
