//! Fresh stores on each backend.

use eim_core::domain::{Euicc, EuiccState, ResultPolicy};
use eim_core::ids::CounterValue;
use eim_core::store::{Store, StoreUrl};
use std::io::Write;

/// An eUICC that was just registered.
pub fn euicc(number: u32) -> Euicc {
    Euicc {
        eid: format!("890490320000000000000000{number:08}").parse().unwrap(),
        version: 1,
        label: None,
        tags: vec![],
        result_policy: ResultPolicy::Verified,
        state: EuiccState::Registered,
        counter: CounterValue::ZERO,
        association_token: None,
        eum_certificate: None,
        euicc_certificate: None,
        capabilities: None,
        last_seen_at: None,
        poll_interval_ms: None,
        r_plmn: None,
        state_change_cause: None,
        profiles_stale: true,
        profiles_listed_at: None,
        profiles_verified: false,
        data_refreshed_at: None,
        list_facts: Default::default(),
        certificates_asked_at: None,
        warnings: vec![],
        created_at: 1,
        rules_authorisation_table: None,
        eim_id: None,
        signing_key: None,
        key_facts: Default::default(),
        own_association: eim_core::domain::OwnAssociation::default(),
    }
}

/// Runs the test on a fresh SQLite file, and on a fresh schema of PostgreSQL where there is one.
pub fn on_each_backend(test: impl AsyncFn(Store)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let store = Store::open(&StoreUrl::Sqlite(folder.path().join("eim.db")), 1).await.unwrap();
        store.migrate().await.unwrap();
        test(store).await;
    });
    runtime.block_on(on_postgres(async |url| {
        let store = Store::open(&url, 4).await.unwrap();
        store.migrate().await.unwrap();
        test(store).await;
    }));
}

/// Runs the test on a fresh schema of PostgreSQL, if there is one, with nothing in it.
pub async fn on_postgres(test: impl AsyncFn(StoreUrl)) {
    let url =
        std::env::var("EIM_TEST_POSTGRES_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into());
    let schema = format!("eim_store_{}_{:?}", std::process::id(), std::thread::current().id())
        .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        .to_lowercase();
    // The blocking connection has a runtime inside.
    let (server, name) = (url.clone(), schema.clone());
    let created = tokio::task::spawn_blocking(move || postgres::create_schema(&server, &name)).await.unwrap();
    match created {
        Ok(()) => {
            let separator = if url.contains('?') { '&' } else { '?' };
            test(format!("{url}{separator}options=-csearch_path%3D{schema}").parse().unwrap()).await;
            tokio::task::spawn_blocking(move || postgres::drop_schema(&url, &schema)).await.unwrap().unwrap();
        }
        Err(error) if std::env::var("EIM_TEST_REQUIRE_SERVICES").is_ok_and(|value| value == "1") => {
            panic!("PostgreSQL is required and can't be reached: {error}");
        }
        Err(error) => {
            // Written past the test runner, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED on PostgreSQL, which can't be reached: {error}");
        }
    }
}

mod postgres {
    use diesel::Connection;
    use diesel::connection::SimpleConnection;
    use diesel_async::AsyncPgConnection;
    use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

    fn run(url: &str, sql: &str) -> Result<(), String> {
        let mut conn =
            AsyncConnectionWrapper::<AsyncPgConnection>::establish(url).map_err(|error| error.to_string())?;
        conn.batch_execute(sql).map_err(|error| error.to_string())
    }

    pub fn create_schema(url: &str, schema: &str) -> Result<(), String> {
        run(url, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"))
    }

    pub fn drop_schema(url: &str, schema: &str) -> Result<(), String> {
        run(url, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))
    }
}
