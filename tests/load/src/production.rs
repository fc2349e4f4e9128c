//! A schema and a queue prefix of one's own, for servers as they run in production.

use anyhow::Context;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

/// The kinds of jobs that have queues.
const JOBS: [&str; 2] = ["forwardNotifications", "webhook"];

/// PostgreSQL and RabbitMQ, and what is ours there.
#[derive(Debug, Clone)]
pub struct Shared {
    postgres: String,
    /// URL of the broker.
    pub amqp: String,
    /// The schema and the prefix of queues.
    pub name: String,
}

impl Shared {
    /// Names that no other run has.
    #[must_use]
    pub fn new(postgres: &str, amqp: &str) -> Self {
        let name = format!("eim_load_{}", std::process::id());
        Self { postgres: postgres.to_owned(), amqp: amqp.to_owned(), name }
    }

    /// Makes the schema.
    ///
    /// # Errors
    /// When PostgreSQL can't be reached.
    pub async fn create(&self) -> anyhow::Result<()> {
        self.run(&format!("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", self.name)).await
    }

    /// Where servers find the schema.
    #[must_use]
    pub fn store_url(&self) -> String {
        let separator = if self.postgres.contains('?') { '&' } else { '?' };
        format!("{}{separator}application_name={1}&options=-csearch_path%3D{1}", self.postgres, self.name)
    }

    /// Removes schema and queues.
    ///
    /// # Errors
    /// When one of the two can't be reached.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let schema = self.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name)).await;
        let queues = eim_server::queue::remove(&self.amqp, &self.name, &JOBS).await;
        schema.and(queues.context("the queues of the run"))
    }

    async fn run(&self, sql: &str) -> anyhow::Result<()> {
        let mut conn = AsyncPgConnection::establish(&self.postgres).await.context("PostgreSQL")?;
        Ok(conn.batch_execute(sql).await?)
    }
}

/// The version of the server there.
///
/// # Errors
/// When it can't be reached.
pub async fn postgres_version(url: &str) -> anyhow::Result<String> {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let mut conn = AsyncPgConnection::establish(url).await?;
    let query = diesel::sql_query("SELECT current_setting('server_version') AS version");
    let found: Version = query.get_result(&mut conn).await?;
    Ok(found.version)
}
