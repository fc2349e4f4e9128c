//! Importing an export that was looked at before.
//!
//! Nobody here has verified what is imported: profiles and other eIMs are shown as unverified, and of history only that somebody
//! else tells it. Each device is taken whole or not at all.

use super::lines::Lines;
use super::{AssociationLine, ExportStatement, HistoryLine, Line, Parts};
use crate::Eim;
use crate::domain::association::NOT_ASSOCIATED;
use crate::domain::audit::AuditNote;
use crate::domain::{AssociationState, Changes, Euicc, EuiccState, Event, LearnedBy, OtherEim, OwnAssociation};
use crate::manage::register::{Chain, read_with};
use crate::manage::{ImportSummary, LineError, LineOutcome, LineReport, ManageError, NewAssociation, NewEuicc};
use crate::store::Enqueued;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinSet;

/// How many entries of a device's history an import keeps; the latest count.
const HISTORY_MAX: usize = 1_000;
/// How many devices are written side by side; SQLite commits them together.
const GROUP: usize = 64;

/// An import under way, of an export that was looked at before.
pub struct PortableImport {
    says: Arc<ExportStatement>,
    lines_in: Lines,
    number: u64,
    /// The device whose lines come in.
    device: Option<Told>,
    waiting: Vec<Told>,
    summary: ImportSummary,
}

/// What an export says of a device.
struct Told {
    /// The number of its first line.
    line: u64,
    device: NewEuicc,
    association: Option<AssociationLine>,
    rest: Vec<Line>,
    history: VecDeque<HistoryLine>,
}

impl PortableImport {
    /// Begins with what [`super::PortableCheck::finish`] gave for the same octets.
    #[must_use]
    pub fn new(says: ExportStatement) -> Self {
        let summary = ImportSummary::default();
        Self { says: Arc::new(says), lines_in: Lines::default(), number: 0, device: None, waiting: vec![], summary }
    }

    /// The next part of the file. Gives what became of devices that were written meanwhile, in their order.
    ///
    /// # Errors
    /// When the store fails. Devices that were reported are there; import the file again for the others.
    pub async fn push(&mut self, octets: &[u8], eim: &Eim) -> Result<Vec<LineReport>, ManageError> {
        self.lines_in.push(octets);
        let mut reports = Vec::new();
        while let Some(line) = self.lines_in.next() {
            self.number += 1;
            let line = line.unwrap_or_default();
            let Some(line) = Parts::of(&line).and_then(|it| serde_json::from_str(it.text).ok()) else { continue };
            self.line(line);
            if self.waiting.len() >= GROUP {
                reports.extend(self.write(eim).await?);
            }
        }
        Ok(reports)
    }

    /// Writes the last devices, and gives what became of them, and of the whole.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn finish(&mut self, eim: &Eim) -> Result<(Vec<LineReport>, ImportSummary), ManageError> {
        self.lines_in.end();
        let mut reports = self.push(&[], eim).await?;
        self.waiting.extend(self.device.take());
        reports.extend(self.write(eim).await?);
        let says = &self.says;
        let details = json!({ "from": says.eim_id, "at": says.at, "digest": says.digest, "summary": self.summary });
        eim.store().insert_audit(AuditNote::new("exportImported", details), eim.clock().now_ms()).await?;
        Ok((reports, self.summary.clone()))
    }

    fn line(&mut self, line: Line) {
        if let Line::Device(device) = line {
            let (line, device) = (self.number, *device);
            let told = Told { line, device, association: None, rest: vec![], history: VecDeque::new() };
            self.waiting.extend(self.device.replace(told));
            return;
        }
        let Some(told) = &mut self.device else { return };
        match line {
            Line::Association(association) => told.association = Some(*association),
            Line::History(entry) => {
                if told.history.len() >= HISTORY_MAX {
                    told.history.pop_front();
                }
                told.history.push_back(entry);
            }
            other => told.rest.push(other),
        }
    }

    async fn write(&mut self, eim: &Eim) -> Result<Vec<LineReport>, ManageError> {
        let mut writing = JoinSet::new();
        for told in self.waiting.drain(..) {
            let (says, eim) = (Arc::clone(&self.says), eim.clone());
            writing.spawn(async move {
                let (line, eid) = (told.line, told.device.eid.clone());
                let done = put(told, &says, &eim).await;
                (line, eid, done)
            });
        }
        let (mut reports, mut failed) = (Vec::new(), None);
        while let Some(done) = writing.join_next().await {
            let Ok((line, eid, done)) = done else {
                let message = "it was cut off; import the file again".to_owned();
                failed.get_or_insert(ManageError::Conflict { slug: "import-cut-off", message });
                continue;
            };
            let (outcome, errors) = match done {
                Ok(outcome) => (outcome, vec![]),
                Err(ManageError::Invalid(errors)) => {
                    let told =
                        |error: crate::domain::FieldError| LineError { pointer: error.pointer, message: error.message };
                    (LineOutcome::Failed, errors.into_iter().map(told).collect())
                }
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            reports.push(LineReport { line, eid: Some(eid), outcome, id: None, errors });
        }
        match failed {
            Some(error) => Err(error),
            None => {
                reports.sort_by_key(|report| report.line);
                self.summary.count(&reports);
                Ok(reports)
            }
        }
    }
}

/// Writes a device with all that is told of it, or nothing.
async fn put(told: Told, says: &ExportStatement, eim: &Eim) -> Result<LineOutcome, ManageError> {
    let now = eim.clock().now_ms();
    let own = told.association.as_ref().filter(|it| eim.identity_named(&it.eim_id).is_some());
    let mut device = told.device;
    // Counter, token and key are of the eIM that made the export. Another one has its own, or none.
    device.association = own.map(|it| NewAssociation {
        counter_value: Some(it.counter_value),
        association_token: it.association_token,
        eim_id: Some(it.eim_id.clone()),
        signing_key: Some(it.key.clone()),
        ..NewAssociation::default()
    });
    let mut euicc = read_with(device, Chain::MayComeLater, now, eim)?;
    match own {
        Some(own) => take_over(&mut euicc, own, says, now),
        None => {
            // Until it is associated with this eIM nothing is signed for it.
            euicc.state = EuiccState::Unmanaged;
            let warning = format!("imported from the eIM {}; {NOT_ASSOCIATED}", says.eim_id);
            euicc.warnings.push(warning);
        }
    }
    let mut changes = Changes::default();
    for line in &told.rest {
        match line {
            Line::Profile(it) => changes.profiles.put.extend(it.profile(now)),
            Line::OtherEim(it) => match it.other_eim(now) {
                Some(eim) => changes.other_eims.put.push(eim),
                None => euicc.warnings.push("another eIM of the export has a name that can't be kept".to_owned()),
            },
            _ => {}
        }
    }
    if own.is_none() {
        // To this eIM the one that made the export is another one.
        changes.other_eims.put.extend(told.association.as_ref().and_then(|it| exporting(it, now)));
    }
    changes.other_eims.put.retain(|other| eim.identity_named(&other.eim_id).is_none());
    for HistoryLine { at, event_type, details, .. } in told.history {
        let entry = json!({ "at": at, "type": event_type, "details": details });
        changes.events.push(Event::new("historyImported", json!({ "from": says.eim_id, "entry": entry })));
    }
    let event = Event::new("registered", json!({ "importedFrom": says.eim_id, "digest": says.digest }));
    let eid = euicc.eid;
    match eim.store().import_euicc(euicc, event, changes, now).await? {
        Enqueued::Done => Ok(LineOutcome::Created),
        _ if eim.store().euicc(eid).await?.is_some() => Ok(LineOutcome::Exists),
        _ => Err(ManageError::invalid("/eid", "it is registered already and can't be taken")),
    }
}

/// The association that this same eIM had elsewhere. It counts as in force when the eUICC has answered a package from here.
fn take_over(euicc: &mut Euicc, own: &AssociationLine, says: &ExportStatement, now: i64) {
    euicc.state = match EuiccState::from_word(&own.state) {
        // Never seen here.
        None | Some(EuiccState::Active) => EuiccState::Registered,
        Some(state) => state,
    };
    euicc.key_facts = own.key_facts.clone();
    // A search goes on in operations, which stayed behind: it is begun anew by an operator.
    euicc.key_facts.search = None;
    // Which keys were made after that is not told by when this server first saw them.
    euicc.key_facts.doubted_at = euicc.key_facts.doubted_at.map(|_| now);
    if let Some(next) = euicc.key_facts.next {
        euicc.warnings.push(format!(
            "it was being given the signing key {next} when it was exported; find out which one it trusts, and set it with PATCH"
        ));
    }
    euicc.own_association = OwnAssociation {
        highest_token: own.highest_token,
        highest_counter: own.highest_counter,
        lost_at: (euicc.state == EuiccState::AssociationLost).then_some(now),
        lost_cause: own.lost_cause.clone().filter(|_| euicc.state == EuiccState::AssociationLost),
        ..OwnAssociation::told(LearnedBy::Imported, Some(says.eim_id.clone()), now)
    };
}

/// The eIM that made the export, as another eIM on the device.
fn exporting(it: &AssociationLine, now: i64) -> Option<OtherEim> {
    if it.state == EuiccState::Unmanaged.as_str() {
        return None;
    }
    Some(OtherEim {
        eim_id: it.eim_id.clone(),
        eim_id_type: None,
        eim_fqdn: None,
        supported_protocol: vec![],
        association_token: it.association_token,
        counter_value: None,
        key_sha256: hex::decode(&it.key).ok().and_then(|digest| digest.try_into().ok()),
        learned_by: LearnedBy::Imported,
        state: AssociationState::Associated,
        operation: None,
        learned_at: now,
        changed_at: now,
    })
}
