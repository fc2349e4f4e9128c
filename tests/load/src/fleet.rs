//! The devices of a run, and the files with which they and their operations are imported.

use anyhow::Context;
use eim_core::ids::Eid;
use eim_core::pki::{Curve, SigningKey};
use eim_simulator::fleet::{Registration, fleet_iccid};
use eim_simulator::load::{ApiAssociation, registration};
use eim_simulator::pki::{FleetPki, seeded_key};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The seed of all devices.
pub const SEED: u64 = 1;
/// What the API was told of an eUICC to which the eIM was added by its maker.
const ASSOCIATION: ApiAssociation = ApiAssociation { counter_value: 0, association_token: None };

/// Devices that only poll. Their certificates are real, each with its EID, but name one key for all: they never sign.
#[derive(Debug, Clone)]
pub struct Pollers {
    pki: FleetPki,
    key: Arc<SigningKey>,
}

impl Pollers {
    /// Any number of them.
    ///
    /// # Errors
    /// When no key can be made, which does not happen in practice.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { pki: FleetPki::generate(SEED)?, key: Arc::new(seeded_key(Curve::P256, SEED, "all eUICCs")?) })
    }

    /// Writes the CI certificate for the server to trust.
    ///
    /// # Errors
    /// When that fails.
    pub fn write_ci(&self, folder: &Path) -> anyhow::Result<()> {
        self.pki.write_ci_dir(folder)?;
        Ok(())
    }

    /// Their EIDs.
    #[must_use]
    pub fn eids(&self, devices: Range<u32>) -> Vec<Eid> {
        devices.map(|index| self.pki.eid(index)).collect()
    }

    /// Writes them as an import takes them (NDJSON).
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_devices(&self, devices: Range<u32>, file: &Path) -> anyhow::Result<()> {
        let eum_certificate = self.pki.eum_certificate().to_vec();
        write(file, devices, |index| {
            let device = Registration {
                eid: self.pki.eid(index),
                eum_certificate: eum_certificate.clone(),
                euicc_certificate: self.pki.euicc_certificate(index, &self.key),
            };
            let mut body = registration(&device, Some(ASSOCIATION));
            if let Some(members) = body.as_object_mut() {
                members.insert("label".to_owned(), format!("meter {index}").into());
                members.insert("tags".to_owned(), serde_json::json!(["load"]));
            }
            Ok(body)
        })
    }

    /// Writes these operations as an import takes them (NDJSON), by turns on these devices: enabling a profile.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_operations(&self, operations: Range<u32>, on: Range<u32>, file: &Path) -> anyhow::Result<()> {
        let many = on.len().max(1) as u32;
        write(file, operations, |number| {
            let index = on.start + number % many;
            let iccid = fleet_iccid(index, 2)?.to_string();
            Ok(
                serde_json::json!({ "eid": self.pki.eid(index).to_string(), "psmo": [{ "enable": { "iccid": iccid } }] }),
            )
        })
    }
}

fn write(
    file: &Path,
    numbers: Range<u32>,
    line: impl Fn(u32) -> anyhow::Result<serde_json::Value>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(file).with_context(|| file.display().to_string())?);
    for number in numbers {
        writeln!(out, "{}", line(number)?)?;
    }
    Ok(out.flush()?)
}
