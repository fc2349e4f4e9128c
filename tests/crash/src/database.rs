//! The database of a run: a schema of its own where it is PostgreSQL, and questions to either.

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, SqliteConnection};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A number that no other part of this process has.
pub(crate) fn number() -> u32 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// What a question answers: a row is a text.
#[derive(Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Asks a SQLite file. `sql` selects one text, named `line`.
///
/// # Errors
/// When the file or the question is not taken.
pub fn ask_sqlite(path: &Path, sql: &str) -> anyhow::Result<Vec<String>> {
    let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
    let rows: Vec<Row> = diesel::RunQueryDsl::load(diesel::sql_query(sql), &mut conn)?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}

/// Changes a SQLite file past the server; `false` when there is nothing yet that it changes.
///
/// # Errors
/// When the file or the statement is not taken.
pub fn tell_sqlite(path: &Path, sql: &str) -> anyhow::Result<bool> {
    let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
    conn.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = OFF")?;
    let changed = diesel::RunQueryDsl::execute(diesel::sql_query(sql), &mut conn)?;
    Ok(changed > 0)
}

/// A schema of PostgreSQL.
#[derive(Debug)]
pub struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When PostgreSQL can't be reached.
    pub async fn create(server: &str) -> anyhow::Result<Self> {
        let name = format!("eim_crash_{}_{}", std::process::id(), number());
        let schema = Self { server: server.to_owned(), name };
        schema.run(&format!("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", schema.name)).await?;
        Ok(schema)
    }

    /// Where a server finds it. Its connections can be told from others by their application_name.
    #[must_use]
    pub fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}application_name={1}&options=-csearch_path%3D{1}", self.server, self.name)
    }

    async fn run(&self, sql: &str) -> anyhow::Result<()> {
        Ok(AsyncPgConnection::establish(&self.server).await?.batch_execute(sql).await?)
    }

    /// Ends the connections of servers to it.
    ///
    /// # Errors
    /// When PostgreSQL can't be reached.
    pub async fn end_connections(&self) -> anyhow::Result<()> {
        let name = &self.name;
        self.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"))
            .await
    }

    /// Asks. `sql` selects one text, named `line`.
    ///
    /// # Errors
    /// When PostgreSQL can't be reached or the question is not taken.
    pub async fn ask(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let mut conn = AsyncPgConnection::establish(&self.server).await?;
        conn.batch_execute(&format!("SET search_path = {}", self.name)).await?;
        let rows: Vec<Row> = diesel_async::RunQueryDsl::load(diesel::sql_query(sql), &mut conn).await?;
        Ok(rows.into_iter().map(|row| row.line).collect())
    }

    /// Removes it.
    ///
    /// # Errors
    /// When PostgreSQL can't be reached.
    pub async fn remove(&self) -> anyhow::Result<()> {
        self.end_connections().await?;
        self.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name)).await
    }
}
