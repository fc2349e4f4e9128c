//! Imports and exports as streams: files may be larger than the memory of the machine.

use super::client::{Upload, next_part};
use super::console::Column;
use super::resource::print_items;
use super::{Context, Failure};
use actix_web::web::Bytes;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;

const REPORT: [Column; 5] =
    [("LINE", "/line"), ("EID", "/eid"), ("OUTCOME", "/outcome"), ("ID", "/id"), ("WHY", "/why")];
/// How many octets are read at once.
const PART: usize = 64 * 1024;
/// How many parts may wait to be sent.
const PARTS: usize = 4;
/// How many lines lie between two signs of life.
const SIGN_OF_LIFE: u64 = 1000;
/// What some editors put before a text, in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// In which notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// text/csv
    Csv,
    /// application/x-ndjson
    Ndjson,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportFile {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// Its notation; by default what the name of the file says, else what its first character looks like.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Prints every line of the report, in place of those that failed.
    #[arg(long)]
    every_line: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportTo {
    /// In which notation.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Writes to this file, which is there when the export is whole; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn import(
    path: &[&str],
    query: &[(&str, &str)],
    arguments: ImportFile,
    key: Option<&str>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut file = BufReader::with_capacity(PART, open(&arguments.file, context)?);
    let format = match arguments.format {
        Some(format) => format,
        None => notation(&arguments.file, &mut file)?,
    };
    let media_type = match format {
        Format::Csv => "text/csv",
        Format::Ndjson => "application/x-ndjson",
    };
    let body = send(Box::new(file));
    let mut response = context.api.upload(path, query, media_type, body, key).await?;
    let mut report = Report { every_line: arguments.every_line, lines: 0, failed: 0, titled: false, summary: None };
    let mut pending = Vec::new();
    while let Some(part) = next_part(&mut response).await? {
        pending.extend_from_slice(&part);
        let Some(end) = pending.iter().rposition(|octet| *octet == b'\n') else { continue };
        let rows: Vec<Value> =
            pending.drain(..=end).as_slice().split(|octet| *octet == b'\n').filter_map(parse).collect();
        report.take(rows, context)?;
    }
    report.end(context)
}

/// By the file's name, else by its first character behind a byte order mark: no heading of a CSV file begins with a brace.
fn notation(path: &Path, file: &mut impl BufRead) -> Result<Format, Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ndjson" | "jsonl") => return Ok(Format::Ndjson),
        Some("csv") => return Ok(Format::Csv),
        _ => {}
    }
    let begin = file.fill_buf().map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    let first = begin.strip_prefix(BYTE_ORDER_MARK).unwrap_or(begin).iter().find(|octet| !octet.is_ascii_whitespace());
    Ok(if first == Some(&b'{') { Format::Ndjson } else { Format::Csv })
}

fn parse(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line).ok()
}

struct Report {
    every_line: bool,
    lines: u64,
    failed: u64,
    titled: bool,
    summary: Option<Value>,
}

impl Report {
    fn take(&mut self, rows: Vec<Value>, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut shown = Vec::new();
        for mut row in rows {
            if row["summary"].is_object() {
                self.summary = Some(row);
                continue;
            }
            self.lines += 1;
            let failed = row["outcome"] == "failed";
            self.failed += u64::from(failed);
            if context.console.is_terminal && self.lines.is_multiple_of(SIGN_OF_LIFE) {
                context.console.note(&format!("{} lines, {} failed", self.lines, self.failed));
            }
            if failed || self.every_line {
                if !context.json {
                    row["why"] = why(&row).into();
                }
                shown.push(row);
            }
        }
        if shown.is_empty() {
            return Ok(());
        }
        print_items(&shown, &REPORT, !std::mem::replace(&mut self.titled, true), context)
    }

    fn end(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let Some(line) = self.summary else {
            return Err(Failure::Unreachable("the report broke off; repeat the import".to_owned()));
        };
        let summary = &line["summary"];
        if context.json {
            context.console.line(&line.to_string())?;
        } else {
            let count = |name: &str| summary[name].as_u64().unwrap_or(0);
            let associated = match count("associated") {
                0 => String::new(),
                some => format!(" {some} associated now,"),
            };
            context.console.note(&format!(
                "{} lines: {} created, {} existed,{associated} {} failed",
                count("lines"),
                count("created"),
                count("exists"),
                count("failed")
            ));
        }
        if let Some(message) = summary.pointer("/stopped/message").and_then(Value::as_str) {
            let line = summary["stopped"]["afterLine"].as_u64().unwrap_or(0);
            return Err(Failure::Unreachable(format!("the import stopped after line {line}: {message}; repeat it")));
        }
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::Refused(format!("{failed} line(s) failed"))),
        }
    }
}

fn why(row: &Value) -> String {
    let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let errors = row["errors"].as_array().into_iter().flatten();
    let errors: Vec<String> = errors
        .map(|error| match text(error, "pointer").as_str() {
            "" => text(error, "message"),
            pointer => format!("{pointer}: {}", text(error, "message")),
        })
        .collect();
    errors.join("; ")
}

fn open(path: &Path, context: &mut Context<'_>) -> Result<Box<dyn Read + Send>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(std::mem::replace(&mut context.console.input, Box::new(io::empty())));
    }
    let file = File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    Ok(Box::new(file))
}

/// Reads a file while it is sent. A file that can't be read to its end breaks the request off.
fn send(mut file: Box<dyn Read + Send>) -> Upload {
    let (mut sender, body) = Upload::new(PARTS);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        loop {
            let mut part = vec![0; PART];
            match file.read(&mut part) {
                Ok(0) => return,
                Ok(read) => {
                    part.truncate(read);
                    // The server has answered and takes no more.
                    if runtime.block_on(sender.send_data(Bytes::from(part))).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return sender.abort(error),
            }
        }
    });
    body
}

pub(super) async fn export(
    path: &[&str],
    query: &[(&str, &str)],
    arguments: ExportTo,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut query = query.to_vec();
    query.push(("format", if arguments.format == Format::Csv { "csv" } else { "ndjson" }));
    download(path, &query, arguments.out, context).await
}

/// Writes an answer to a file, or to standard output, while it comes in.
pub(super) async fn download(
    path: &[&str],
    query: &[(&str, &str)],
    out: Option<PathBuf>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut response = context.api.download(path, query).await?;
    let Some(out) = out else {
        while let Some(part) = next_part(&mut response).await? {
            context.console.out.write_all(&part)?;
        }
        return Ok(context.console.out.flush()?);
    };
    let mut name = out.clone().into_os_string();
    name.push(".part");
    let part_path = PathBuf::from(name);
    let unusable = |error: io::Error| Failure::Usage(format!("{}: {error}", part_path.display()));
    let mut file = File::create(&part_path).map_err(unusable)?;
    while let Some(part) = next_part(&mut response).await? {
        file.write_all(&part).map_err(unusable)?;
    }
    file.sync_all().map_err(unusable)?;
    std::fs::rename(&part_path, &out).map_err(|error| Failure::Usage(format!("{}: {error}", out.display())))
}
