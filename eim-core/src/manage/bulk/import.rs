//! Carrying out the lines of an import.

use super::columns::{ImportLine, ImportOf, as_in_line};
use super::records::BulkFormat;
use crate::Eim;
use crate::domain::fleet::{Check, CheckResult};
use crate::domain::{Euicc, EuiccState, FieldError, LearnedBy};
use crate::ids::AssociationToken;
use crate::manage::operation::queue_operation;
use crate::manage::register::{insert, read};
use crate::manage::{ManageError, NewEuicc, Principal, Role, renew_association};
use crate::store::Enqueued;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tokio::task::JoinSet;
use utoipa::ToSchema;

/// The longest EID that is told back.
const EID_SHOWN: usize = 64;

/// What became of one line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineReport {
    /// The number of the line, from 1; the header of CSV and empty lines count.
    pub line: u64,
    /// The EID of the line, as it stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eid: Option<String>,
    /// What became of it.
    pub outcome: LineOutcome,
    /// The operation that was queued, or had been under the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it failed; empty otherwise.
    pub errors: Vec<LineError>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum LineOutcome {
    /// Registered, or queued.
    Created,
    /// It was so before: nothing was changed.
    Exists,
    /// It was registered, but not associated with this eIM; another eIM that hands it over has told its association.
    Associated,
    /// Nothing was done.
    Failed,
}

/// A value of a line that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineError {
    /// `/` and the column, or a JSON pointer (RFC 6901) into the object of the line; empty for the line as a whole.
    pub pointer: String,
    /// What was expected there.
    pub message: String,
}

/// The last line of the report of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SummaryLine {
    /// The whole import.
    pub summary: ImportSummary,
}

/// The whole import in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Lines that were judged: those that are not empty and no header.
    pub lines: u64,
    /// Those that were carried out.
    pub created: u64,
    /// Those that were so before.
    pub exists: u64,
    /// Those that were registered and are associated now; absent for none.
    #[serde(default, skip_serializing_if = "is_none_at_all")]
    pub associated: u64,
    /// Those that failed.
    pub failed: u64,
    /// Where and why the import ended early; absent when every line was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_none_at_all(lines: &u64) -> bool {
    *lines == 0
}

/// Where an import ended early. Lines before it are reported; repeat the import for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// The last line that was judged, 0 for none.
    pub after_line: u64,
    /// Why.
    pub message: String,
}

impl ImportSummary {
    /// Counts reports.
    pub fn count(&mut self, reports: &[LineReport]) {
        for report in reports {
            self.lines += 1;
            match report.outcome {
                LineOutcome::Created => self.created += 1,
                LineOutcome::Exists => self.exists += 1,
                LineOutcome::Associated => self.associated += 1,
                LineOutcome::Failed => self.failed += 1,
            }
        }
    }
}

/// Carries out lines for somebody.
#[derive(Debug, Clone)]
pub struct Importer {
    of: ImportOf,
    principal: Principal,
    key: Option<String>,
}

/// A group of lines, carried out.
#[derive(Debug)]
pub struct Imported {
    /// A report for each line, in order.
    pub reports: Vec<LineReport>,
    /// Whether the store failed, so that going on is in vain.
    pub store_failed: bool,
}

impl Importer {
    /// Imports in the name of a principal. `idempotency_key` makes an import of operations safe to repeat line by line,
    /// where a line has no key of its own.
    #[must_use]
    pub fn new(of: ImportOf, principal: &Principal, idempotency_key: Option<&str>) -> Self {
        // The key of a line has to fit wherever the key of the request does.
        let key = idempotency_key
            .map(|key| hex::encode(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref()));
        Self { of, principal: principal.clone(), key }
    }

    /// Carries out a group of lines: those of one EID one after the other, those of different ones side by side.
    pub async fn carry_out(&self, lines: Vec<ImportLine>, eim: &Eim) -> Imported {
        let mut done: Vec<Done> = lines.iter().map(Done::cut_off).collect();
        // In the order of the file, which a store with one writer then keeps.
        let mut by_eid: Vec<Vec<(usize, ImportLine)>> = Vec::new();
        let mut places: HashMap<Option<String>, usize> = HashMap::new();
        for (index, line) in lines.into_iter().enumerate() {
            let eid = line.body.as_ref().ok().and_then(eid_of);
            let place = *places.entry(eid).or_insert(by_eid.len());
            match by_eid.get_mut(place) {
                Some(group) => group.push((index, line)),
                None => by_eid.push(vec![(index, line)]),
            }
        }
        let mut groups = JoinSet::new();
        for group in by_eid {
            let (importer, eim) = (self.clone(), eim.clone());
            groups.spawn(async move {
                let mut done = Vec::with_capacity(group.len());
                for (index, line) in group {
                    done.push((index, importer.line(line, &eim).await));
                }
                done
            });
        }
        while let Some(group) = groups.join_next().await {
            for (index, outcome) in group.unwrap_or_default() {
                if let Some(place) = done.get_mut(index) {
                    *place = outcome;
                }
            }
        }
        let store_failed = done.iter().any(|done| done.store_failed);
        Imported { reports: done.into_iter().map(|done| done.report).collect(), store_failed }
    }

    async fn line(&self, line: ImportLine, eim: &Eim) -> Done {
        let ImportLine { line, body, format } = line;
        let (eid, outcome) = match body {
            Err(errors) => (None, Err(ManageError::Invalid(errors))),
            Ok(body) => {
                let eid = eid_of(&body);
                let outcome = match self.of {
                    ImportOf::Euiccs | ImportOf::Manufacturing => self.euicc(body, eim).await,
                    ImportOf::Operations => self.operation(line, body, eim).await,
                };
                (eid, outcome)
            }
        };
        Done::of(line, eid, outcome, format)
    }

    async fn euicc(&self, body: Map<String, Value>, eim: &Eim) -> Result<Made, ManageError> {
        let mut given = NewEuicc::from_json(Value::Object(body))?;
        if self.of == ImportOf::Manufacturing {
            let association = given.association.get_or_insert_default();
            if association.learned_by.as_ref().is_some_and(|word| word != LearnedBy::Manufacturing.as_str()) {
                return Err(ManageError::invalid(
                    "/association/learnedBy",
                    "manufacturing is expected here, or nothing",
                ));
            }
            association.learned_by = Some(LearnedBy::Manufacturing.as_str().to_owned());
        }
        if given.result_policy.as_deref() == Some("lab") && !self.principal.role.may(Role::Admin) {
            return Err(ManageError::invalid("/resultPolicy", "setting it to lab needs the role admin"));
        }
        let now = eim.clock().now_ms();
        let new = read(given.clone(), now, eim)?;
        let eid = new.eid;
        match insert(new.clone(), None, now, eim).await? {
            Enqueued::Done => Ok(Made::created(None)),
            _ => match eim.store().euicc(eid).await? {
                // What another eIM offers of a device that is known here and not associated is its association.
                Some((stored, _))
                    if stored.state == EuiccState::Unmanaged
                        && new.own_association.learned_by == Some(LearnedBy::Handover) =>
                {
                    let association = given.association.unwrap_or_default();
                    let told = json!({
                        "associationToken": association.association_token,
                        "counterValue": new.counter.value(),
                        "learnedBy": LearnedBy::Handover.as_str(),
                        "toldBy": association.told_by,
                        "signingKey": association.signing_key,
                        "eimId": association.eim_id,
                    });
                    renew_association(&eid.to_string(), told, None, eim).await?;
                    Ok(Made { outcome: LineOutcome::Associated, id: None })
                }
                Some((stored, _)) => {
                    let errors = differences(&given, &new, &stored);
                    if errors.is_empty() { Ok(Made::exists(None)) } else { Err(ManageError::Invalid(errors)) }
                }
                None => Err(ManageError::invalid("/eid", "it is registered already and can't be taken")),
            },
        }
    }

    async fn operation(&self, line: u64, mut body: Map<String, Value>, eim: &Eim) -> Result<Made, ManageError> {
        let eid = match body.remove("eid") {
            Some(Value::String(eid)) => eid,
            _ => return Err(ManageError::invalid("/eid", "an EID of 32 digits is expected")),
        };
        let key = match body.remove("idempotencyKey") {
            None | Some(Value::Null) => self.key.as_ref().map(|key| format!("{key}-{line}")),
            Some(Value::String(key)) => Some(key),
            Some(_) => return Err(ManageError::invalid("/idempotencyKey", "a text is expected")),
        };
        let made = queue_operation(&eid, Value::Object(body), key.as_deref(), &self.principal, eim).await;
        let (id, before) = made.map_err(|error| match error {
            ManageError::NotFound { .. } => ManageError::invalid("/eid", "no eUICC is registered under this EID"),
            ManageError::Conflict { slug: "idempotency-key-taken", message } => {
                ManageError::invalid("/idempotencyKey", message)
            }
            other => other,
        })?;
        Ok(if before { Made::exists(Some(id)) } else { Made::created(Some(id)) })
    }
}

struct Made {
    outcome: LineOutcome,
    id: Option<String>,
}

impl Made {
    const fn created(id: Option<String>) -> Self {
        Self { outcome: LineOutcome::Created, id }
    }

    const fn exists(id: Option<String>) -> Self {
        Self { outcome: LineOutcome::Exists, id }
    }
}

struct Done {
    report: LineReport,
    store_failed: bool,
}

impl Done {
    fn of(line: u64, eid: Option<String>, outcome: Result<Made, ManageError>, format: BulkFormat) -> Self {
        let eid = eid.map(|eid| eid.chars().take(EID_SHOWN).collect());
        let mut store_failed = false;
        let errors = match outcome {
            Ok(Made { outcome, id }) => {
                let report = LineReport { line, eid, outcome, id, errors: vec![] };
                return Self { report, store_failed };
            }
            Err(ManageError::Invalid(errors)) => errors,
            Err(ManageError::Guard(checks)) => refusals(&checks),
            Err(ManageError::Store(error)) => {
                tracing::error!(%error, line, "a line of an import failed in the store");
                store_failed = true;
                vec![FieldError::new("", "the store failed; import this line again")]
            }
            Err(error) => vec![FieldError::new("", error.to_string())],
        };
        let errors = errors
            .into_iter()
            .map(|error| as_in_line(error, format))
            .map(|FieldError { pointer, message }| LineError { pointer, message })
            .collect();
        Self { report: LineReport { line, eid, outcome: LineOutcome::Failed, id: None, errors }, store_failed }
    }

    /// What is told of a line when its turn did not come to an end.
    fn cut_off(line: &ImportLine) -> Self {
        let errors = vec![LineError { pointer: String::new(), message: "cut off; import this line again".to_owned() }];
        let report = LineReport { line: line.line, eid: None, outcome: LineOutcome::Failed, id: None, errors };
        Self { report, store_failed: false }
    }
}

/// What the guard does not let pass, with the cure.
fn refusals(checks: &[Check]) -> Vec<FieldError> {
    let failed = checks.iter().filter(|check| check.result == CheckResult::Failed);
    let text = |check: &Check| match &check.cure {
        Some(cure) => format!("{} {cure}", check.message),
        None => check.message.clone(),
    };
    failed.map(|check| FieldError::new(format!("/checks/{}", check.name), text(check))).collect()
}

fn eid_of(body: &Map<String, Value>) -> Option<String> {
    Some(body.get("eid")?.as_str()?.to_owned())
}

/// What a line says that does not hold of the eUICC as it is registered. What the line leaves out is not compared, and
/// neither is a counter that has grown since: packages were made meanwhile.
fn differences(given: &NewEuicc, new: &Euicc, stored: &Euicc) -> Vec<FieldError> {
    let association = given.association.clone().unwrap_or_default();
    let token = association.association_token.is_some();
    let token_differs =
        stored.association_token.map(AssociationToken::value) != new.association_token.map(AssociationToken::value);
    [
        ("/label", given.label.is_some() && new.label != stored.label),
        ("/tags", given.tags.is_some() && new.tags != stored.tags),
        ("/resultPolicy", given.result_policy.is_some() && new.result_policy != stored.result_policy),
        ("/association/counterValue", association.counter_value.is_some() && new.counter > stored.counter),
        ("/association/associationToken", token && token_differs),
        ("/association/eimId", association.eim_id.is_some() && new.eim_id != stored.eim_id),
        ("/association/signingKey", association.signing_key.is_some() && new.signing_key != stored.signing_key),
        ("/eumCertificate", given.eum_certificate.is_some() && new.eum_certificate != stored.eum_certificate),
        ("/euiccCertificate", given.euicc_certificate.is_some() && new.euicc_certificate != stored.euicc_certificate),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(pointer, _)| FieldError::new(pointer, "the eUICC is registered with another value; change it with PATCH"))
    .collect()
}
