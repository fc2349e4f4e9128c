//! A PostgreSQL schema of its own for a world, dropped with it.

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// A fresh schema; `None`, said on standard error, when there is no PostgreSQL and none is required.
    pub(crate) fn create() -> Option<Self> {
        let server =
            std::env::var("EIM_TEST_POSTGRES_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".into());
        let name = format!("eim_conformance_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        match run(&server, format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")) {
            Ok(()) => Some(Self { server, name }),
            Err(error) if std::env::var("EIM_TEST_REQUIRE_SERVICES").is_ok_and(|value| value == "1") => {
                panic!("PostgreSQL is required and can't be reached: {error}")
            }
            Err(error) => {
                // Written past the test runner, which keeps what a passing test prints to itself.
                let _ = writeln!(std::io::stderr(), "SKIPPED on PostgreSQL, which can't be reached: {error}");
                None
            }
        }
    }

    /// The URL that sees this schema alone.
    pub(crate) fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-csearch_path%3D{}&application_name={}", self.server, self.name, self.name)
    }

    /// Ends every connection to it, as a failover does.
    pub(crate) fn end_connections(&self) {
        let end =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'", self.name);
        run(&self.server, end).unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        if let Err(error) = run(&self.server, format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name)) {
            eprintln!("the schema {} is left behind: {error}", self.name);
        }
    }
}

/// Runs statements on a thread of its own, since the blocking connection has a runtime inside.
pub(crate) fn run(url: &str, sql: String) -> Result<(), String> {
    let url = url.to_owned();
    let statements = move || {
        let mut conn =
            AsyncConnectionWrapper::<AsyncPgConnection>::establish(&url).map_err(|error| error.to_string())?;
        conn.batch_execute(&sql).map_err(|error| error.to_string())
    };
    std::thread::spawn(statements).join().unwrap_or_else(|_| Err("it broke off".to_owned()))
}
