//! The portable export: devices, every association, profiles and history of a tenant, with digests and a signature, so that nobody
//! is locked in; and its import on another server.
//!
//! Every line has its number and a digest of number and text, so that what does not fit is named, and what is missing or stands
//! elsewhere, too; the last line is a statement of the eIM about all of them. A file has one spelling: whatever the export would have written otherwise was changed on the way. An import looks at the
//! whole file first ([`PortableCheck`]), and changes nothing when anything does not fit.

mod check;
mod export;
mod import;
mod lines;

pub use check::PortableCheck;
pub use export::{PortableExport, export_portable};
pub use import::PortableImport;

use super::NewEuicc;
use crate::Eim;
use crate::domain::keys::KeyFacts;
use crate::domain::statement::digest;
use crate::domain::{AssociationState, EuiccState, InstalledRules, LearnedBy, OtherEim, Profile, rfc3339};
use crate::ids::{Eid, EimId, Iccid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the notation. Lines of the first one had no numbers, so that one that was missing could not be named.
const NOTATION: u32 = 2;

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

/// The keys whose exports are believed without being told: the eIM's own, as far as they are loaded.
#[must_use]
pub fn own_keys(eim: &Eim) -> Vec<String> {
    eim.keys().keys().iter().map(|key| key.id.to_string()).collect()
}

/// A line between the first and the last.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Device(Box<NewEuicc>),
    Association(Box<AssociationLine>),
    OtherEim(Box<OtherEimLine>),
    Profile(Box<ProfileLine>),
    History(HistoryLine),
}

/// The association of the eIM that made the export.
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
    lost_cause: Option<String>,
}

/// The association of another eIM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OtherEimLine {
    eid: String,
    eim_id: String,
    eim_id_type: Option<i64>,
    eim_fqdn: Option<String>,
    supported_protocol: Vec<String>,
    association_token: Option<i64>,
    counter_value: Option<i64>,
    /// SHA-256 of its SubjectPublicKeyInfo, upper-case hexadecimal.
    key_sha256: Option<String>,
    learned_by: String,
    state: String,
    learned_at: String,
    changed_at: String,
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
            Self::OtherEim(eim) => &eim.eid,
            Self::Profile(profile) => &profile.eid,
            Self::History(history) => &history.eid,
        }
    }

    /// Whether it says what can be stored. A device is judged when it is imported, as any that is registered, and so are the names of
    /// other eIMs: an eUICC may list what it likes, and must not make the file of all others useless.
    fn can_be_kept(&self) -> bool {
        match self {
            Self::Device(device) => device.eid.parse::<Eid>().is_ok_and(|eid| eid.to_string() == device.eid),
            Self::Association(it) => {
                let texts = [Some(&it.eim_id), it.lost_cause.as_ref()];
                EuiccState::from_word(&it.state).is_some() && texts.into_iter().flatten().all(|text| fits(text))
            }
            Self::OtherEim(_) => true,
            Self::Profile(profile) => profile.profile(0).is_some(),
            Self::History(history) => fits(&history.at) && fits(&history.event_type),
        }
    }
}

/// PostgreSQL takes no zero in a text.
fn fits(text: &str) -> bool {
    !text.contains('\0')
}

impl OtherEimLine {
    fn of(eid: String, eim: OtherEim) -> Self {
        Self {
            eid,
            eim_id: eim.eim_id,
            eim_id_type: eim.eim_id_type,
            eim_fqdn: eim.eim_fqdn,
            supported_protocol: eim.supported_protocol,
            association_token: eim.association_token,
            counter_value: eim.counter_value,
            key_sha256: eim.key_sha256.map(hex::encode_upper),
            learned_by: eim.learned_by.as_str().to_owned(),
            state: eim.state.as_str().to_owned(),
            learned_at: rfc3339(eim.learned_at),
            changed_at: rfc3339(eim.changed_at),
        }
    }

    /// The same as it is kept here: by hearsay. `None` when no eUICC can have said so.
    fn other_eim(&self, now: i64) -> Option<OtherEim> {
        use AssociationState::{Associated, Foreign, Gone};
        let texts = self.eim_fqdn.iter().chain(&self.supported_protocol).chain([&self.eim_id]);
        let state =
            AssociationState::from_word(&self.state).filter(|state| [Associated, Foreign, Gone].contains(state));
        if !texts.into_iter().all(|text| fits(text)) || self.eim_id.parse::<EimId>().is_err() {
            return None;
        }
        let key = |text: &String| hex::decode(text).ok()?.try_into().ok();
        Some(OtherEim {
            eim_id: self.eim_id.clone(),
            eim_id_type: self.eim_id_type,
            eim_fqdn: self.eim_fqdn.clone(),
            supported_protocol: self.supported_protocol.clone(),
            association_token: self.association_token,
            counter_value: self.counter_value,
            key_sha256: match &self.key_sha256 {
                Some(text) => Some(key(text)?),
                None => None,
            },
            learned_by: LearnedBy::Imported,
            state: state?,
            operation: None,
            learned_at: now,
            changed_at: now,
        })
    }
}

impl ProfileLine {
    fn of(eid: String, profile: Profile) -> Self {
        Self {
            eid,
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
        }
    }

    /// The same as it is kept here: unverified. `None` when no eUICC can have said so.
    fn profile(&self, now: i64) -> Option<Profile> {
        let rules = self.ppr1.zip(self.ppr2).map(|(ppr1, ppr2)| InstalledRules { ppr1, ppr2 });
        let mut texts = [&self.name, &self.service_provider, &self.owner_mcc_mnc, &self.aid].into_iter().flatten();
        if !texts.all(|text| fits(text)) {
            return None;
        }
        Some(Profile {
            iccid: Iccid::from_octets(&hex::decode(&self.raw_iccid).ok()?).ok()?,
            enabled: self.enabled,
            profile_class: self.class,
            name: self.name.clone(),
            service_provider: self.service_provider.clone(),
            fallback: self.fallback,
            aid: match &self.aid {
                Some(aid) => Some(hex::decode(aid).ok()?),
                None => None,
            },
            verified: false,
            updated_at: now,
            rules,
            owner_mcc_mnc: self.owner_mcc_mnc.clone(),
        })
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

/// Texts, numbers and lists only: this can't fail.
fn text(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

/// A line between the first and the last as it stands there.
struct Parts<'a> {
    /// The digest that it has.
    digest: &'a str,
    /// Its number in the export, from 1; the first line of the file counts.
    number: u64,
    /// What it says.
    text: &'a str,
}

impl<'a> Parts<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (digest, rest) = line.strip_prefix("{\"digest\":\"")?.split_once("\",\"line\":")?;
        let (number, rest) = rest.split_once(",\"says\":")?;
        // Another spelling of the number is not the export's.
        let number = number.parse::<u64>().ok().filter(|read| read.to_string() == number)?;
        Some(Self { digest, number, text: rest.strip_suffix('}')? })
    }

    /// Whether number and text are those that the digest was made of.
    fn fits(&self) -> bool {
        line_digest(self.number, self.text) == self.digest
    }
}

/// The digest of a line: SHA-256 over its number in digits, a space and its text, hexadecimal.
fn line_digest(number: u64, text: &str) -> String {
    digest(format!("{number} {text}").as_bytes())
}
