//! Where each device ended: what the eIM says, against what the eUICC really holds.

use anyhow::{Context, ensure};
use eim_core::ids::{Eid, Iccid};
use eim_simulator::fleet::Fleet;
use eim_simulator::ipa::Binding;
use eim_simulator::load::Api;
use serde_json::Value;
use std::fmt::Write;

/// How a profile gets onto a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The IPA talks to the SM-DP+.
    Direct,
    /// The eIM does.
    Indirect,
    /// The eIM does, after it has asked an SM-DS.
    Smds,
}

/// What a device is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It downloads a profile and is switched to it.
    Downloads(Way),
    /// Its order belongs to another device.
    Refused,
    /// It signs with a key that is not its own.
    Impostor,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Downloads(Way::Direct) => "direct",
            Self::Downloads(Way::Indirect) => "by the eIM",
            Self::Downloads(Way::Smds) => "by SM-DS",
            Self::Refused => "by the eIM",
            Self::Impostor => "-",
        }
    }
}

/// A device and what it was asked.
pub(super) struct Device {
    pub(super) eid: Eid,
    pub(super) part: Part,
    /// The download; of the impostor the switch.
    pub(super) asked: String,
    /// The switch, once it was asked for.
    pub(super) switched: Option<String>,
    pub(super) from: Iccid,
    pub(super) to: Iccid,
    pub(super) binding: Binding,
}

/// Where a device ended.
pub(super) struct Outcome {
    eid: Eid,
    binding: Binding,
    part: Part,
    download: String,
    switch: String,
    shown: String,
    real: String,
    remark: String,
    pub(super) is_as_it_should_be: bool,
}

/// Asks the API about each device and compares.
pub(super) async fn read(api: &mut Api, fleet: &Fleet, devices: &[Device]) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for device in devices {
        let asked = get(api, &format!("/api/v1/operations/{}", device.asked)).await?;
        let switched = match &device.switched {
            Some(id) => get(api, &format!("/api/v1/operations/{id}")).await?,
            None => Value::Null,
        };
        let profiles = get(api, &format!("/api/v1/euiccs/{}/profiles", device.eid)).await?;
        let shown = profiles["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|profile| profile["state"] == "enabled")
            .and_then(|profile| profile["iccid"].as_str())
            .map(str::to_owned);
        let simulated = fleet.devices().iter().find(|simulated| simulated.euicc.eid() == device.eid);
        let real = simulated.and_then(|simulated| simulated.euicc.enabled_iccid());
        let refusals = asked["refusals"].as_array().map_or(0, Vec::len);
        let is_as_it_should_be = device.from != device.to
            && match device.part {
                Part::Downloads(_) => {
                    asked["state"] == "succeeded"
                        && asked["verified"] == true
                        && switched["state"] == "succeeded"
                        && switched["verified"] == true
                        && profiles["verified"] == true
                        && real == Some(device.to)
                        && shown.as_deref() == Some(device.to.to_string().as_str())
                }
                Part::Refused => {
                    asked["state"] == "failed" && asked["error"]["name"] == "eidMismatch" && real == Some(device.from)
                }
                Part::Impostor => {
                    asked["state"] == "delivered" && refusals > 0 && shown.is_none() && asked["verified"].is_null()
                }
            };
        let remark = match device.part {
            Part::Downloads(_) => String::new(),
            Part::Refused => {
                let text = |name: &str| asked["error"][name].as_str().unwrap_or_default().to_owned();
                format!("{}: {}", text("name"), text("message"))
            }
            Part::Impostor => {
                let reason = asked["refusals"][0]["reason"].as_str().unwrap_or_default();
                format!("{refusals} answer(s) not believed: {reason}")
            }
        };
        let state = |operation: &Value| operation["state"].as_str().unwrap_or("-").to_owned();
        let impostor = device.part == Part::Impostor;
        outcomes.push(Outcome {
            eid: device.eid,
            binding: device.binding,
            part: device.part,
            download: if impostor { "-".to_owned() } else { state(&asked) },
            switch: state(if impostor { &asked } else { &switched }),
            shown: shown.unwrap_or_else(|| "-".to_owned()),
            real: real.map_or_else(|| "-".to_owned(), |iccid| iccid.to_string()),
            remark,
            is_as_it_should_be,
        });
    }
    Ok(outcomes)
}

/// What the API shows at a path.
pub(super) async fn get(api: &mut Api, path: &str) -> anyhow::Result<Value> {
    let (status, body) = api.call("GET", path, None).await.context(path.to_owned())?;
    ensure!(status == 200, "GET {path} answered {status}");
    Ok(body)
}

/// The final table.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!(
        "{:<32}  {:<5}  {:<10}  {:<9}  {:<9}  {:<21}  {:<20}\n",
        "EID", "via", "downloaded", "download", "switch", "enabled, says the eIM", "enabled on the eUICC"
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
            "{:<32}  {via:<5}  {:<10}  {:<9}  {:<9}  {:<21}  {:<20}  {}{mark}",
            outcome.eid,
            outcome.part.name(),
            outcome.download,
            outcome.switch,
            outcome.shown,
            outcome.real,
            outcome.remark
        );
    }
    table
}
