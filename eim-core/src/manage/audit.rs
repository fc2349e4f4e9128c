//! The audit log: what is noted in it from here, how it is shown, exported and verified.

use super::api_key::Principal;
use super::statement::own_key_id;
use super::views::Page;
use super::{ManageError, page};
use crate::Eim;
use crate::domain::audit::{AuditNote, Check, Checkpoint, Link, Record, Report};
use crate::domain::rfc3339;
use crate::domain::statement::{Purpose, SignedStatement};
use crate::ids::Eid;
use crate::store::audit::{AuditFilter, ChainEnd, LinkedRecord, StoredCheckpoint};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// How many records are read at once.
const PAGE: i64 = 500;
/// The longest method and path that are recorded, characters.
const RECORDED_MAX: usize = 512;

/// A record of the audit log.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecordView {
    /// Its position in the tenant's chain, from 1.
    pub position: i64,
    /// When.
    pub at: String,
    /// What happened.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The eUICC that it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub eid: String,
    /// The path of what it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The other members.
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
    /// SHA-256 over it and all before it, hexadecimal.
    pub link: String,
}

/// A checkpoint of the audit log: a statement about its link, signed with the eIM's key.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointView {
    /// Counted from 1.
    pub number: i64,
    /// The record that it is about.
    pub position: i64,
    /// When it was made.
    pub at: String,
    /// What was signed: a line that names the purpose, and a JSON object.
    pub statement: String,
    /// The key that signed it: SubjectPublicKeyInfo, DER, hexadecimal.
    pub public_key: String,
    /// ECDSA with SHA-256, r || s, hexadecimal.
    pub signature: String,
}

impl From<StoredCheckpoint> for CheckpointView {
    fn from(stored: StoredCheckpoint) -> Self {
        let SignedStatement { statement, public_key, signature } = stored.signed;
        let at = rfc3339(stored.at);
        Self { number: stored.number, position: stored.position, at, statement, public_key, signature }
    }
}

/// Notes that the server has started.
///
/// # Errors
/// When the store fails.
pub async fn note_start(role: &str, version: &str, eim: &Eim) -> Result<(), ManageError> {
    let details =
        json!({ "role": role, "version": version, "eimId": eim.identity().eim_id.as_str(), "key": own_key_id(eim) });
    Ok(eim.store().insert_audit(AuditNote::new("serverStarted", details), eim.clock().now_ms()).await?)
}

/// Notes that a command is begun, before anything of it is done, and gives the name under which its outcome is noted.
///
/// # Errors
/// When the store fails: then it must not be begun.
pub async fn begin_command(action: &str, path: &str, principal: &Principal, eim: &Eim) -> Result<String, ManageError> {
    let id: [u8; 8] = eim.entropy().octets();
    let id = hex::encode(id);
    let details = json!({
        "command": id,
        "action": short(action),
        "key": principal.key_id,
        "keyName": principal.name,
        "authority": format!("role {}", principal.role),
    });
    let note = AuditNote { eid: eid_in(path), ..AuditNote::new("commandBegun", details).about(short(path)) };
    eim.store().insert_audit(note, eim.clock().now_ms()).await?;
    Ok(id)
}

/// Notes that somebody fetches what leaves the server in bulk or in its name (exports, offers and proofs of hand-overs), before it does.
///
/// # Errors
/// When the store fails: then it must not leave.
pub async fn note_reading(action: &str, path: &str, principal: &Principal, eim: &Eim) -> Result<(), ManageError> {
    let details = json!({
        "action": short(action),
        "key": principal.key_id,
        "keyName": principal.name,
        "authority": format!("role {}", principal.role),
    });
    let note = AuditNote { eid: eid_in(path), ..AuditNote::new("fetched", details).about(short(path)) };
    Ok(eim.store().insert_audit(note, eim.clock().now_ms()).await?)
}

/// The EID in a path of the API.
pub(super) fn eid_in(path: &str) -> Option<Eid> {
    path.split('/').find(|part| part.len() == 32).and_then(|part| part.parse().ok())
}

fn short(text: &str) -> String {
    text.chars().take(RECORDED_MAX).filter(|c| *c != '\0').collect()
}

/// Notes that somebody came without a key.
pub fn note_missing_key(eim: &Eim) {
    eim.refuse_login(crate::ids::TenantId::DEFAULT, "", "noKey");
}

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditListFilter {
    /// Only those about this eUICC.
    pub eid: Option<String>,
    /// Only those of this type.
    pub record_type: Option<String>,
    /// `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// How many items a page may have.
    pub limit: Option<u32>,
}

/// Lists the tenant's audit log in its order.
///
/// # Errors
/// When a filter or the cursor can't be taken.
pub async fn list_audit(filter: AuditListFilter, eim: &Eim) -> Result<Page<AuditRecordView>, ManageError> {
    let (after, limit) = page::bounds(filter.cursor.as_deref(), filter.limit)?;
    let eid = match filter.eid {
        None => None,
        Some(text) => {
            let eid: Eid = text.parse().map_err(|_| ManageError::invalid("/eid", "an EID of 32 digits is expected"))?;
            Some(eid.to_string())
        }
    };
    let filter = AuditFilter { eid, record_type: filter.record_type, after, limit: limit + 1 };
    let mut found = eim.store().audit_records(filter).await?;
    let next_cursor = page::cut(&mut found, limit, |record| record.position);
    Ok(Page { items: found.into_iter().map(view).collect(), next_cursor })
}

fn view(linked: LinkedRecord) -> AuditRecordView {
    let LinkedRecord { position, link, text, columns } = linked;
    // A record that can't be read was changed; `audit verify` says so, and a list must not hide the rest.
    let record = serde_json::from_str(&text).unwrap_or_else(|_| Record {
        at: rfc3339(columns.at),
        record_type: columns.record_type,
        eid: columns.eid,
        subject: String::new(),
        details: Map::new(),
    });
    let Record { at, record_type, eid, subject, details } = record;
    AuditRecordView { position, at, record_type, eid, subject, details, link: hex::encode(link) }
}

/// Lists the checkpoints of the tenant's audit log.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_checkpoints(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<CheckpointView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().checkpoints(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |checkpoint| checkpoint.number);
    Ok(Page { items: found.into_iter().map(Into::into).collect(), next_cursor })
}

enum Item {
    Record(LinkedRecord),
    Checkpoint(StoredCheckpoint),
}

/// A walk along a log, as far as it went when the walk began: records, with each checkpoint behind its record.
#[derive(Debug)]
struct Walk {
    end: ChainEnd,
    position: i64,
    number: i64,
    done: bool,
}

impl Walk {
    async fn begin(eim: &Eim) -> Result<Self, ManageError> {
        let end = eim.store().chain_end().await?;
        Ok(Self { end, position: 0, number: 0, done: false })
    }

    /// The next part; empty at the end.
    async fn next(&mut self, eim: &Eim) -> Result<Vec<Item>, ManageError> {
        if self.done {
            return Ok(vec![]);
        }
        let filter = AuditFilter { after: self.position, limit: PAGE, ..AuditFilter::default() };
        let mut records = eim.store().audit_records(filter).await?;
        records.retain(|record| record.position <= self.end.position);
        self.done = i64::try_from(records.len()).unwrap_or(PAGE) < PAGE;
        let reached = if self.done { i64::MAX } else { records.last().map_or(i64::MAX, |record| record.position) };
        let last_number = self.end.checkpoint.as_ref().map_or(0, |last| last.number);
        let mut checkpoints = Vec::new();
        loop {
            let found = eim.store().checkpoints(self.number, PAGE).await?;
            let whole = found.len();
            let before = checkpoints.len();
            let near =
                |checkpoint: &StoredCheckpoint| checkpoint.position <= reached && checkpoint.number <= last_number;
            checkpoints.extend(found.into_iter().take_while(near));
            self.number = checkpoints.last().map_or(self.number, |last: &StoredCheckpoint| last.number);
            if checkpoints.len() - before < whole || i64::try_from(whole).unwrap_or(PAGE) < PAGE {
                break;
            }
        }
        self.position = records.last().map_or(self.position, |record| record.position);
        let mut checkpoints = checkpoints.into_iter().peekable();
        let mut items = Vec::new();
        for record in records {
            let position = record.position;
            items.push(Item::Record(record));
            while let Some(due) = checkpoints.next_if(|checkpoint| checkpoint.position <= position) {
                items.push(Item::Checkpoint(due));
            }
        }
        items.extend(checkpoints.map(Item::Checkpoint));
        Ok(items)
    }
}

fn link_of(octets: &[u8]) -> Link {
    // Another length fits no record.
    octets.try_into().unwrap_or([0; 32])
}

/// Verifies the tenant's log in the store. `trusted` names keys that are believed beside this eIM's own, for a log whose last
/// checkpoint is older than the key; `kept` is a checkpoint that was kept elsewhere.
///
/// # Errors
/// When the store fails. What does not fit is in the report.
pub async fn verify_audit(
    mut trusted: Vec<String>,
    kept: Option<Checkpoint>,
    eim: &Eim,
) -> Result<Report, ManageError> {
    trusted.extend(eim.keys().keys().iter().map(|key| key.id.to_string()));
    let mut walk = Walk::begin(eim).await?;
    let mut check = Check::new(&walk.end.tenant, trusted, kept);
    let mut last = None;
    loop {
        let items = walk.next(eim).await?;
        if items.is_empty() {
            break;
        }
        for item in items {
            match item {
                Item::Record(record) => {
                    check.record(record.position, &link_of(&record.link), &record.text);
                    let said: Option<Record> = serde_json::from_str(&record.text).ok();
                    let columns = &record.columns;
                    let fits = said.is_some_and(|said| {
                        said.at == rfc3339(columns.at)
                            && said.record_type == columns.record_type
                            && said.eid == columns.eid
                    });
                    if !fits {
                        let message =
                            format!("what stands beside record {} says otherwise than the record", record.position);
                        check.fault(record.position, message);
                    }
                    last = Some(record.link);
                }
                Item::Checkpoint(stored) => {
                    check.checkpoint(&stored.signed);
                    let said = stored.signed.open::<Checkpoint>(Purpose::AuditCheckpoint);
                    let differs = |said: Checkpoint| {
                        said.at != rfc3339(stored.at)
                            || (said.number, said.position) != (stored.number, stored.position)
                    };
                    if said.is_ok_and(differs) {
                        let message = format!("what stands beside checkpoint {} says otherwise than it", stored.number);
                        check.fault(stored.position, message);
                    }
                }
            }
        }
    }
    let end = &walk.end;
    if check.position() != end.position || last.is_some_and(|last| last != end.link) {
        let message = format!(
            "the log ends with record {}, but its end was noted at record {}: the end was cut off or changed",
            check.position(),
            end.position
        );
        check.fault(None, message);
    }
    let strays = eim.store().audit_strays().await?;
    check.waits(strays.waiting.records, strays.waiting.since, eim.clock().now_ms());
    if strays.without_place > 0 {
        let message = format!(
            "{} record(s) stand outside of the chain where all have had their turn: they were put in, or their places removed",
            strays.without_place
        );
        check.fault(None, message);
    }
    if strays.behind_the_end > 0 {
        let message = format!(
            "{} place(s) stand behind the noted end of the log: they were put in, and nothing can be linked until they are gone",
            strays.behind_the_end
        );
        check.fault(None, message);
    }
    Ok(check.finish())
}

/// The first line of an exported log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heading {
    eim_audit_log: u32,
    eim_id: String,
    tenant: String,
}

/// The version of the notation of exported logs.
const NOTATION: u32 = 1;

/// An export of the tenant's log under way: NDJSON with a heading, records, checkpoints behind the records that they are about,
/// and a last line that says that it is whole.
#[derive(Debug, Default)]
pub struct AuditExport {
    walk: Option<Walk>,
    records: i64,
    checkpoints: i64,
    ended: bool,
}

impl AuditExport {
    /// The next part; `None` when all is out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_part(&mut self, eim: &Eim) -> Result<Option<String>, ManageError> {
        let mut out = String::new();
        if self.walk.is_none() {
            let walk = Walk::begin(eim).await?;
            let eim_id = eim.identity().eim_id.as_str().to_owned();
            put(&mut out, &Heading { eim_audit_log: NOTATION, eim_id, tenant: walk.end.tenant.clone() });
            self.walk = Some(walk);
        }
        let Some(walk) = self.walk.as_mut().filter(|_| !self.ended) else { return Ok(None) };
        let items = walk.next(eim).await?;
        if items.is_empty() {
            self.ended = true;
            put(&mut out, &json!({ "end": { "records": self.records, "checkpoints": self.checkpoints } }));
            return Ok(Some(out));
        }
        for item in items {
            match item {
                Item::Record(record) => {
                    self.records += 1;
                    // The text stands there as it was linked, octet for octet.
                    let (position, link) = (record.position, hex::encode(&record.link));
                    out.push_str(&format!(
                        "{{\"position\":{position},\"link\":\"{link}\",\"record\":{}}}\n",
                        record.text
                    ));
                }
                Item::Checkpoint(stored) => {
                    self.checkpoints += 1;
                    put(&mut out, &json!({ "checkpoint": stored.signed }));
                }
            }
        }
        Ok(Some(out))
    }
}

fn put(out: &mut String, line: &impl Serialize) {
    // Texts and numbers only: this can't fail.
    out.push_str(&serde_json::to_string(line).unwrap_or_default());
    out.push('\n');
}

/// Why a file is no exported audit log.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not of an exported audit log")]
pub struct NotALog {
    /// Counted from 1.
    pub line: u64,
}

/// A check of an exported log, a line at a time.
#[derive(Debug)]
pub struct AuditFileCheck {
    trusted: Vec<String>,
    kept: Option<Checkpoint>,
    check: Option<Check>,
    lines: u64,
    ended: bool,
}

impl AuditFileCheck {
    /// Begins. `trusted` names the keys that are believed.
    #[must_use]
    pub fn new(trusted: Vec<String>, kept: Option<Checkpoint>) -> Self {
        Self { trusted, kept, check: None, lines: 0, ended: false }
    }

    /// The next line, without its line feed.
    ///
    /// # Errors
    /// When the line is none of such a file. What does not fit is in the report.
    pub fn line(&mut self, line: &str) -> Result<(), NotALog> {
        self.lines += 1;
        let strange = NotALog { line: self.lines };
        let Some(check) = &mut self.check else {
            let heading: Heading = serde_json::from_str(line).map_err(|_| strange)?;
            if heading.eim_audit_log != NOTATION {
                return Err(NotALog { line: self.lines });
            }
            self.check = Some(Check::new(&heading.tenant, std::mem::take(&mut self.trusted), self.kept.take()));
            return Ok(());
        };
        if self.ended {
            check.fault(None, format!("line {} stands behind the end", self.lines));
            return Ok(());
        }
        if let Some((position, link, text)) = record_line(line) {
            if serde_json::from_str::<Record>(text).is_err() {
                check.fault(position, format!("record {position} can't be read"));
            }
            check.record(position, &link_of(&hex::decode(link).unwrap_or_default()), text);
            return Ok(());
        }
        let mut members: Map<String, Value> = serde_json::from_str(line).map_err(|_| strange)?;
        if let Some(signed) = members.remove("checkpoint") {
            let signed: SignedStatement = serde_json::from_value(signed).map_err(|_| NotALog { line: self.lines })?;
            check.checkpoint(&signed);
            return Ok(());
        }
        if let Some(end) = members.remove("end") {
            self.ended = true;
            let (records, checkpoints) = check.counts();
            if end != json!({ "records": records, "checkpoints": checkpoints }) {
                check.fault(
                    None,
                    format!(
                        "the file has {records} records and {checkpoints} checkpoints, and its last line says {end}"
                    ),
                );
            }
            return Ok(());
        }
        Err(NotALog { line: self.lines })
    }

    /// Ends the check.
    ///
    /// # Errors
    /// When there was no line at all.
    pub fn finish(self) -> Result<Report, NotALog> {
        let mut check = self.check.ok_or(NotALog { line: 1 })?;
        if !self.ended {
            check.fault(None, "the file is not whole: its last line is missing");
        }
        Ok(check.finish())
    }
}

/// Position, link and text of a line with a record, the text as it stands there.
fn record_line(line: &str) -> Option<(i64, &str, &str)> {
    let (position, rest) = line.strip_prefix("{\"position\":")?.split_once(",\"link\":\"")?;
    let (link, rest) = rest.split_once("\",\"record\":")?;
    let number: i64 = position.parse().ok()?;
    // One spelling, as it is exported.
    if link.bytes().any(|octet| octet.is_ascii_uppercase()) || number.to_string() != position {
        return None;
    }
    Some((number, link, rest.strip_suffix('}')?))
}

/// A checkpoint that was kept elsewhere, as `GET /audit/checkpoints` shows it or as its statement alone. Its signature is
/// verified where there is one.
///
/// # Errors
/// When it can't be read, or its signature does not verify.
pub fn kept_checkpoint(text: &str) -> Result<Checkpoint, ManageError> {
    let wrong = |message: &str| ManageError::invalid("/checkpoint", message);
    if let Some(says) = text.strip_prefix(Purpose::AuditCheckpoint.heading()) {
        return serde_json::from_str(says.trim()).map_err(|_| wrong("the statement of a checkpoint is expected"));
    }
    let members: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| wrong("a checkpoint as the API shows it is expected"))?;
    let member = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let signed = SignedStatement {
        statement: member("statement"),
        public_key: member("publicKey"),
        signature: member("signature"),
    };
    signed.open(Purpose::AuditCheckpoint).map_err(|error| wrong(&error.to_string()))
}
