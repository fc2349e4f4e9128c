//! Which room may use which: reads the `use` lines and paths of every source file and fails on a forbidden arrow.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room of the library, the rooms that it may name, and outside names that it must not.
const ROOMS: [(&str, &[&str], &[&str]); 11] = [
    ("ids", &[], &["tokio", "diesel", "rasn"]),
    ("ports", &["ids"], &["tokio", "diesel", "rasn"]),
    ("asn1", &["ids"], &["tokio", "diesel", "std::fs", "std::net"]),
    ("rsp", &["ids", "asn1", "ports"], &["tokio", "diesel", "async fn", ".await", "Utc::now", "SystemTime"]),
    ("pki", &["ids", "asn1"], &["tokio", "diesel", "Utc::now", "SystemTime"]),
    ("domain", &["ids", "asn1", "pki"], &["tokio", "diesel", "async fn", ".await", "Utc::now", "SystemTime"]),
    ("store", &["ids", "domain", "ports"], &["rasn", "Utc::now", "SystemTime"]),
    ("esipa", &["ids", "ports", "asn1", "pki", "domain", "store", "rsp", "Eim"], &["diesel", "Utc::now", "SystemTime"]),
    ("manage", &["ids", "ports", "asn1", "pki", "domain", "store", "Eim", "EimIdentity"], &["diesel", "Utc::now"]),
    (
        "jobs",
        &["ids", "ports", "asn1", "pki", "domain", "store", "rsp", "esipa", "manage", "Eim"],
        &["diesel", "Utc::now"],
    ),
    ("metrics.rs", &["ids", "domain", "store", "Eim"], &["diesel", "rasn"]),
];

/// Names that no file of the library may use: they belong to the server.
const SERVER_ONLY: [&str; 6] = ["actix_web", "lapin", "reqwest", "hyper", "clap", "config::Config"];

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    for entry in fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            sources(&path, found);
        }
    }
}

/// The code without comments.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
}

/// What follows `crate::` in a line: names, also those of a braced list at the crate's root.
fn named_rooms(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .flat_map(|(at, found)| {
            let rest = &line[at + found.len()..];
            let names: Vec<String> = match rest.strip_prefix('{') {
                Some(list) => list
                    .split([',', '}'])
                    .map(|name| name.trim().split("::").next().unwrap_or_default().to_owned())
                    .collect(),
                None => {
                    vec![rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()]
                }
            };
            names.into_iter().filter(|name| name.starts_with(|c: char| c.is_alphabetic()))
        })
        .collect()
}

/// Whether a line has this text, and not as the beginning of a longer word.
fn contains_word(line: &str, text: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    line.match_indices(text).any(|(at, found)| !goes_on(&line[at + found.len()..]))
}

fn violations(room: &str, allowed: &[&str], forbidden: &[&str], lines: &[String]) -> Vec<String> {
    let own = room.trim_end_matches(".rs");
    let mut found = Vec::new();
    for line in lines {
        for name in named_rooms(line) {
            if name != own && !allowed.contains(&name.as_str()) {
                found.push(format!("names {name}: {}", line.trim()));
            }
        }
        for name in forbidden.iter().chain(&SERVER_ONLY).filter(|name| contains_word(line, name)) {
            found.push(format!("uses {name}: {}", line.trim()));
        }
    }
    found
}

#[test]
fn every_room_uses_only_what_it_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut read = 0;
    for (room, allowed, forbidden) in ROOMS {
        let mut files = Vec::new();
        sources(&src.join(room), &mut files);
        assert!(!files.is_empty(), "room {room} has no files");
        for file in files {
            read += 1;
            // The store's migrations are its own, and tests inside a room may name what they like of it.
            for violation in violations(room, allowed, forbidden, &code(&file)) {
                wrong.push(format!("{}: {violation}", file.strip_prefix(&src).unwrap().display()));
            }
        }
    }
    assert!(read > 60, "only {read} files were read");
    assert!(wrong.is_empty(), "forbidden arrows:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_is_a_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = ROOMS.iter().any(|(room, _, _)| *room == name) || ["lib.rs", "eim.rs"].contains(&name.as_str());
        assert!(known, "{name} is in no row of the room table");
    }
}

#[test]
fn a_forbidden_arrow_is_found() {
    let lines = vec!["use crate::store::Store;".to_owned(), "use crate::{Eim, pki::Verified};".to_owned()];
    let found = violations("domain", &["pki"], &["tokio"], &lines);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(violations("domain", &[], &["tokio"], &["tokio::spawn(x)".to_owned()]).len(), 1);
}
