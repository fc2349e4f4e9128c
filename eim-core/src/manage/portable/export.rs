//! Writing the portable export, a part at a time.

use super::{
    AssociationLine, Digests, ExportStatement, Heading, HistoryLine, Line, NOTATION, OtherEimLine, ProfileLine,
    line_digest, text,
};
use crate::Eim;
use crate::domain::audit::AuditNote;
use crate::domain::statement::{Purpose, digest};
use crate::domain::{Euicc, rfc3339};
use crate::ids::{AssociationToken, Eid};
use crate::manage::statement::{own_key_id, sign};
use crate::manage::{ManageError, NewEuicc};
use crate::store::EuiccFilter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::collections::VecDeque;

/// How many devices are read at once.
const DEVICES: i64 = 50;
/// How many entries of a timeline are read at once.
const ENTRIES: i64 = 500;
/// How large a part becomes before it is given out, octets.
const PART_BYTES: usize = 256 * 1024;

/// An export under way. Rows that are written meanwhile may be in it or not.
pub struct PortableExport {
    tenant: String,
    /// Absent before the first line and after the last.
    digests: Option<Digests>,
    /// Devices that were read and not written yet.
    waiting: VecDeque<Euicc>,
    /// The device whose history is being written, and how far.
    history: Option<(Eid, i64)>,
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
    Ok(PortableExport {
        tenant: eim.store().chain_end().await?.tenant,
        digests: None,
        waiting: VecDeque::new(),
        history: None,
        after: 0,
        lines: 0,
        devices: 0,
        ended: false,
    })
}

impl PortableExport {
    /// The next part; `None` when all is out.
    ///
    /// # Errors
    /// When the store or the signing key fails.
    pub async fn next_part(&mut self, eim: &Eim) -> Result<Option<String>, ManageError> {
        let mut out = String::new();
        while !self.ended && out.len() < PART_BYTES {
            if self.digests.is_none() {
                self.begin(&mut out, eim);
            } else {
                self.go_on(&mut out, eim).await?;
            }
        }
        Ok(Some(out).filter(|out| !out.is_empty()))
    }

    fn begin(&mut self, out: &mut String, eim: &Eim) {
        let eim_id = eim.identity().eim_id.as_str().to_owned();
        let text = text(&Heading { eim_export: NOTATION, eim_id, tenant: self.tenant.clone() });
        self.digests = Some(Digests::begin(&text));
        out.push_str(&text);
        out.push('\n');
    }

    /// A page of a history, a device, or the last line.
    async fn go_on(&mut self, out: &mut String, eim: &Eim) -> Result<(), ManageError> {
        if let Some((eid, after)) = self.history {
            let found = eim.store().events(eid, after, ENTRIES).await?;
            self.history = found.last().map(|last| (eid, last.seq));
            for event in found {
                let at = rfc3339(event.at);
                let (event_type, details) = (event.event_type, event.details);
                self.put(&Line::History(HistoryLine { eid: eid.to_string(), at, event_type, details }), out);
            }
            return Ok(());
        }
        if self.waiting.is_empty() {
            let filter = EuiccFilter { tag: None, state: None, after: self.after, limit: DEVICES };
            let found = eim.store().euiccs(filter).await?;
            self.after = found.last().map_or(self.after, |listed| listed.seq);
            self.waiting.extend(found.into_iter().map(|listed| listed.euicc));
        }
        match self.waiting.pop_front() {
            Some(euicc) => self.device(&euicc, out, eim).await,
            None => self.end(out, eim).await,
        }
    }

    fn put(&mut self, line: &Line, out: &mut String) {
        let text = text(line);
        self.lines += 1;
        // The first line of the file is none of these.
        let number = self.lines + 1;
        let digest = line_digest(number, &text);
        if let Some(digests) = &mut self.digests {
            digests.add(&digest);
        }
        out.push_str(&format!("{{\"digest\":\"{digest}\",\"line\":{number},\"says\":{text}}}\n"));
    }

    async fn device(&mut self, euicc: &Euicc, out: &mut String, eim: &Eim) -> Result<(), ManageError> {
        let eid = euicc.eid.to_string();
        let base64 = |der: &Option<Vec<u8>>| der.as_ref().map(|der| STANDARD.encode(der));
        self.devices += 1;
        self.put(
            &Line::Device(Box::new(NewEuicc {
                eid: eid.clone(),
                label: euicc.label.clone(),
                tags: Some(euicc.tags.clone()).filter(|tags| !tags.is_empty()),
                association: None,
                eum_certificate: base64(&euicc.eum_certificate),
                euicc_certificate: base64(&euicc.euicc_certificate),
                // Whoever imports it decides on its own whom to believe.
                result_policy: None,
            })),
            out,
        );
        let mut key_facts = euicc.key_facts.clone();
        if eim.withholds_keys() {
            // What is noted of a restore here must not be lost on the way: no key that is known where it arrives is given to it there.
            key_facts.doubt(eim.clock().now_ms());
        }
        self.put(
            &Line::Association(Box::new(AssociationLine {
                eid: eid.clone(),
                eim_id: eim.eim_id_of(euicc).as_str().to_owned(),
                state: euicc.state.as_str().to_owned(),
                counter_value: euicc.counter.value(),
                association_token: euicc.association_token.map(AssociationToken::value),
                key: euicc.signing_key.map_or_else(|| own_key_id(eim), |key| key.to_string()),
                key_facts,
                highest_token: euicc.own_association.highest_token,
                highest_counter: euicc.own_association.highest_counter,
                lost_cause: euicc.own_association.lost_cause.clone(),
            })),
            out,
        );
        for other in eim.store().other_eims(euicc.eid).await? {
            self.put(&Line::OtherEim(Box::new(OtherEimLine::of(eid.clone(), other))), out);
        }
        for profile in eim.store().profiles(euicc.eid).await? {
            self.put(&Line::Profile(Box::new(ProfileLine::of(eid.clone(), profile))), out);
        }
        self.history = Some((euicc.eid, 0));
        Ok(())
    }

    async fn end(&mut self, out: &mut String, eim: &Eim) -> Result<(), ManageError> {
        let now = eim.clock().now_ms();
        let says = ExportStatement {
            eim_id: eim.identity().eim_id.as_str().to_owned(),
            tenant: self.tenant.clone(),
            at: rfc3339(now),
            lines: self.lines,
            devices: self.devices,
            digest: self.digests.take().map(Digests::finish).unwrap_or_default(),
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
        self.ended = true;
        Ok(())
    }
}
