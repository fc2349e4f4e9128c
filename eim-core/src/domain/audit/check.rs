//! Checks a log from its first record to its last, a line at a time.
//!
//! Links have no key: whoever can write the store can compute them anew. It is the checkpoints that can't be made anew, so a log
//! is as good as its last checkpoint under a key that is known from elsewhere. What comes behind that one is only consistent.

use super::{Checkpoint, Link, Record, beginning, link};
use crate::domain::rfc3339;
use crate::domain::statement::{Purpose, SignedStatement, digest};
use chrono::DateTime;
use serde::Serialize;

/// How many faults are told; one forged record may be followed by a million.
const FAULTS_MAX: usize = 100;

/// A checkpoint follows a record within a minute while a server runs; over so many milliseconds of records one is missed.
const CHECKPOINT_MISSED_MS: i64 = 10 * 60_000;

/// Records get their place within seconds while a server that links them runs; after so many milliseconds it is a fault that they
/// have none: until then whoever writes the store can change them without a trace.
pub const UNLINKED_MAX_MS: i64 = 60 * 60_000;

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The record that it is about, where it is about one.
    pub position: Option<i64>,
    /// What does not fit, in a sentence.
    pub message: String,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whose log.
    pub tenant: String,
    /// How many records were read.
    pub records: i64,
    /// How many checkpoints.
    pub checkpoints: i64,
    /// The last record that a checkpoint under a trusted key covers; 0 for none.
    pub proven_to: i64,
    /// The last record; what is behind `provenTo` is only consistent.
    pub last: i64,
    /// How many records are behind the last one and have no place in the chain yet; nothing is proven of them. A file has none.
    pub waiting: i64,
    /// When the first of those was made, RFC 3339. More than an hour ago is a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
    /// What does not fit, the first hundred.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether everything fits.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A check under way. Give checkpoints and records by position, a checkpoint behind the record that it is about.
#[derive(Debug)]
pub struct Check {
    tenant: String,
    /// Names of keys, see [`crate::domain::statement::key_id`].
    trusted: Vec<String>,
    /// A checkpoint that was kept elsewhere and must fit.
    kept: Option<Checkpoint>,
    position: i64,
    link: Link,
    records: i64,
    checkpoints: i64,
    /// Position, and digest of the statement.
    before: Option<(Checkpoint, String)>,
    proven_to: i64,
    last_is_trusted: bool,
    /// When the first record behind the last trusted checkpoint and the last record of all were made, milliseconds since 1970.
    unproven: Option<(i64, i64)>,
    waiting: i64,
    waiting_since: Option<String>,
    faults: Vec<Fault>,
}

impl Check {
    /// Begins with the log of this tenant. `trusted` names keys that are known from elsewhere; `kept` is a checkpoint that was
    /// kept elsewhere, if any.
    #[must_use]
    pub fn new(tenant: &str, trusted: Vec<String>, kept: Option<Checkpoint>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            trusted,
            kept,
            position: 0,
            link: beginning(tenant),
            records: 0,
            checkpoints: 0,
            before: None,
            proven_to: 0,
            last_is_trusted: true,
            unproven: None,
            waiting: 0,
            waiting_since: None,
            faults: vec![],
        }
    }

    /// Notes a fault.
    pub fn fault(&mut self, position: impl Into<Option<i64>>, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { position: position.into(), message: message.into() });
        }
    }

    /// Records that have no place yet, the first of them made at `since`, milliseconds since 1970 like `now`.
    pub fn waits(&mut self, records: i64, since: Option<i64>, now: i64) {
        self.waiting = records;
        self.waiting_since = since.map(rfc3339);
        if let Some(since) = since.filter(|since| now - since > UNLINKED_MAX_MS) {
            let message = format!(
                "{records} record(s) have no place in the chain, the first of {}: until a server links them they can be changed \
                 without a trace",
                rfc3339(since)
            );
            self.fault(None, message);
        } else if let Some(since) = since.filter(|since| since - now > UNLINKED_MAX_MS) {
            let message = format!(
                "{records} record(s) have no place in the chain, and the first of them has a time that has not come ({}): its time \
                 was changed, or a clock is wrong",
                rfc3339(since)
            );
            self.fault(None, message);
        }
    }

    /// The last record that was given.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// How many records and checkpoints were given.
    #[must_use]
    pub const fn counts(&self) -> (i64, i64) {
        (self.records, self.checkpoints)
    }

    /// The next record.
    pub fn record(&mut self, position: i64, said: &Link, text: &str) {
        self.records += 1;
        let expected = self.position + 1;
        if position < expected {
            return self.fault(position, format!("record {position} is there twice, or out of order"));
        }
        if position > expected {
            let missing = if position - expected == 1 {
                format!("record {expected} is missing")
            } else {
                format!("records {expected} to {} are missing", position - 1)
            };
            self.fault(expected, missing);
        } else if link(&self.link, position, text) != *said {
            self.fault(
                position,
                format!("record {position} was changed, or stands where another one stood: its link does not fit"),
            );
        }
        // Goes on from the link that is said, so that one fault is told once.
        self.position = position;
        self.link = *said;
        if let Some(at) = made_at(text) {
            self.unproven = Some((self.unproven.map_or(at, |(first, _)| first), at));
        }
        if let Some(kept) = self.kept.take_if(|kept| kept.position == position)
            && kept.link != hex::encode(self.link)
        {
            self.fault(position, format!("the checkpoint that was kept does not fit record {position}"));
        }
    }

    /// A checkpoint.
    pub fn checkpoint(&mut self, signed: &SignedStatement) {
        self.checkpoints += 1;
        let said: Checkpoint = match signed.open(Purpose::AuditCheckpoint) {
            Ok(said) => said,
            Err(error) => return self.fault(None, format!("checkpoint {}: {error}", self.checkpoints)),
        };
        let number = said.number;
        if said.tenant != self.tenant {
            self.fault(None, format!("checkpoint {number} is of the tenant {}", said.tenant));
        }
        let (expected, before) = match &self.before {
            Some((before, digest)) => (before.number + 1, digest.clone()),
            None => (1, String::new()),
        };
        if number != expected || said.before != before {
            self.fault(None, format!("checkpoint {number} does not follow the one before it; {expected} is expected"));
        }
        if said.position > self.position {
            self.fault(
                self.position + 1,
                format!(
                    "the log ends with record {}, but checkpoint {number} is about record {}: the end was cut off",
                    self.position, said.position
                ),
            );
        } else if said.position < self.position {
            self.fault(
                said.position,
                format!("checkpoint {number} is about record {}, not the one before it", said.position),
            );
        } else if said.link != hex::encode(self.link) {
            let message = format!(
                "checkpoint {number} does not fit record {}: something up to it was changed, removed or inserted",
                said.position
            );
            self.fault(said.position, message);
        }
        self.last_is_trusted = signed.key_id().is_ok_and(|key| self.trusted.contains(&key));
        if self.last_is_trusted {
            self.proven_to = said.position;
            self.unproven = None;
        }
        self.before = Some((said, digest(signed.statement.as_bytes())));
    }

    /// Ends the check.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if !self.last_is_trusted {
            self.fault(None, "the last checkpoint is signed by a key that is not trusted here");
        }
        if let Some((first, last)) = self.unproven
            && last - first > CHECKPOINT_MISSED_MS
        {
            let message = format!(
                "records {} to {} were made over {} minutes, and no checkpoint covers them: checkpoints were removed, or the \
                 server could not sign any",
                self.proven_to + 1,
                self.position,
                (last - first) / 60_000
            );
            self.fault(self.proven_to + 1, message);
        }
        if let Some(kept) = self.kept.take() {
            let message = format!(
                "the log ends with record {}, but the checkpoint that was kept is about record {}: the end was cut off",
                self.position, kept.position
            );
            self.fault(self.position + 1, message);
        }
        Report {
            tenant: self.tenant,
            records: self.records,
            checkpoints: self.checkpoints,
            proven_to: self.proven_to,
            last: self.position,
            waiting: self.waiting,
            waiting_since: self.waiting_since,
            faults: self.faults,
        }
    }
}

/// When a record was made, as it says, milliseconds since 1970.
fn made_at(text: &str) -> Option<i64> {
    let record: Record = serde_json::from_str(text).ok()?;
    DateTime::parse_from_rfc3339(&record.at).ok().map(|at| at.timestamp_millis())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::domain::statement;
    use crate::pki::SigningKey;

    struct Log {
        key: SigningKey,
        records: Vec<(i64, Link, String)>,
        checkpoints: Vec<SignedStatement>,
    }

    /// Nine records with a checkpoint behind each third.
    fn log() -> Log {
        let mut log = Log {
            key: SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap(),
            records: vec![],
            checkpoints: vec![],
        };
        let (mut before, mut last) = (beginning("default"), String::new());
        for position in 1..=9 {
            let text = format!("{{\"n\":{position}}}");
            before = link(&before, position, &text);
            log.records.push((position, before, text));
            if position % 3 == 0 {
                let said = Checkpoint {
                    eim_id: "1.2".to_owned(),
                    tenant: "default".to_owned(),
                    number: position / 3,
                    position,
                    link: hex::encode(before),
                    at: String::new(),
                    before: last,
                };
                let text = statement::text(Purpose::AuditCheckpoint, &said);
                last = digest(text.as_bytes());
                let signature = log.key.sign(text.as_bytes());
                log.checkpoints.push(SignedStatement::new(text, &log.key.public_key_spki(), &signature));
            }
        }
        log
    }

    fn check(log: &Log) -> Report {
        let trusted = vec![statement::key_id(&log.key.public_key_spki())];
        check_trusting(log, trusted)
    }

    fn check_trusting(log: &Log, trusted: Vec<String>) -> Report {
        let mut check = Check::new("default", trusted, None);
        let mut checkpoints = log.checkpoints.iter().peekable();
        // As the store has it in a column, whatever became of the signature.
        let about = |signed: &SignedStatement| -> i64 {
            let (_, says) = signed.statement.split_once('\n').unwrap();
            serde_json::from_str::<Checkpoint>(says).unwrap().position
        };
        for (position, link, text) in &log.records {
            check.record(*position, link, text);
            while let Some(signed) = checkpoints.next_if(|signed| about(signed) <= *position) {
                check.checkpoint(signed);
            }
        }
        checkpoints.for_each(|signed| check.checkpoint(signed));
        check.finish()
    }

    #[test]
    fn a_whole_log_is_good() {
        let report = check(&log());
        assert!(report.is_good(), "{report:?}");
        assert_eq!((report.records, report.checkpoints, report.proven_to, report.last), (9, 3, 9, 9));
    }

    #[test]
    fn a_changed_record_is_named() {
        let mut log = log();
        log.records[4].2 = "{\"n\":50}".to_owned();
        assert_eq!(check(&log).faults.iter().map(|fault| fault.position).collect::<Vec<_>>(), [Some(5)]);
    }

    #[test]
    fn links_that_are_computed_anew_do_not_fit_the_checkpoint() {
        let mut log = log();
        log.records[4].2 = "{\"n\":50}".to_owned();
        let mut before = log.records[3].1;
        for (position, said, text) in log.records.iter_mut().skip(4) {
            before = link(&before, *position, text);
            *said = before;
        }
        let report = check(&log);
        assert_eq!(report.faults.iter().map(|fault| fault.position).collect::<Vec<_>>(), [Some(6), Some(9)]);
    }

    #[test]
    fn a_removed_record_is_named() {
        let mut log = log();
        log.records.remove(4);
        let report = check(&log);
        assert_eq!(report.faults.len(), 1, "{report:?}");
        assert_eq!(report.faults[0].message, "record 5 is missing");
    }

    #[test]
    fn an_inserted_record_does_not_fit() {
        let mut log = log();
        let inserted = (5, link(&log.records[3].1, 5, "{}"), "{}".to_owned());
        log.records.insert(4, inserted);
        let mut before = log.records[4].1;
        for (index, (position, said, text)) in log.records.iter_mut().enumerate().skip(5) {
            *position = i64::try_from(index).unwrap() + 1;
            before = link(&before, *position, text);
            *said = before;
        }
        assert!(!check(&log).is_good());
    }

    #[test]
    fn an_end_that_was_cut_off_is_missed_by_the_checkpoint() {
        let mut log = log();
        log.records.truncate(7);
        let report = check(&log);
        assert!(report.faults[0].message.contains("the end was cut off"), "{report:?}");
        // Cut off with its checkpoint it can only be told by one that was kept elsewhere.
        let kept: Checkpoint = log.checkpoints[2].open(Purpose::AuditCheckpoint).unwrap();
        log.checkpoints.pop();
        assert!(check(&log).is_good());
        let mut check = Check::new("default", vec![], Some(kept));
        log.records.iter().for_each(|(position, link, text)| check.record(*position, link, text));
        assert!(check.finish().faults[0].message.contains("that was kept"));
    }

    #[test]
    fn a_missing_checkpoint_and_a_strange_key_are_told() {
        let mut log = log();
        log.checkpoints.remove(1);
        assert!(check(&log).faults[0].message.contains("does not follow"));
        let report = check_trusting(&self::log(), vec![]);
        assert_eq!((report.proven_to, report.faults.len()), (0, 1));
        let mut log = self::log();
        log.checkpoints[2].signature = log.checkpoints[1].signature.clone();
        assert!(check(&log).faults.iter().any(|fault| fault.message.contains("does not verify")));
    }
}
