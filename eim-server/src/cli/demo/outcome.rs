//! Where each device ended: what the eIM says, against what the eUICC really holds.

use anyhow::{Context, ensure};
use eim_core::ids::{Eid, Iccid};
use eim_simulator::fleet::Fleet;
use eim_simulator::ipa::Binding;
use eim_simulator::load::Api;
use serde_json::Value;
use std::fmt::Write;

/// A device and what it was asked.
pub(super) struct Device {
    pub(super) eid: Eid,
    pub(super) operation: String,
    pub(super) from: Iccid,
    pub(super) to: Iccid,
    pub(super) binding: Binding,
    /// It signs with a key that is not its own.
    pub(super) impostor: bool,
}

/// Where a device ended.
pub(super) struct Outcome {
    eid: Eid,
    binding: Binding,
    state: String,
    verified: String,
    shown: String,
    real: String,
    refused: String,
    pub(super) is_as_it_should_be: bool,
}

/// Asks the API about each device and compares.
pub(super) async fn read(api: &mut Api, fleet: &Fleet, devices: &[Device]) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for device in devices {
        let operation = get(api, &format!("/api/v1/operations/{}", device.operation)).await?;
        let profiles = get(api, &format!("/api/v1/euiccs/{}/profiles", device.eid)).await?;
        let shown = profiles["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|profile| profile["state"] == "enabled")
            .and_then(|profile| profile["iccid"].as_str())
            .map(str::to_owned);
        let real = fleet
            .devices()
            .iter()
            .find(|simulated| simulated.euicc.eid() == device.eid)
            .and_then(|simulated| simulated.euicc.enabled_iccid());
        let state = operation["state"].as_str().unwrap_or_default().to_owned();
        let refusals = operation["refusals"].as_array().map_or(0, Vec::len);
        let is_as_it_should_be = if device.impostor {
            state == "delivered" && refusals > 0 && shown.is_none() && operation["verified"].is_null()
        } else {
            state == "succeeded"
                && operation["verified"] == true
                && profiles["verified"] == true
                && real == Some(device.to)
                && shown.as_deref() == Some(device.to.to_string().as_str())
                && device.from != device.to
        };
        outcomes.push(Outcome {
            eid: device.eid,
            binding: device.binding,
            state,
            verified: match operation["verified"].as_bool() {
                Some(true) => "yes".to_owned(),
                Some(false) => "NO".to_owned(),
                None => "-".to_owned(),
            },
            shown: shown.unwrap_or_else(|| "-".to_owned()),
            real: real.map_or_else(|| "-".to_owned(), |iccid| iccid.to_string()),
            refused: operation["refusals"][0]["reason"]
                .as_str()
                .map_or_else(String::new, |reason| format!("{refusals} answer(s) not believed: {reason}")),
            is_as_it_should_be,
        });
    }
    Ok(outcomes)
}

async fn get(api: &mut Api, path: &str) -> anyhow::Result<Value> {
    let (status, body) = api.call("GET", path, None).await.context(path.to_owned())?;
    ensure!(status == 200, "GET {path} answered {status}");
    Ok(body)
}

/// The final table.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!(
        "{:<32}  {:<5}  {:<11}  {:<8}  {:<20}  {:<20}\n",
        "EID", "via", "outcome", "verified", "enabled, says the eIM", "enabled on the eUICC"
    );
    for outcome in outcomes {
        let via = match outcome.binding {
            Binding::Asn1 => "ASN.1",
            Binding::Json => "JSON",
        };
        let mark = if outcome.is_as_it_should_be { "" } else { "  <- WRONG" };
        // Writing to a String can't fail.
        let _ = writeln!(
            table,
            "{:<32}  {via:<5}  {:<11}  {:<8}  {:<21}  {:<20}  {}{mark}",
            outcome.eid, outcome.state, outcome.verified, outcome.shown, outcome.real, outcome.refused
        );
    }
    table
}
