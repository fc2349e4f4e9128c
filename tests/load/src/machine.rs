//! What the figures were measured on.

use crate::process::output;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, SqliteConnection};
use eim_core::ports::{Clock, SystemClock};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Threads that run at the same time.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How many tasks wanted a processor, on average over the last minute; other work on the machine is in it.
#[must_use]
pub fn load_average() -> String {
    read("/proc/loadavg").split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The machine and the versions, a line each.
pub async fn describe(server: &Path, postgres: &str, amqp: &str) -> Vec<(&'static str, String)> {
    let memory_mb = field(&read("/proc/meminfo"), "MemTotal").and_then(|text| {
        let kilobytes: u64 = text.split_whitespace().next()?.parse().ok()?;
        Some(format!("{} MB", kilobytes / 1024))
    });
    let model = field(&read("/proc/cpuinfo"), "model name");
    let mut rustc = Command::new("rustc");
    rustc.arg("--version");
    let mut version = Command::new(server);
    version.arg("--version");
    vec![
        ("date", SystemClock.now().format("%Y-%m-%d %H:%M UTC").to_string()),
        ("processor", format!("{}, {} cores", model.unwrap_or_else(unknown), cores())),
        ("memory", memory_mb.unwrap_or_else(unknown)),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("rustc", said(rustc).await),
        ("server", format!("{}, commit {}", said(version).await, commit().await)),
        ("SQLite", sqlite().unwrap_or_else(unknown)),
        ("PostgreSQL", crate::production::postgres_version(postgres).await.unwrap_or_else(|_| unknown())),
        ("RabbitMQ", rabbitmq(amqp).await.unwrap_or_else(unknown)),
    ]
}

async fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments);
        said(command)
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).await;
    let changed = changed.lines().any(|line| !line.ends_with("docs/benchmarks.md"));
    format!("{}{}", git(&["rev-parse", "--short", "HEAD"]).await, if changed { " with changes" } else { "" })
}

async fn said(command: Command) -> String {
    output(command).await.map_or_else(|_| unknown(), |text| text.trim().to_owned())
}

fn sqlite() -> Option<String> {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let mut conn = SqliteConnection::establish(":memory:").ok()?;
    let query = diesel::sql_query("SELECT sqlite_version() AS version");
    diesel::RunQueryDsl::get_result::<Version>(query, &mut conn).ok().map(|found| found.version)
}

/// The broker says its version in the first frame (AMQP 0-9-1, connection.start): `07 "version" 'S' length text`.
async fn rabbitmq(amqp: &str) -> Option<String> {
    let host = amqp.split_once('@').map_or(amqp, |(_, rest)| rest).split('/').next()?;
    let mut stream = TcpStream::connect(host).await.ok()?;
    stream.write_all(b"AMQP\0\0\x09\x01").await.ok()?;
    let mut frame = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut frame)).await.ok()?.ok()?;
    frame.truncate(read);
    let name = b"\x07versionS";
    let at = frame.windows(name.len()).position(|window| window == name)? + name.len();
    let length = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?) as usize;
    String::from_utf8(frame.get(at + 4..at + 4 + length)?.to_vec()).ok()
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
