//! The portable export: devices, associations, profiles and history of a tenant, with digests and a signature, so that nobody is
//! locked in; and its import on another server.
//!
//! Every line has a digest of its text, so that what does not fit is named; the last line is a statement of the eIM about all of
//! them. An import looks at the whole file first, and changes nothing when anything does not fit.

use super::register::read;
use super::statement::{own_key_id, sign};
use super::{ManageError, NewAssociation, NewEuicc};
use crate::Eim;
use crate::domain::audit::AuditNote;
use crate::domain::changes::ProfileChanges;
use crate::domain::keys::KeyFacts;
use crate::domain::statement::{Purpose, SignedStatement, digest};
use crate::domain::{Changes, Event, InstalledRules, Profile, rfc3339};
use crate::ids::{AssociationToken, Eid, Iccid};
use crate::store::{Enqueued, EuiccFilter, Saved};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How many devices are read at once.
const DEVICES: i64 = 50;
/// How many entries of a timeline are read at once.
const ENTRIES: i64 = 500;
/// How many faults are told.
const FAULTS_MAX: usize = 100;
/// How many entries of a device's history an import keeps; the latest count.
const HISTORY_MAX: usize = 1_000;
/// The version of the notation.
const NOTATION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Heading {
    eim_export: u32,
    eim_id: String,
    tenant: String,
}

/// What is said about an export, and signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportStatement {
    /// The eIM that made it.
    pub eim_id: String,
    /// Whose devices.
    pub tenant: String,
    /// When it was made, RFC 3339.
    pub at: String,
    /// How many lines it has between the first and the last.
    pub lines: u64,
    /// How many devices.
    pub devices: u64,
    /// SHA-256 over the first line and the digests of all others in their order, hexadecimal.
    pub digest: String,
}

/// A line between the first and the last.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Device(Box<NewEuicc>),
    Association(AssociationLine),
    Profile(Box<ProfileLine>),
    History(HistoryLine),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AssociationLine {
    eid: String,
    eim_id: String,
    state: String,
    counter_value: i64,
    association_token: Option<i64>,
    key: String,
    /// What forbids that a counter is used twice: those of other keys, and a key that it may trust by now.
    key_facts: KeyFacts,
    highest_token: i64,
    highest_counter: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileLine {
    eid: String,
    raw_iccid: String,
    enabled: Option<bool>,
    class: Option<i64>,
    name: Option<String>,
    service_provider: Option<String>,
    fallback: Option<bool>,
    aid: Option<String>,
    ppr1: Option<bool>,
    ppr2: Option<bool>,
    owner_mcc_mnc: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HistoryLine {
    eid: String,
    at: String,
    #[serde(rename = "type")]
    event_type: String,
    details: Map<String, Value>,
}

impl Line {
    fn eid(&self) -> &str {
        match self {
            Self::Device(device) => &device.eid,
            Self::Association(association) => &association.eid,
            Self::Profile(profile) => &profile.eid,
            Self::History(history) => &history.eid,
        }
    }
}

/// Digests of lines, in their order.
#[derive(Clone)]
struct Digests(ring::digest::Context);

impl Digests {
    fn begin(heading: &str) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(heading.as_bytes());
        Self(context)
    }

    fn add(&mut self, digest: &str) {
        self.0.update(digest.as_bytes());
    }

    fn finish(self) -> String {
        hex::encode(self.0.finish())
    }
}

/// An export under way. Rows that are written meanwhile may be in it or not.
pub struct PortableExport {
    digests: Option<Digests>,
    tenant: String,
    after: i64,
    lines: u64,
    devices: u64,
    ended: bool,
}

/// Begins a portable export of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn export_portable(eim: &Eim) -> Result<PortableExport, ManageError> {
    let tenant = eim.store().chain_end().await?.tenant;
    Ok(PortableExport { digests: None, tenant, after: 0, lines: 0, devices: 0, ended: false })
}

impl PortableExport {
    /// The next part; `None` when all is out.
    ///
    /// # Errors
    /// When the store or the signing key fails.
    pub async fn next_part(&mut self, eim: &Eim) -> Result<Option<String>, ManageError> {
        if self.ended {
            return Ok(None);
        }
        let mut out = String::new();
        let eim_id = eim.identity().eim_id.as_str();
        let mut digests = match self.digests.take() {
            Some(digests) => digests,
            None => {
                let heading = Heading { eim_export: NOTATION, eim_id: eim_id.to_owned(), tenant: self.tenant.clone() };
                let text = text(&heading);
                out.push_str(&text);
                out.push('\n');
                Digests::begin(&text)
            }
        };
        let filter = EuiccFilter { tag: None, state: None, after: self.after, limit: DEVICES };
        let found = eim.store().euiccs(filter).await?;
        self.after = found.last().map_or(self.after, |listed| listed.seq);
        self.ended = found.is_empty();
        for listed in found {
            self.devices += 1;
            for line in device_lines(&listed.euicc, eim).await? {
                let text = text(&line);
                let digest = digest(text.as_bytes());
                self.lines += 1;
                digests.add(&digest);
                out.push_str(&format!("{{\"digest\":\"{digest}\",\"says\":{text}}}\n"));
            }
        }
        if !self.ended {
            self.digests = Some(digests);
            return Ok(Some(out));
        }
        let now = eim.clock().now_ms();
        let says = ExportStatement {
            eim_id: eim_id.to_owned(),
            tenant: self.tenant.clone(),
            at: rfc3339(now),
            lines: self.lines,
            devices: self.devices,
            digest: digests.finish(),
        };
        let signed = sign(Purpose::Export, &says, eim).await?;
        let details = json!({
            "key": own_key_id(eim),
            "digest": digest(signed.statement.as_bytes()),
            "purpose": "export",
            "devices": self.devices,
        });
        eim.store().insert_audit(AuditNote::new("keyUsed", details), now).await?;
        out.push_str(&text(&json!({ "signed": signed })));
        out.push('\n');
        Ok(Some(out))
    }
}

/// Texts, numbers and lists only: this can't fail.
fn text(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

async fn device_lines(euicc: &crate::domain::Euicc, eim: &Eim) -> Result<Vec<Line>, ManageError> {
    let eid = euicc.eid.to_string();
    let base64 = |der: &Option<Vec<u8>>| der.as_ref().map(|der| STANDARD.encode(der));
    let token = euicc.association_token.map(AssociationToken::value);
    let mut lines = vec![
        Line::Device(Box::new(NewEuicc {
            eid: eid.clone(),
            label: euicc.label.clone(),
            tags: Some(euicc.tags.clone()).filter(|tags| !tags.is_empty()),
            association: None,
            eum_certificate: base64(&euicc.eum_certificate),
            euicc_certificate: base64(&euicc.euicc_certificate),
            // Whoever imports it decides on its own whom to believe.
            result_policy: None,
        })),
        Line::Association(AssociationLine {
            eid: eid.clone(),
            eim_id: eim.eim_id_of(euicc).as_str().to_owned(),
            state: euicc.state.as_str().to_owned(),
            counter_value: euicc.counter.value(),
            association_token: token,
            key: euicc.signing_key.map_or_else(|| own_key_id(eim), |key| key.to_string()),
            key_facts: euicc.key_facts.clone(),
            highest_token: euicc.own_association.highest_token,
            highest_counter: euicc.own_association.highest_counter,
        }),
    ];
    for profile in eim.store().profiles(euicc.eid).await? {
        lines.push(Line::Profile(Box::new(ProfileLine {
            eid: eid.clone(),
            raw_iccid: hex::encode_upper(profile.iccid.octets()),
            enabled: profile.enabled,
            class: profile.profile_class,
            name: profile.name,
            service_provider: profile.service_provider,
            fallback: profile.fallback,
            aid: profile.aid.map(hex::encode_upper),
            ppr1: profile.rules.map(|rules| rules.ppr1),
            ppr2: profile.rules.map(|rules| rules.ppr2),
            owner_mcc_mnc: profile.owner_mcc_mnc,
        })));
    }
    let mut after = 0;
    loop {
        let found = eim.store().events(euicc.eid, after, ENTRIES).await?;
        let Some(last) = found.last() else { break };
        after = last.seq;
        lines.extend(found.into_iter().map(|event| {
            Line::History(HistoryLine {
                eid: eid.clone(),
                at: rfc3339(event.at),
                event_type: event.event_type,
                details: event.details,
            })
        }));
    }
    Ok(lines)
}

/// Digest and text of a line, the text as it stands there.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (digest, rest) = line.strip_prefix("{\"digest\":\"")?.split_once("\",\"says\":")?;
    Some((digest, rest.strip_suffix('}')?))
}

/// A look at a whole export, a line at a time, before anything of it is imported.
pub struct PortableCheck {
    /// Names of keys that are believed.
    trusted: Vec<String>,
    heading: Option<Heading>,
    digests: Option<Digests>,
    number: u64,
    lines: u64,
    devices: u64,
    device: String,
    signed: Option<ExportStatement>,
    faults: Vec<String>,
}

impl PortableCheck {
    /// Begins. `trusted` names keys that are known from elsewhere, see [`crate::domain::statement::key_id`].
    #[must_use]
    pub fn new(trusted: Vec<String>) -> Self {
        Self {
            trusted,
            heading: None,
            digests: None,
            number: 0,
            lines: 0,
            devices: 0,
            device: String::new(),
            signed: None,
            faults: vec![],
        }
    }

    fn fault(&mut self, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(message.into());
        }
    }

    /// The next line, without its line feed.
    pub fn line(&mut self, line: &str) {
        self.number += 1;
        let number = self.number;
        if self.heading.is_none() {
            match serde_json::from_str::<Heading>(line) {
                Ok(heading) if heading.eim_export == NOTATION => {
                    self.digests = Some(Digests::begin(line));
                    self.heading = Some(heading);
                }
                // Nothing behind it can be judged.
                _ if number == 1 => self.fault("line 1 is not the first line of a portable export"),
                _ => {}
            }
            return;
        }
        if self.signed.is_some() {
            return self.fault(format!("line {number} stands behind the end"));
        }
        if let Some((said, text)) = parts(line) {
            self.lines += 1;
            if let Some(digests) = &mut self.digests {
                digests.add(said);
            }
            let read: Option<Line> = serde_json::from_str(text).ok();
            let of = read.as_ref().map_or_else(|| self.device.clone(), |line| line.eid().to_owned());
            if digest(text.as_bytes()) != said {
                self.fault(format!("line {number} (eUICC {of}): its digest does not fit what it says"));
            }
            match read {
                None => self.fault(format!("line {number} (eUICC {of}): it can't be read")),
                Some(Line::Device(device)) => {
                    self.devices += 1;
                    self.device.clone_from(&device.eid);
                }
                Some(line) if line.eid() != self.device => {
                    self.fault(format!("line {number} (eUICC {of}): it does not stand behind its device"));
                }
                Some(_) => {}
            }
            return;
        }
        let signed = serde_json::from_str::<Map<String, Value>>(line).ok();
        let signed = signed.and_then(|mut members| serde_json::from_value(members.remove("signed")?).ok());
        let Some(signed): Option<SignedStatement> = signed else {
            return self.fault(format!("line {number} is none of a portable export"));
        };
        self.conclude(&signed);
    }

    fn conclude(&mut self, signed: &SignedStatement) {
        let says: ExportStatement = match signed.open(Purpose::Export) {
            Ok(says) => says,
            Err(error) => return self.fault(format!("line {}: the statement of the eIM: {error}", self.number)),
        };
        if !signed.key_id().is_ok_and(|key| self.trusted.contains(&key)) {
            self.fault("the export is signed by a key that is not trusted here");
        }
        let heading = self.heading.as_ref().map(|heading| (heading.eim_id.clone(), heading.tenant.clone()));
        if heading != Some((says.eim_id.clone(), says.tenant.clone())) {
            self.fault("line 1: another eIM or tenant has signed the export");
        }
        if (says.lines, says.devices) != (self.lines, self.devices) {
            self.fault(format!(
                "{} lines and {} devices were signed, and there are {} and {}",
                says.lines, says.devices, self.lines, self.devices
            ));
        }
        if self.digests.take().map(Digests::finish) != Some(says.digest.clone()) {
            self.fault("the digests of the lines are not those that were signed");
        }
        self.signed = Some(says);
    }

    /// What was signed, when everything fits.
    ///
    /// # Errors
    /// What does not fit, a sentence for each, the first hundred.
    pub fn finish(mut self) -> Result<ExportStatement, Vec<String>> {
        if self.signed.is_none() && self.faults.is_empty() {
            self.fault("the export is not whole: its last line is missing");
        }
        match self.signed {
            Some(says) if self.faults.is_empty() => Ok(says),
            _ => Err(self.faults),
        }
    }
}

/// What came of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PortableSummary {
    /// Devices that are new here.
    pub imported: u64,
    /// Devices that were here before; nothing of them was changed.
    pub exists: u64,
    /// Devices that can't be taken here; the log says why.
    pub failed: u64,
}

/// An import under way, of an export that was looked at before.
///
/// Nobody here has verified what is imported: profiles are shown as unverified, and of history only that somebody else tells it.
pub struct PortableImport {
    says: ExportStatement,
    device: Vec<Line>,
    summary: PortableSummary,
}

impl PortableImport {
    /// Begins with what [`PortableCheck::finish`] gave for the same octets.
    #[must_use]
    pub fn new(says: ExportStatement) -> Self {
        Self { says, device: vec![], summary: PortableSummary::default() }
    }

    /// The next line. A device is written when the next one begins.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn line(&mut self, line: &str, eim: &Eim) -> Result<(), ManageError> {
        let Some(line) = parts(line).and_then(|(_, text)| serde_json::from_str::<Line>(text).ok()) else {
            return Ok(());
        };
        if matches!(line, Line::Device(_)) {
            self.put_device(eim).await?;
        }
        self.device.push(line);
        Ok(())
    }

    /// Writes the last device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish(mut self, eim: &Eim) -> Result<PortableSummary, ManageError> {
        self.put_device(eim).await?;
        let details = json!({ "from": self.says.eim_id, "at": self.says.at, "digest": self.says.digest, "summary": self.summary });
        eim.store().insert_audit(AuditNote::new("exportImported", details), eim.clock().now_ms()).await?;
        Ok(self.summary)
    }

    async fn put_device(&mut self, eim: &Eim) -> Result<(), ManageError> {
        let mut lines = std::mem::take(&mut self.device).into_iter();
        let Some(Line::Device(mut device)) = lines.next() else { return Ok(()) };
        let lines: Vec<Line> = lines.collect();
        let now = eim.clock().now_ms();
        // Counter and token are of the eIM that made the export. Another one has its own, or none.
        device.association = lines.iter().find_map(|line| match line {
            Line::Association(it) if eim.identity_named(&it.eim_id).is_some() => Some(NewAssociation {
                counter_value: Some(it.counter_value),
                association_token: it.association_token,
                eim_id: Some(it.eim_id.clone()),
                signing_key: Some(it.key.clone()),
                ..NewAssociation::default()
            }),
            _ => None,
        });
        let device_is_foreign = device.association.is_none();
        let mut euicc = match read(*device, now, eim) {
            Ok(euicc) => euicc,
            Err(error) => {
                tracing::warn!(%error, "a device of an export can't be taken");
                self.summary.failed += 1;
                return Ok(());
            }
        };
        for line in &lines {
            if let Line::Association(it) = line
                && !device_is_foreign
            {
                euicc.key_facts = it.key_facts.clone();
                euicc.own_association.highest_token = it.highest_token;
                euicc.own_association.highest_counter = it.highest_counter;
            }
        }
        if device_is_foreign {
            euicc.warnings.push(format!("imported from the eIM {}; this eIM is not associated yet", self.says.eim_id));
        }
        let eid = euicc.eid;
        let event = Event::new("registered", json!({ "importedFrom": self.says.eim_id, "digest": self.says.digest }));
        let made = eim.store().insert_euicc(euicc, event, None, now).await?;
        let version = eim.store().euicc(eid).await?.map(|(euicc, _)| euicc.version);
        // One that was registered and not filled, since an import broke off there, is filled now.
        let unfilled = version == Some(1) && eim.store().profiles(eid).await?.is_empty();
        if made != Enqueued::Done && !unfilled {
            self.summary.exists += 1;
            return Ok(());
        }
        let changes = self.changes(eid, &lines, now);
        match eim.save(eid, 1, changes, now).await? {
            Saved::Done => self.summary.imported += 1,
            Saved::Conflict => self.summary.exists += 1,
        }
        Ok(())
    }

    fn changes(&self, eid: Eid, lines: &[Line], now: i64) -> Changes {
        let mut changes = Changes { profiles: ProfileChanges::default(), ..Changes::default() };
        let mut history = Vec::new();
        for line in lines.iter().filter(|line| line.eid() == eid.to_string()) {
            match line {
                Line::Profile(it) => changes.profiles.put.extend(profile(it, now)),
                Line::History(it) => history.push(json!({ "at": it.at, "type": it.event_type, "details": it.details })),
                Line::Device(_) | Line::Association(_) => {}
            }
        }
        let before = history.len().saturating_sub(HISTORY_MAX);
        for entry in history.drain(before..) {
            let details = json!({ "from": self.says.eim_id, "entry": entry });
            changes.events.push(Event::new("historyImported", details));
        }
        changes
    }
}

fn profile(line: &ProfileLine, now: i64) -> Option<Profile> {
    let rules = line.ppr1.zip(line.ppr2).map(|(ppr1, ppr2)| InstalledRules { ppr1, ppr2 });
    Some(Profile {
        iccid: Iccid::from_octets(&hex::decode(&line.raw_iccid).ok()?).ok()?,
        enabled: line.enabled,
        profile_class: line.class,
        name: line.name.clone(),
        service_provider: line.service_provider.clone(),
        fallback: line.fallback,
        aid: line.aid.as_ref().and_then(|aid| hex::decode(aid).ok()),
        verified: false,
        updated_at: now,
        rules,
        owner_mcc_mnc: line.owner_mcc_mnc.clone(),
    })
}
