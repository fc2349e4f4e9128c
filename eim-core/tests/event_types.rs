//! Every type of events is known to filters: reads the sources for events that are written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use eim_core::domain::EVENT_TYPES;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The literal that stands first behind an opening parenthesis.
fn literal(rest: &str) -> Option<&str> {
    rest.trim_start().strip_prefix('"')?.split('"').next()
}

#[test]
fn every_event_that_is_written_has_a_type_that_filters_know() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let mut written = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for maker in [".event(", "Event::new("] {
            for (at, _) in text.match_indices(maker) {
                written.extend(literal(&text[at + maker.len()..]).map(|word| (word.to_owned(), path.clone())));
            }
        }
    }
    assert!(written.len() > 40, "the search finds what is written: {}", written.len());
    for (event_type, path) in written {
        assert!(EVENT_TYPES.contains(&event_type.as_str()), "{event_type}, written in {}, is missing", path.display());
    }
}

#[test]
fn the_types_are_in_order_and_none_is_there_twice() {
    assert!(EVENT_TYPES.is_sorted_by(|one, next| one < next));
}
