//! How a database would carry a statement out: whether it looks rows up, or goes through a table.

use crate::World;
use diesel::connection::{Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation};
use diesel::deserialize::{self, QueryableByName};
use diesel::row::NamedRow;
use diesel::sql_types::Text;
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use eim_core::store::StoreUrl;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// The statements that were heard, with how often; `None` while nobody listens.
static HEARD: Mutex<Option<BTreeMap<String, usize>>> = Mutex::new(None);
/// Every statement that any connection keeps prepared.
static PREPARED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

struct Listener;

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::CacheQuery { sql, .. } = event {
            PREPARED.lock().unwrap().insert(sql.trim().to_owned());
            return;
        }
        if let InstrumentationEvent::StartQuery { query, .. } = event
            && let Some(heard) = HEARD.lock().unwrap().as_mut()
        {
            let text = query.to_string();
            let statement = text.split(" -- binds:").next().unwrap_or_default().trim();
            let begins = ["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"];
            if begins.iter().any(|word| statement.starts_with(word)) {
                *heard.entry(statement.to_owned()).or_default() += 1;
            }
        }
    }
}

/// Has every connection that is made from now on tell its statements. To be called before the first world is made.
pub fn tell_statements() {
    set_default_instrumentation(|| Some(Box::new(Listener))).unwrap();
}

/// Listens, until [`heard`] is called.
pub fn listen() {
    *HEARD.lock().unwrap() = Some(BTreeMap::new());
}

/// Every statement since [`listen`], each once, with places in place of values.
pub fn heard() -> BTreeSet<String> {
    counted().into_keys().collect()
}

/// The same, with how often each was carried out.
pub fn counted() -> BTreeMap<String, usize> {
    HEARD.lock().unwrap().take().unwrap_or_default()
}

/// Every statement that any connection has prepared and keeps, since [`tell_statements`].
pub fn prepared() -> BTreeSet<String> {
    PREPARED.lock().unwrap().clone()
}

/// A statement with one place for each list of them, whatever its length.
pub fn without_lengths(statement: &str) -> String {
    let mut plain = String::new();
    let mut rest = statement;
    while let Some(at) = rest.find(['$', '?']) {
        plain.push_str(&rest[..at]);
        rest = rest[at + 1..].trim_start_matches(|letter: char| letter.is_ascii_digit());
        // A place behind a place and a comma is more of the same list.
        if !plain.trim_end().ends_with("?,") {
            plain.push('?');
        } else {
            plain.truncate(plain.trim_end().len() - 1);
        }
    }
    plain.push_str(rest);
    plain
}

/// A table that a statement reads, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The table or its alias, or the index where the database names that alone.
    pub table: String,
    /// The conditions that lead through an index to the rows; empty where all rows are gone through.
    pub by: Vec<String>,
}

impl Access {
    /// Whether it is led by more than these columns.
    pub fn is_led_beyond(&self, columns: &[&str]) -> bool {
        self.by
            .iter()
            .any(|condition| !columns.iter().any(|column| condition.trim_start_matches('(').starts_with(column)))
    }
}

struct Line(String);

impl<DB: diesel::backend::Backend> QueryableByName<DB> for Line
where
    String: deserialize::FromSql<Text, DB>,
{
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> deserialize::Result<Self> {
        NamedRow::get::<Text, String>(row, "QUERY PLAN")
            .or_else(|_| NamedRow::get::<Text, String>(row, "detail"))
            .map(Self)
    }
}

impl World {
    /// How the database of the world would carry a statement out, whatever its values are.
    pub fn accesses(&self, statement: &str) -> Vec<Access> {
        match self.store_url() {
            StoreUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                let lines: Vec<Line> = sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(&mut conn).unwrap();
                lines.iter().filter_map(|line| sqlite_access(&line.0)).collect()
            }
            StoreUrl::Postgres(url) => {
                let statement = statement.to_owned();
                // On a thread of its own, since the blocking connection has a runtime inside.
                std::thread::spawn(move || postgres_accesses(&url, &statement)).join().unwrap()
            }
        }
    }
}

/// `SEARCH operations USING INDEX operations_by_eid (tenant_id=? AND eid=?)`, `SCAN events`.
fn sqlite_access(line: &str) -> Option<Access> {
    let (how, rest) = line.split_once(' ')?;
    let table = rest.split(' ').next()?.to_owned();
    let conditions = rest.split_once('(').map_or("", |(_, conditions)| conditions.trim_end_matches(')'));
    match how {
        "SCAN" => Some(Access { table, by: vec![] }),
        "SEARCH" => Some(Access { table, by: conditions.split(" AND ").map(str::to_owned).collect() }),
        _ => None,
    }
}

fn postgres_accesses(url: &str, statement: &str) -> Vec<Access> {
    let mut conn = AsyncConnectionWrapper::<AsyncPgConnection>::establish(url).unwrap();
    // A generic plan, an index wherever one is of any use, and tables of which the planner believes that they are large and knows
    // nothing else. Nothing of it is committed.
    conn.batch_execute(
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; BEGIN; \
         UPDATE pg_class SET reltuples = 1000000, relpages = 1 \
         WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i'); \
         DELETE FROM pg_statistic WHERE starelid IN \
         (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)",
    )
    .unwrap();
    conn.batch_execute(&format!("PREPARE heard AS {statement}")).unwrap();
    let values = (1..).take_while(|number| has_place(statement, *number)).map(|_| "NULL").collect::<Vec<_>>();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let lines: Vec<Line> = sql_query(format!("EXPLAIN EXECUTE heard{values}")).load(&mut conn).unwrap();
    let mut found: Vec<Access> = vec![];
    for Line(line) in &lines {
        let line = line.trim_start().trim_start_matches("->").trim_start();
        if let Some(table) = [
            "Seq Scan on ",
            "Index Scan using ",
            "Index Only Scan using ",
            "Bitmap Index Scan on ",
            "Index Scan Backward using ",
        ]
        .iter()
        .find_map(|node| line.strip_prefix(node))
        {
            // `index on table` names both; a bitmap names its index alone.
            let words: Vec<&str> = table.split(' ').collect();
            let table =
                words.iter().position(|word| *word == "on").and_then(|at| words.get(at + 1)).unwrap_or(&words[0]);
            found.push(Access { table: (*table).to_owned(), by: vec![] });
        } else if let Some(conditions) = line.strip_prefix("Index Cond: ")
            && let Some(access) = found.last_mut()
        {
            access.by = conditions
                .trim_matches(['(', ')'])
                .split(" AND ")
                .map(|one| one.trim_start_matches('(').to_owned())
                .collect();
        }
    }
    found
}

/// Whether a statement has a place with this number.
fn has_place(statement: &str, number: u32) -> bool {
    let place = format!("${number}");
    statement
        .match_indices(&place)
        .any(|(at, _)| !statement[at + place.len()..].starts_with(|next: char| next.is_ascii_digit()))
}
