//! What a migration may do: those of releases stay as they are, and each later one leaves the version before at work
//! (docs/adr/0024). It is read here as text; that servers live on an expanded schema is in `tests/conformance/tests/upgrade.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const BACKENDS: [&str; 2] = ["postgres", "sqlite"];
/// Where the migrations begin that are run beside servers of the version before.
const ROLLING: &str = "rolling";
/// How the six digits of a migration begin that contracts.
const CONTRACTS: char = '9';

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../migrations")
}

fn text(backend: &str, name: &str, file: &str) -> String {
    let path = folder().join(backend).join(name).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names(backend: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder().join(backend)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The line of a migration in `released.txt`.
fn line(name: &str) -> String {
    let mut line = name.to_owned();
    for backend in BACKENDS {
        for file in ["up.sql", "down.sql"] {
            line.push(' ');
            line.push_str(&hex::encode(Sha256::digest(text(backend, name, file))));
        }
    }
    line
}

/// The migrations of releases with their lines: those before and those after the word.
fn released() -> (Vec<String>, Vec<String>) {
    let all = std::fs::read_to_string(folder().join("released.txt")).unwrap();
    let lines: Vec<String> = all.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let at = lines.iter().position(|line| line == ROLLING).expect("the word stands in a line of its own");
    (lines[..at].to_vec(), lines[at + 1..].to_vec())
}

fn name_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

#[test]
fn a_released_migration_stays_as_it_is_and_later_ones_come_behind_it() {
    let (before, after) = released();
    let all: Vec<String> = before.into_iter().chain(after).collect();
    for line_then in &all {
        let name = name_of(line_then);
        assert_eq!(
            &line(name),
            line_then,
            "{name} was released: what it says is on databases, and a change reaches none of them"
        );
    }
    assert!(all.is_sorted(), "in their order");
    assert_eq!(names("postgres"), names("sqlite"), "the same names on both sides");
    let last = name_of(all.last().expect("some were released"));
    for name in names("postgres").iter().filter(|name| all.iter().all(|line| name_of(line) != *name)) {
        println!("for the next release: {}", line(name));
        assert!(name.as_str() > last, "{name} would be run behind {last} on databases that have that one already");
    }
}

#[test]
fn every_migration_after_the_first_release_only_expands_or_says_that_it_contracts() {
    let (baseline, _) = released();
    let mut wrong = Vec::new();
    for name in names("postgres").iter().filter(|name| baseline.iter().all(|line| name_of(line) != *name)) {
        for backend in BACKENDS {
            let judged = judge(name, &text(backend, name, "up.sql"), env!("CARGO_PKG_VERSION"));
            wrong.extend(judged.into_iter().map(|what| format!("{backend}/{name}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a migration; nothing when servers of the version before may run beside it.
fn judge(name: &str, sql: &str, version: &str) -> Vec<String> {
    let contracts =
        name.split('_').next().and_then(|number| number.rsplit('-').next()).unwrap_or_default().starts_with(CONTRACTS);
    // The first line says from which release on nobody uses any more what it takes away.
    let after = sql
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("-- contract after "))
        .map(|rest| rest.split([':', ' ']).next().unwrap_or_default());
    match (contracts, after) {
        (true, Some(release)) => match (numbers(release), numbers(version)) {
            (Some(release), Some(version)) if release < version => vec![],
            (Some(_), Some(_)) => vec![format!("it may run after {release}, and this is {version}")],
            _ => vec![format!("no release: {release:?}")],
        },
        (true, None) => {
            vec!["its first line must be `-- contract after <release>: <what nobody uses any more>`".to_owned()]
        }
        (false, Some(_)) => {
            vec!["the six digits of what contracts begin with 9: older versions know it by that".to_owned()]
        }
        (false, None) => narrows(sql),
    }
}

fn numbers(release: &str) -> Option<Vec<u64>> {
    let numbers: Option<Vec<u64>> = release.split('.').map(|number| number.parse().ok()).collect();
    numbers.filter(|numbers| numbers.len() == 3)
}

/// The statements that do more than expand.
fn narrows(sql: &str) -> Vec<String> {
    let plain: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let plain = plain.join("\n");
    let statements: Vec<String> = plain
        .split(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|statement| !statement.is_empty())
        .collect();
    let mut own = BTreeSet::new();
    let mut wrong = Vec::new();
    for statement in statements {
        if let Some(why) = narrows_by(&statement, &mut own) {
            wrong.push(format!("{why}: {statement}"));
        }
    }
    wrong
}

/// Why a statement does more than expand. What a migration makes itself it may shape as it likes.
fn narrows_by(statement: &str, own: &mut BTreeSet<String>) -> Option<&'static str> {
    let upper = statement.to_uppercase().replace(" IF NOT EXISTS", "").replace(" CONCURRENTLY", "");
    let table_of = |rest: &str| rest.split([' ', '(']).next().unwrap_or_default().trim_matches('"').to_owned();
    if let Some(rest) = upper.strip_prefix("CREATE TABLE ") {
        own.insert(table_of(rest));
        return None;
    }
    if let Some((_, on)) = upper.strip_prefix("CREATE UNIQUE INDEX ").and_then(|rest| rest.split_once(" ON ")) {
        return (!own.contains(&table_of(on))).then_some("what older versions write may not be unique");
    }
    if upper.starts_with("CREATE INDEX ") || upper.starts_with("INSERT INTO ") || upper.starts_with("UPDATE ") {
        return None;
    }
    let Some(rest) = upper.strip_prefix("ALTER TABLE ") else {
        return Some("older versions may need what was there");
    };
    let (table, actions) = rest.split_once(' ').unwrap_or((rest, ""));
    if own.contains(table) {
        return None;
    }
    for action in actions_of(actions) {
        let Some(column) = action.strip_prefix("ADD COLUMN ") else {
            return Some("older versions know the table as it was");
        };
        if [" UNIQUE", " PRIMARY KEY", " CHECK", " EXCLUDE"].iter().any(|word| column.contains(word)) {
            return Some("what older versions write may not fit the constraint");
        }
        if column.contains(" NOT NULL") && !column.contains(" DEFAULT ") && !column.contains(" GENERATED ") {
            return Some("older versions write no such value");
        }
    }
    None
}

/// The actions of one ALTER TABLE, which commas outside of brackets part.
fn actions_of(text: &str) -> Vec<String> {
    let (mut depth, mut actions) = (0_i32, vec![String::new()]);
    for letter in text.chars() {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        match letter {
            ',' if depth == 0 => actions.push(String::new()),
            _ => actions.last_mut().unwrap().push(letter),
        }
    }
    actions.iter().map(|action| action.trim().to_owned()).collect()
}

#[test]
fn what_expands_is_let_through_and_what_narrows_is_named() {
    let expands = "-- A note; with a semicolon.
        CREATE TABLE visits (id BIGINT NOT NULL, name TEXT UNIQUE, CHECK (id > 0));
        CREATE UNIQUE INDEX visits_by_id ON visits (id);
        ALTER TABLE visits ADD COLUMN place TEXT NOT NULL;
        ALTER TABLE euiccs ADD COLUMN visits BIGINT NOT NULL DEFAULT 0, ADD COLUMN visited_at BIGINT;
        CREATE INDEX euiccs_by_visit ON euiccs (visited_at) WHERE visited_at IS NOT NULL;
        UPDATE euiccs SET visited_at = last_seen_at;";
    assert_eq!(narrows(expands), Vec::<String>::new());
    let narrow = [
        "DROP TABLE euiccs",
        "DROP INDEX euiccs_by_eid",
        "ALTER TABLE euiccs DROP COLUMN label",
        "ALTER TABLE euiccs RENAME COLUMN label TO name",
        "ALTER TABLE euiccs RENAME TO cards",
        "ALTER TABLE euiccs ALTER COLUMN label TYPE BIGINT",
        "ALTER TABLE euiccs ALTER COLUMN label SET NOT NULL",
        "ALTER TABLE euiccs ADD COLUMN visits BIGINT NOT NULL",
        "ALTER TABLE euiccs ADD COLUMN visited_at BIGINT, DROP COLUMN label",
        "ALTER TABLE euiccs ADD COLUMN visits BIGINT UNIQUE",
        "ALTER TABLE euiccs ADD CONSTRAINT labelled CHECK (label IS NOT NULL)",
        "CREATE UNIQUE INDEX euiccs_by_label ON euiccs (label)",
        "DELETE FROM euiccs",
        "CREATE TRIGGER seen BEFORE INSERT ON euiccs EXECUTE FUNCTION refuse()",
    ];
    for statement in narrow {
        assert_eq!(narrows(&format!("{statement};")).len(), 1, "{statement}");
        assert_eq!(narrows(&statement.to_lowercase()).len(), 1, "{statement}");
    }
}

#[test]
fn what_contracts_says_so_in_its_number_and_runs_after_the_release_that_it_names() {
    let judged = |name: &str, sql: &str| judge(name, sql, "0.4.0").is_empty();
    let drop = "DROP INDEX euiccs_by_eid;";
    assert!(judged("2027-03-01-900001_no_label", &format!("-- contract after 0.3.0: nobody reads it\n{drop}")));
    assert!(!judged("2027-03-01-900001_no_label", &format!("-- contract after 0.4.0: nobody reads it\n{drop}")));
    assert!(!judged("2027-03-01-900001_no_label", &format!("-- contract after soon\n{drop}")));
    assert!(!judged("2027-03-01-900001_no_label", drop));
    assert!(!judged("2027-03-01-000001_no_label", &format!("-- contract after 0.3.0: nobody reads it\n{drop}")));
    assert!(!judged("2027-03-01-000001_no_label", drop));
    assert!(judged("2027-03-01-000001_visits", "ALTER TABLE euiccs ADD COLUMN visits BIGINT;"));
}

/// Nothing that narrows is hidden from the rule above by how it is counted: of those before the first release it finds many.
#[test]
fn the_rule_finds_what_the_first_migrations_did_to_each_other() {
    let (baseline, _) = released();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &baseline {
        let name = name_of(line);
        found.insert(name, narrows(&text("postgres", name, "up.sql")).len());
    }
    let by = |end: &str| found.iter().find(|(name, _)| name.ends_with(end)).map(|(_, count)| *count);
    assert_eq!(by("_first_tables"), Some(0));
    assert_eq!(by("_list_facts"), Some(0));
    assert_eq!(by("_operation_facts"), Some(1), "a column was renamed");
    assert!(by("_authority") > Some(2));
}
