//! Where each device ended: what the server says, against what the eUICC holds, against what its part should come to.

use super::fleet::{Member, Members, Part};
use super::get;
use anyhow::{Context, ensure};
use eim_core::ids::{Eid, Iccid};
use eim_simulator::ipa::Binding;
use eim_simulator::load::Api;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A profile as somebody knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) enabled: bool,
    /// Has the fallback attribute.
    pub(super) fallback: bool,
}

/// Profiles by ICCID.
pub(super) type Profiles = BTreeMap<String, Held>;

/// What the server says about a device.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Its wave, from 0.
    pub(super) wave: usize,
    pub(super) outcome: String,
    pub(super) why: String,
    /// The profile that it was to move to, once known.
    pub(super) target: Option<String>,
    /// Its profiles.
    pub(super) profiles: Profiles,
    /// Whether they come from verified results alone.
    pub(super) verified: bool,
}

/// A device at the end.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) eid: Eid,
    pub(super) part: Part,
    pub(super) binding: Binding,
    /// The profile that was enabled at first, and the Fallback Profile.
    pub(super) first: Iccid,
    pub(super) fallback: Iccid,
    pub(super) record: Record,
    /// What the eUICC holds.
    pub(super) truth: Profiles,
}

/// A wave as the server counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wave {
    pub(super) name: String,
    pub(super) devices: u64,
    pub(super) outcomes: BTreeMap<String, u64>,
}

/// The fleet at the end.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) rows: Vec<Row>,
    pub(super) waves: Vec<Wave>,
}

impl Ended {
    /// Fails when anything is not as it should be.
    ///
    /// # Errors
    /// How much is not.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let wrong = self.differences().len();
        ensure!(
            wrong == 0,
            "{wrong} difference(s) between the server's records, the devices and what should become of them"
        );
        Ok(())
    }

    /// Everything that is not as it should be, each in a sentence.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for row in &self.rows {
            found.extend(row.differences().into_iter().map(|difference| format!("{}: {difference}", row.eid)));
        }
        for (index, wave) in self.waves.iter().enumerate() {
            let mut counted = Wave { name: wave.name.clone(), devices: 0, outcomes: BTreeMap::new() };
            for row in self.rows.iter().filter(|row| row.record.wave == index) {
                counted.devices += 1;
                *counted.outcomes.entry(row.record.outcome.clone()).or_default() += 1;
            }
            if counted != *wave {
                found.push(format!("wave {}: the server counts {wave:?}, its devices are {counted:?}", wave.name));
            }
        }
        found
    }
}

impl Row {
    /// What is not as it should be with this device.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Record { outcome, target, profiles, verified, .. } = &self.record;
        if outcome != self.part.outcome() {
            found.push(format!("the outcome is {outcome}, not {}", self.part.outcome()));
        }
        if self.part == Part::Impostor {
            if !profiles.is_empty() || *verified {
                found.push(format!("the server believes an impostor: {}", named(profiles)));
            }
        } else if profiles != &self.truth {
            found.push(format!("the server says {}, the eUICC has {}", named(profiles), named(&self.truth)));
        } else if !verified {
            found.push("the profile list is not verified".to_owned());
        }
        // What an outcome means for the device itself, whatever the server has in its list.
        let real = enabled(&self.truth);
        let (first, fallback) = (self.first.to_string(), self.fallback.to_string());
        let installed = |iccid: &str| self.truth.contains_key(iccid);
        match outcome.as_str() {
            "proven" => match target {
                Some(target) if real == Some(target) && *target != first => {}
                _ => found.push(format!("the move to {target:?} is proven, and {real:?} is enabled")),
            },
            "rolledBack" | "fellBack" => {
                let back = if outcome == "rolledBack" { &first } else { &fallback };
                if real != Some(back) {
                    found.push(format!("{outcome} means that {back} is enabled, and {real:?} is"));
                }
                if !target.as_deref().is_some_and(installed) {
                    found.push(format!("the profile {target:?} that was tried is not on the eUICC"));
                }
            }
            "downloadFailed" | "refused" => {
                if real != Some(&first) {
                    found.push(format!("{outcome} means that {first} is still enabled, and {real:?} is"));
                }
            }
            _ => found.push(format!("the outcome {outcome} says nothing of where the device is")),
        }
        found
    }
}

/// The profile that is enabled.
pub(super) fn enabled(profiles: &Profiles) -> Option<&String> {
    profiles.iter().find(|(_, held)| held.enabled).map(|(iccid, _)| iccid)
}

fn named(profiles: &Profiles) -> String {
    let named = profiles.iter().map(|(iccid, held)| {
        let state = if held.enabled { "enabled" } else { "disabled" };
        format!("{iccid} {state}{}", if held.fallback { " (fallback)" } else { "" })
    });
    format!("[{}]", named.collect::<Vec<_>>().join(", "))
}

/// Asks the API about the campaign and each device, and looks into each eUICC.
pub(super) async fn read(campaign: &str, members: &Members, api: &mut Api) -> anyhow::Result<Ended> {
    let path = format!("/api/v1/campaigns/{campaign}");
    let shown = get(api, &path).await?;
    let mut in_campaign = HashMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = get(api, &format!("{path}/devices?limit=500{from}")).await?;
        for device in page["items"].as_array().into_iter().flatten() {
            in_campaign.insert(device["eid"].as_str().unwrap_or_default().to_owned(), device.clone());
        }
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let mut rows = Vec::new();
    for member in &members.0 {
        let eid = member.eid();
        let device = in_campaign.get(&eid.to_string()).with_context(|| format!("{eid} is not in the campaign"))?;
        rows.push(Row {
            eid,
            part: member.part,
            binding: member.binding,
            first: member.first,
            fallback: member.fallback,
            record: record(member, device, api).await?,
            truth: truth(member),
        });
    }
    Ok(Ended { rows, waves: shown["waves"].as_array().into_iter().flatten().map(wave).collect() })
}

fn wave(shown: &Value) -> Wave {
    let outcomes = shown["outcomes"].as_object().into_iter().flatten();
    Wave {
        name: shown["name"].as_str().unwrap_or_default().to_owned(),
        devices: shown["devices"].as_u64().unwrap_or_default(),
        outcomes: outcomes.map(|(outcome, count)| (outcome.clone(), count.as_u64().unwrap_or_default())).collect(),
    }
}

fn truth(member: &Member) -> Profiles {
    let profiles = member.device.euicc.profiles().iter();
    profiles
        .map(|profile| {
            let held = Held { enabled: profile.enabled, fallback: profile.fallback_attribute };
            (profile.iccid.to_string(), held)
        })
        .collect()
}

async fn record(member: &Member, device: &Value, api: &mut Api) -> anyhow::Result<Record> {
    let switch = match device["switch"].as_str() {
        Some(id) => get(api, &format!("/api/v1/switches/{id}")).await?,
        None => Value::Null,
    };
    let listed = get(api, &format!("/api/v1/euiccs/{}/profiles", member.eid())).await?;
    let profiles = listed["items"].as_array().into_iter().flatten().map(|profile| {
        let iccid = ["iccid", "rawIccid"].iter().find_map(|name| profile[*name].as_str()).unwrap_or_default();
        (iccid.to_owned(), Held { enabled: profile["state"] == "enabled", fallback: profile["fallback"] == true })
    });
    Ok(Record {
        wave: device["wave"].as_u64().and_then(|wave| usize::try_from(wave).ok()).context("a device in no wave")?,
        outcome: device["outcome"].as_str().unwrap_or("none").to_owned(),
        why: why(member, device, &switch, api).await?,
        target: switch["target"].as_str().map(str::to_owned),
        profiles: profiles.collect(),
        verified: listed["verified"] == true && listed["stale"] != true,
    })
}

/// Why it ended like this, in the server's words.
async fn why(member: &Member, device: &Value, switch: &Value, api: &mut Api) -> anyhow::Result<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let (Part::Impostor, Some(id)) = (member.part, &member.listed_by) {
        let operation = get(api, &format!("/api/v1/operations/{id}")).await?;
        let refusals = operation["refusals"].as_array().map_or(0, Vec::len);
        let reason = text(&operation["refusals"][0]["reason"]);
        return Ok(format!("{}; {refusals} answer(s) not believed: {reason}", text(&device["reason"]["message"])));
    }
    if let Some(name) = switch["reason"]["name"].as_str() {
        return Ok(format!("{name}: {}", text(&switch["reason"]["message"])));
    }
    if device["outcome"] == "proven" {
        return Ok("verified, and seen again with the new profile".to_owned());
    }
    let last = switch["operations"].as_array().and_then(|operations| operations.last()?.as_str());
    Ok(match last {
        Some(id) => {
            let operation = get(api, &format!("/api/v1/operations/{id}")).await?;
            let signed = operation["results"].as_array().into_iter().flatten();
            let signed = signed.map(|result| format!("{} {}", text(&result["operation"]), text(&result["name"])));
            let signed = signed.collect::<Vec<_>>().join(", ");
            format!("the operation is {}, the eUICC signed: {signed}", text(&operation["state"]))
        }
        None => text(&device["reason"]["message"]),
    })
}

#[cfg(test)]
mod tests;
