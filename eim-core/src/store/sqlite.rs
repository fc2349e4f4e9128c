//! SQLite: one writer thread that commits what waits together, and a few reader threads.

use super::stream::StreamPosition;
use super::workers::{Job, Pool, Reply};
use super::{MigrationNumber, StoreError};
use diesel::Connection as _;
use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::path::Path;

#[path = "shared/mod.rs"]
pub(super) mod shared;

/// What the shared transactions run on.
pub(super) type Connection = SqliteConnection;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const READERS: usize = 2;
/// How many waiting transactions are committed together.
const GROUP: usize = 64;

/// A SQLite file. One process at a time writes it.
pub(super) struct Sqlite {
    writer: Pool<Connection>,
    readers: Pool<Connection>,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_str().ok_or_else(|| StoreError::Url("a SQLite path must be UTF-8".to_owned()))?.to_owned();
        let writer = vec![connect(&path)?];
        let readers = (0..READERS).map(|_| connect(&path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            writer: Pool::start("sqlite-writer", writer, write_in_groups)?,
            readers: Pool::start("sqlite-reader", readers, |conn, job, _| {
                job(conn).into_iter().for_each(|reply| reply(None))
            })?,
        })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(name, body).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // A savepoint of its own, so that a failure undoes this transaction and not its neighbours in the group.
        self.writer.run(name, move |conn| conn.transaction(|conn| body(conn))).await
    }

    pub(super) async fn migrate(&self, contracting: bool) -> Result<Vec<String>, StoreError> {
        self.writer.run_alone(move |conn| run_migrations(conn, contracting)).await
    }

    pub(super) async fn unknown_migrations(&self) -> Result<Vec<MigrationNumber>, StoreError> {
        self.readers.run_alone(unknown).await
    }

    pub(super) async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.readers.run_alone(|conn| names(pending(conn, false)?)).await
    }
}

fn connect(path: &str) -> Result<Connection, StoreError> {
    let open = |message: String| StoreError::Open(format!("{path}: {message}"));
    let mut conn = SqliteConnection::establish(path).map_err(|error| open(error.to_string()))?;
    conn.batch_execute(
        "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA cache_size = -8000; PRAGMA wal_autocheckpoint = 2000;",
    )
    .map_err(|error| open(error.to_string()))?;
    Ok(conn)
}

/// Runs the job and all that wait behind it in one transaction, and tells the callers after its commit.
fn write_in_groups(conn: &mut Connection, first: Job<Connection>, next: &mut dyn FnMut() -> Option<Job<Connection>>) {
    let mut replies: Vec<Reply> = Vec::new();
    let committed = conn.immediate_transaction::<_, diesel::result::Error, _>(|conn| {
        let mut job = Some(first);
        while let Some(run) = job.take() {
            replies.extend(run(conn));
            if replies.len() < GROUP {
                job = next();
            }
        }
        Ok(())
    });
    let failure = committed.err().map(|error| error.to_string());
    for reply in replies {
        reply(failure.as_deref());
    }
}

/// One transaction writes at a time, so events are committed in the order of their numbers, and all have the number 0 for
/// their transaction.
pub(super) fn horizon(_: &mut Connection) -> Result<i64, StoreError> {
    Ok(1)
}

/// A position behind all events.
pub(super) fn stream_end(conn: &mut Connection) -> Result<StreamPosition, StoreError> {
    use super::schema::events;
    use diesel::{QueryDsl, RunQueryDsl};
    let last: Option<i64> = events::table.select(diesel::dsl::max(events::seq)).first(conn)?;
    Ok(StreamPosition { xid: 0, seq: last.unwrap_or_default() })
}

type Pending = Vec<Box<dyn Migration<diesel::sqlite::Sqlite>>>;

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Migration(error.to_string())
}

/// The migrations that are missing, of those that contract the schema or of those that do not.
fn pending(conn: &mut Connection, contracting: bool) -> Result<Pending, StoreError> {
    let mut pending = conn.pending_migrations(MIGRATIONS).map_err(failed)?;
    pending.retain(|migration| MigrationNumber::of(&migration.name().version()).contracts() == contracting);
    Ok(pending)
}

fn names(pending: Pending) -> Result<Vec<String>, StoreError> {
    Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
}

fn run_migrations(conn: &mut Connection, contracting: bool) -> Result<Vec<String>, StoreError> {
    MigrationNumber::refuse_contracted(&unknown(conn)?)?;
    let mut run = Vec::new();
    for migration in pending(conn, contracting)? {
        run.push(conn.run_migration(migration.as_ref()).map_err(failed)?.to_string());
    }
    Ok(run)
}

fn unknown(conn: &mut Connection) -> Result<Vec<MigrationNumber>, StoreError> {
    let known: Pending = MIGRATIONS.migrations().map_err(failed)?;
    let mut run = conn.applied_migrations().map_err(failed)?;
    run.retain(|version| known.iter().all(|migration| migration.name().version() != *version));
    Ok(run.iter().map(MigrationNumber::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::RunQueryDsl;
    use diesel::dsl::sql;
    use diesel::sql_types::Integer;

    #[test]
    fn statements_are_planned_once_whatever_is_bound_to_them() {
        let mut conn = SqliteConnection::establish(":memory:").unwrap();
        let stable: i32 =
            diesel::select(sql::<Integer>("sqlite_compileoption_used('ENABLE_QPSG')")).get_result(&mut conn).unwrap();
        assert_eq!(stable, 1, "SQLite is built with what .cargo/config.toml says");
    }
}
