//! PostgreSQL: a few threads with a connection each.

use super::stream::StreamPosition;
use super::workers::{Job, Pool, Reply};
use super::{MigrationNumber, StoreError};
use diesel::migration::{Migration, MigrationSource};
use diesel::sql_types::BigInt;
use diesel::{Connection as _, RunQueryDsl as _};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::cell::Cell;

#[path = "shared/mod.rs"]
pub(super) mod shared;

/// What the shared transactions run on.
pub(super) type Connection = AsyncConnectionWrapper<AsyncPgConnection>;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/postgres");
/// How often a transaction that met another one is run again.
const ATTEMPTS: usize = 5;

/// A PostgreSQL database.
pub(super) struct Postgres {
    pool: Pool<Link>,
}

/// A connection that is made again after it broke.
pub(super) struct Link {
    url: String,
    conn: Option<Connection>,
}

impl Postgres {
    pub(super) fn open(url: &str, connections: usize) -> Result<Self, StoreError> {
        let links = (0..connections.max(1)).map(|_| Link { url: url.to_owned(), conn: None }).collect();
        let pool = Pool::start("postgres", links, |link: &mut Link, job: Job<Link>, _| {
            job(link).into_iter().for_each(|reply: Reply| reply(None));
        })?;
        Ok(Self { pool })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.pool.run(name, move |link| link.with_again(|conn, _| body(conn))).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.pool
            .run(name, move |link| {
                link.with_again(|conn, may_be_committed| {
                    let mut run = || {
                        conn.transaction(|conn| {
                            may_be_committed.set(false);
                            let done = body(conn);
                            may_be_committed.set(done.is_ok());
                            done
                        })
                    };
                    for _ in 1..ATTEMPTS {
                        match run() {
                            Err(StoreError::Transaction { source, .. }) if met_another(&source) => {}
                            done => return done,
                        }
                    }
                    run()
                })
            })
            .await
    }

    pub(super) async fn migrate(&self, contracting: bool) -> Result<Vec<String>, StoreError> {
        self.pool.run_alone(move |link| link.with(|conn| run_migrations(conn, contracting))).await
    }

    pub(super) async fn unknown_migrations(&self) -> Result<Vec<MigrationNumber>, StoreError> {
        self.pool.run_alone(|link| link.with(unknown)).await
    }

    pub(super) async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.pool.run_alone(|link| link.with(|conn| names(pending(conn, false)?))).await
    }
}

impl Link {
    /// Runs the body on the connection, making it first where there is none, and drops it when it broke.
    fn with<T>(&mut self, body: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.conn.is_none() {
            // The address holds a password, so the cause is told without it.
            let conn = Connection::establish(&self.url)
                .map_err(|error| StoreError::Open(error.to_string().replace(&self.url, "postgres")))?;
            self.conn = Some(conn);
        }
        let Some(conn) = self.conn.as_mut() else { return Err(StoreError::Closed) };
        let done = body(conn);
        if let Err(StoreError::Transaction { source, .. }) = &done
            && broke(source)
        {
            self.conn = None;
        }
        done
    }

    /// The same, once more on a new connection where the one at hand broke before anything could be committed: one that was ended
    /// while it lay idle, as by a failover, shows that only when it is used.
    fn with_again<T>(
        &mut self,
        body: impl Fn(&mut Connection, &Cell<bool>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let may_be_committed = Cell::new(false);
        let was_used = self.conn.is_some();
        let done = self.with(|conn| body(conn, &may_be_committed));
        if done.is_err() && was_used && self.conn.is_none() && !may_be_committed.get() {
            return self.with(|conn| body(conn, &may_be_committed));
        }
        done
    }
}

fn met_another(error: &diesel::result::Error) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(_, information) => information.message().contains("deadlock"),
        _ => false,
    }
}

fn broke(error: &diesel::result::Error) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};
    match error {
        Error::BrokenTransactionManager
        | Error::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => true,
        Error::DatabaseError(DatabaseErrorKind::Unknown, information) => {
            let message = information.message();
            message.contains("closed") || message.contains("terminat") || message.contains("communicating")
        }
        Error::RollbackErrorOnCommit { commit_error, .. } => broke(commit_error),
        _ => false,
    }
}

/// Transactions with a number below this one have ended: what they wrote is visible to a statement that begins now, and
/// nothing will be added to it. A transaction that is open anywhere on the server holds it back.
pub(super) fn horizon(conn: &mut Connection) -> Result<i64, StoreError> {
    let xmin = diesel::dsl::sql::<diesel::sql_types::BigInt>("pg_snapshot_xmin(pg_current_snapshot())::text::bigint");
    Ok(diesel::select(xmin).get_result(conn)?)
}

/// A position behind all events whose transactions have ended.
pub(super) fn stream_end(conn: &mut Connection) -> Result<StreamPosition, StoreError> {
    Ok(StreamPosition { xid: horizon(conn)? - 1, seq: i64::MAX })
}

type Pending = Vec<Box<dyn Migration<diesel::pg::Pg>>>;

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

/// What whoever migrates holds meanwhile, so that a second one waits and finds nothing left to do. The number means nothing; any other program
/// in the same database that takes it only waits.
const MIGRATING: i64 = 0x65_69_6d_6d_69_67;

fn run_migrations(conn: &mut Connection, contracting: bool) -> Result<Vec<String>, StoreError> {
    diesel::sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(MIGRATING).execute(conn)?;
    let run = run_missing(conn, contracting);
    let unlocked = diesel::sql_query("SELECT pg_advisory_unlock($1)").bind::<BigInt, _>(MIGRATING).execute(conn);
    let run = run?;
    unlocked?;
    Ok(run)
}

fn run_missing(conn: &mut Connection, contracting: bool) -> Result<Vec<String>, StoreError> {
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
