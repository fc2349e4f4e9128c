//! The kept inputs of the fuzz targets, one after the other: those that reach every part of the decoders (`fuzz/corpus`), and
//! those that once found something (`fuzz/regressions.txt`). How to fuzz: `fuzz/README.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// A clone stays small: see `fuzz/README.md` for how less is kept.
const CORPUS_MAX_BYTES: u64 = 2 * 1024 * 1024;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn octets(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The kept inputs of a target: a line of base64 each.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let path = root().join("corpus").join(format!("{target}.b64"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(octets).collect()
}

/// Runs a target; gives the input when it did harm.
fn harm(name: &str, target: fuzz::Target, input: &[u8]) -> Option<String> {
    catch_unwind(|| target(input)).is_err().then(|| format!("{name} {}", STANDARD.encode(input)))
}

#[test]
fn no_kept_input_does_harm() {
    let mut harmful = Vec::new();
    for (name, target) in fuzz::TARGETS {
        harmful.extend(inputs(name).iter().filter_map(|input| harm(name, target, input)));
    }
    assert!(harmful.is_empty(), "{}", harmful.join("\n"));
}

#[test]
fn what_once_found_something_finds_nothing_more() {
    let mut harmful = Vec::new();
    for line in fs::read_to_string(root().join("regressions.txt")).unwrap().lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let (name, input) = line.split_once(' ').unwrap();
        let (_, target) = fuzz::TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
        harmful.extend(harm(name, target, &octets(input)));
    }
    assert!(harmful.is_empty(), "{}", harmful.join("\n"));
}

/// Octets changed and octets broken off, the same ones in every run: a little of what a fuzzer does.
#[test]
fn no_kept_input_does_harm_when_it_is_broken() {
    let mut state = 0x9e37_79b9_u32;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below.max(1)
    };
    let mut harmful = Vec::new();
    for (name, target) in fuzz::TARGETS {
        for input in inputs(name) {
            let mut changed = input.clone();
            if let Some(octet) = changed.get_mut(random(input.len())) {
                *octet ^= 1 << random(8);
            }
            let broken = &input[..random(input.len())];
            harmful.extend([changed.as_slice(), broken].iter().filter_map(|tried| harm(name, target, tried)));
        }
    }
    assert!(harmful.is_empty(), "{}", harmful.join("\n"));
}

#[test]
fn every_target_has_its_file_and_inputs_and_the_corpus_is_small() {
    let named = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let mut targets: Vec<String> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    targets.sort();
    assert_eq!(named("fuzz_targets"), targets);
    assert_eq!(named("corpus"), targets);
    for name in &targets {
        assert!(!inputs(name).is_empty(), "{name} has no inputs");
    }
    let files = fs::read_dir(root().join("corpus")).unwrap();
    let octets: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(octets <= CORPUS_MAX_BYTES, "{octets} octets of inputs");
}
