//! Compares in the end what devices and SM-DP+ know with what the eIM says, and with what is in its database.
//!
//! It reads signed octets with the simulator's own reader and shares no decision with the eIM.

use crate::device::{self, Device, Profiles};
use crate::operator::{Answer, Operator};
use crate::servers::Servers;
use crate::wire::{Sent, named};
use eim_core::ids::Eid;
use eim_simulator::euicc::NotificationKind;
use eim_simulator::fleet::fleet_iccid;
use eim_simulator::rsp::{OrderState, SmdpServer};
use eim_simulator::tlv::Tlv;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The profile that is downloaded.
pub const DOWNLOADED: u8 = 4;
/// Operations of a run at most; far more than there are.
const MANY: usize = 1000;

/// What is known outside the eIM.
pub struct Truth<'a> {
    /// The devices, by their index.
    pub devices: &'a [Device],
    /// What left the fronts.
    pub sent: &'a Sent,
    /// What the operator was told.
    pub answers: &'a BTreeMap<String, Answer>,
    /// What the eIM believed of the profiles of each device while the run went on.
    pub believed: &'a BTreeMap<usize, BTreeSet<Profiles>>,
    /// The SM-DP+.
    pub smdp: &'a SmdpServer,
}

/// What an eUICC did with a package.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Executed {
    /// The code of each operation; none where the result is data.
    codes: Vec<Option<i64>>,
    rolled_back: bool,
}

impl Executed {
    fn state(&self) -> &'static str {
        match self {
            Self { rolled_back: true, .. } => "rolledBack",
            Self { codes, .. } if codes.iter().all(|code| code.unwrap_or(0) == 0) => "succeeded",
            _ => "failed",
        }
    }
}

/// Counter and codes of a signed package result, `BF51 { A0 { 30 { .. 81 counter .. 30 { results } }, 5F37 } }`. None for an error.
fn executed(result: &[u8], rolled_back: bool) -> Option<(i64, Executed)> {
    let data = Tlv::only(result)?.child(0xa0)?.child(0x30)?;
    let results = data.child(0x30)?.children()?;
    let code = |result: &Tlv<'_>| result.integer().filter(|_| result.octets.first().is_some_and(|tag| tag & 0x20 == 0));
    Some((data.child(0x81)?.integer()?, Executed { codes: results.iter().map(code).collect(), rolled_back }))
}

fn text<'a>(item: &'a Value, member: &str) -> &'a str {
    item.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn items(list: &Value) -> &[Value] {
    list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Everything that is not as it must be, as the running servers show it.
///
/// # Errors
/// When the API does not answer.
pub async fn compare(truth: &Truth<'_>, operator: &Operator) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let listed = operator.get(&format!("/api/v1/operations?limit={MANY}")).await?;
    let operations = items(&listed);
    wrong.extend(labels(truth.answers, operations));
    let mut counters: BTreeSet<(Eid, i64)> = BTreeSet::new();
    for (index, device) in (0..).zip(truth.devices) {
        let eid = device.euicc.eid();
        let name = eid.to_string();
        let own: Vec<&Value> = operations.iter().filter(|operation| text(operation, "eid") == name).collect();
        for operation in &own {
            if let Some(counter) = operation.get("counterValue").and_then(Value::as_i64)
                && !counters.insert((eid, counter))
            {
                wrong.push(format!("{eid}: two operations have counter {counter}"));
            }
        }
        let mut add = |found: Vec<String>| wrong.extend(found.into_iter().map(|what| format!("{eid}: {what}")));
        let never = truth.believed.get(&(index as usize)).into_iter().flatten();
        let never = never.filter(|profiles| !once_true(profiles, device));
        add(never.map(|profiles| format!("the eIM once believed what never was: {profiles:?}")).collect());
        add(packages(device, truth.sent, &own));
        let record = operator.get(&format!("/api/v1/euiccs/{eid}/profiles")).await?;
        add(profiles(device, &record));
        add(downloads(device, index, truth.smdp, &own));
        let notifications = operator.get(&format!("/api/v1/notifications?eid={eid}&limit={MANY}")).await?;
        add(notifications_of(device, truth.smdp, items(&notifications)));
        let shown = operator.get(&format!("/api/v1/euiccs/{eid}")).await?;
        add(association(device, truth.sent, &shown));
    }
    for (eid, counter) in truth.sent.keys().filter(|sent| !counters.contains(sent)) {
        wrong.push(format!("{eid}: a package with counter {counter} was sent for no operation"));
    }
    wrong.extend(made_by_nobody(truth));
    Ok(wrong)
}

/// Whether all of these were there at some time. Before the first list the eIM knows only what it has heard of.
fn once_true(believed: &Profiles, device: &Device) -> bool {
    let holds = |state: &Profiles| believed.iter().all(|(iccid, enabled)| state.get(iccid) == Some(enabled));
    device.states.iter().any(holds)
}

/// Every errand has its operation, and none has two.
fn labels(answers: &BTreeMap<String, Answer>, operations: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (label, answer) in answers {
        let made: Vec<&str> = operations
            .iter()
            .filter(|operation| text(operation, "label") == label)
            .map(|operation| text(operation, "id"))
            .collect();
        let expected: Vec<&str> = match answer {
            Answer::Made(id) => vec![id],
            Answer::Refused(_) => vec![],
        };
        if made != expected {
            wrong.push(format!("{label} was answered with {answer:?}, and its operations are {made:?}"));
        }
    }
    wrong
}

/// Every package has one operation, and the operation says of it what the eUICC says.
fn packages(device: &Device, sent: &Sent, operations: &[&Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(history) = device.euicc.history() else { return vec!["the eUICC kept no history".to_owned()] };
    let eid = device.euicc.eid();
    let mut done: BTreeMap<i64, Executed> = BTreeMap::new();
    for loaded in &history.loaded {
        if named(&loaded.request).is_none_or(|named| sent.get(&named) != Some(&loaded.request)) {
            wrong.push("the eUICC has a package that no front sent".to_owned());
        }
        let Some((counter, executed)) = executed(&loaded.answer, false) else { continue };
        if done.insert(counter, executed).is_some() {
            wrong.push(format!("the eUICC executed the package with counter {counter} twice"));
        }
    }
    done.extend(history.rolled_back.iter().filter_map(|result| executed(result, true)));
    for operation in operations {
        let (id, kind, state) = (text(operation, "id"), text(operation, "kind"), text(operation, "state"));
        if !["succeeded", "failed", "rolledBack"].contains(&state) {
            wrong.push(format!("operation {id} is {state}"));
        }
        if !["psmo", "eco"].contains(&kind) {
            continue;
        }
        let Some(counter) = operation.get("counterValue").and_then(Value::as_i64) else {
            // What was done since it was asked for made the guard refuse it before anything was signed.
            let name = operation.pointer("/error/name").and_then(Value::as_str).unwrap_or_default();
            let refused = state == "failed" && ["notTheOnlyProfile", "policyRules", "profileList"].contains(&name);
            if !refused {
                wrong.push(format!("operation {id} is {state} without a package"));
            }
            continue;
        };
        if !sent.contains_key(&(eid, counter)) {
            wrong.push(format!("the package with counter {counter} was never sent: {operation}"));
        }
        let Some(executed) = done.remove(&counter) else {
            wrong.push(format!("the eUICC did not execute the package with counter {counter}: {operation}"));
            continue;
        };
        let results = operation.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
        let codes: Vec<Option<i64>> = results.iter().map(|result| result.get("code").and_then(Value::as_i64)).collect();
        if state != executed.state() || codes != executed.codes {
            wrong.push(format!("the eUICC says {executed:?} of counter {counter}, the eIM says {operation}"));
        }
        if operation.get("verified") != Some(&Value::Bool(true)) {
            wrong.push(format!("the result of counter {counter} was not verified: {operation}"));
        }
    }
    wrong.extend(done.keys().map(|counter| format!("the eUICC executed counter {counter}, which has no operation")));
    wrong
}

/// The profiles that a record of the eIM lists.
#[must_use]
pub fn believed(record: &Value) -> Profiles {
    items(record).iter().map(|found| (text(found, "iccid").to_owned(), text(found, "state") == "enabled")).collect()
}

/// The eIM has the profiles that the eUICC has.
fn profiles(device: &Device, record: &Value) -> Vec<String> {
    let (of_eim, of_euicc) = (believed(record), device::profiles(&device.euicc));
    let mut wrong = Vec::new();
    if of_eim != of_euicc {
        wrong.push(format!("the eUICC has the profiles {of_euicc:?}, the eIM believes {of_eim:?}"));
    }
    let proven = |member: &str, expected: bool| record.get(member) == Some(&Value::Bool(expected));
    if !proven("verified", true) || !proven("stale", false) {
        wrong.push(format!("the profiles are not proven: {record}"));
    }
    wrong
}

/// A download succeeded where the profile is there, and nowhere else.
fn downloads(device: &Device, index: u32, smdp: &SmdpServer, operations: &[&Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let downloads = operations.iter().filter(|operation| text(operation, "kind") == "profileDownload");
    let is_there = fleet_iccid(index, DOWNLOADED).is_ok_and(|iccid| device.euicc.profile(&iccid).is_some());
    let mut ordered = false;
    for operation in downloads {
        ordered = true;
        if (text(operation, "state") == "succeeded") != is_there {
            wrong.push(format!("the profile is there: {is_there}, and the eIM says {operation}"));
        }
        // Nothing that happens in a run is a reason to give a download up.
        if !is_there {
            wrong
                .push(format!("the download was given up: {operation}; the device says {:?}", device.failed_downloads));
        }
        let state = smdp.order_state(&matching_id(index));
        if is_there && state != Some(OrderState::Installed) {
            wrong.push(format!("the profile is there, and the SM-DP+ has the order as {state:?}"));
        }
    }
    if is_there && !ordered {
        wrong.push("the eUICC has a profile that nobody ordered".to_owned());
    }
    wrong
}

/// The matching identifier of a device's order.
#[must_use]
pub fn matching_id(index: u32) -> String {
    format!("CRASH-{index}")
}

/// Every notification is at the SM-DP+ as the eUICC made it, and the eIM knows of none that is not there.
fn notifications_of(device: &Device, smdp: &SmdpServer, listed: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let received = smdp.notifications();
    let made = device.euicc.history().map(|history| history.notifications.clone()).unwrap_or_default();
    let mut places = Vec::new();
    for notification in &made {
        let seq_number = notification.seq_number;
        match received.iter().position(|octets| *octets == notification.octets) {
            None => wrong.push(format!("notification {seq_number} is not at the SM-DP+")),
            Some(place) if notification.kind == NotificationKind::OtherSigned => places.push(place),
            // An installation result goes out before what waits.
            Some(_) => {}
        }
    }
    // A device that downloads by itself brings some of them there by itself.
    if !device.direct && !places.is_sorted() {
        wrong.push(format!("the notifications came to the SM-DP+ in another order: {places:?}"));
    }
    let known: BTreeSet<i64> = made.iter().map(|notification| notification.seq_number).collect();
    let mut shown = BTreeSet::new();
    for notification in listed {
        let seq_number = notification.get("seqNumber").and_then(Value::as_i64).unwrap_or_default();
        if text(notification, "state") != "delivered" {
            wrong.push(format!("a notification is not delivered: {notification}"));
        }
        if !known.contains(&seq_number) || !shown.insert(seq_number) {
            wrong.push(format!("the eUICC made no such notification, or it is there twice: {notification}"));
        }
    }
    let (waiting, kept) = (device.euicc.notifications().len(), device.euicc.stored_results().len());
    if waiting + kept > 0 {
        wrong.push(format!("the eUICC still keeps {waiting} notifications and {kept} results"));
    }
    wrong
}

/// The eIM's counter is that of the last package that it sent, and not behind that of the eUICC.
fn association(device: &Device, sent: &Sent, shown: &Value) -> Vec<String> {
    let eid = device.euicc.eid();
    let of_eim = shown.pointer("/association/counterValue").and_then(Value::as_i64).unwrap_or(-1);
    let highest = sent.keys().filter(|(other, _)| *other == eid).map(|(_, counter)| *counter).max();
    let of_euicc = device.euicc.associations().first().map(|association| association.counter);
    if highest.is_some_and(|highest| highest != of_eim) || of_euicc.is_some_and(|counter| counter > of_eim) {
        return vec![format!("the eIM's counter is {of_eim}, it sent {highest:?}, the eUICC has {of_euicc:?}")];
    }
    vec![]
}

/// Whether the SM-DP+ has a notification that no eUICC made.
fn made_by_nobody(truth: &Truth<'_>) -> Option<String> {
    let made: BTreeSet<&[u8]> = truth
        .devices
        .iter()
        .filter_map(|device| device.euicc.history())
        .flat_map(|history| history.notifications.iter().map(|notification| notification.octets.as_slice()))
        .collect();
    let foreign = truth.smdp.notifications().iter().filter(|octets| !made.contains(octets.as_slice())).count();
    (foreign > 0).then(|| format!("the SM-DP+ has {foreign} notifications that no eUICC made"))
}

/// What must not be in the database of a run that is over: each question names the rows, and none is right.
const QUESTIONS: [(&str, &str); 7] = [
    (
        "an operation has not ended",
        "SELECT id || ' ' || state AS line FROM operations \
         WHERE state NOT IN ('succeeded', 'failed', 'expired', 'cancelled', 'rolledBack') OR completed_at IS NULL",
    ),
    (
        "a counter was used for two operations",
        "SELECT eid || ' ' || CAST(counter_value AS TEXT) AS line FROM operations WHERE counter_value IS NOT NULL \
         GROUP BY eid, association_token, counter_value HAVING COUNT(*) > 1",
    ),
    (
        "an activation code is kept after the end",
        "SELECT id || ' ' || state AS line FROM operations WHERE secret IS NOT NULL",
    ),
    (
        "a notification is not delivered",
        "SELECT eid || ' ' || CAST(seq_number AS TEXT) || ' ' || state AS line FROM notifications WHERE state <> 'delivered'",
    ),
    (
        "a job is left",
        "SELECT kind || ' ' || key || ' ' || COALESCE(lease_owner, '-') AS line FROM jobs WHERE kind = 'forwardNotifications'",
    ),
    ("a lease is held by nobody", "SELECT kind || ' ' || key AS line FROM jobs WHERE lease_owner IS NOT NULL"),
    (
        "what an eUICC signed was not believed",
        "SELECT eid || ' ' || kind || ' ' || status || ' ' || COALESCE(reason, '') AS line FROM received \
         WHERE status <> 'verified'",
    ),
];

/// The events that end an operation.
const ENDS: &str = "SELECT event_type || ' ' || details AS line FROM events \
    WHERE event_type IN ('operationSucceeded', 'operationFailed', 'operationRolledBack', 'operationCancelled', 'operationExpired')";

/// Everything in the database that must not be there, once the servers have stopped.
///
/// # Errors
/// When the database can't be asked.
pub async fn database(servers: &Servers) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (what, sql) in QUESTIONS {
        wrong.extend(ask(servers, sql).await?.into_iter().map(|row| format!("{what}: {row}")));
    }
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for line in ask(servers, ENDS).await? {
        let details: Value =
            line.split_once(' ').and_then(|(_, json)| serde_json::from_str(json).ok()).unwrap_or_default();
        *ends.entry(text(&details, "operation").to_owned()).or_default() += 1;
    }
    for id in ask(servers, "SELECT id AS line FROM operations").await? {
        let times = ends.get(&id).copied().unwrap_or_default();
        if times != 1 {
            wrong.push(format!("operation {id} ended {times} times"));
        }
    }
    Ok(wrong)
}

/// Whether no job waits for its end. A database whose connections were ended just now is asked again later.
pub async fn no_job_is_left(servers: &Servers) -> bool {
    let jobs =
        "SELECT kind || ' ' || key AS line FROM jobs WHERE kind = 'forwardNotifications' OR lease_owner IS NOT NULL";
    ask(servers, jobs).await.is_ok_and(|left| left.is_empty())
}

async fn ask(servers: &Servers, sql: &str) -> anyhow::Result<Vec<String>> {
    match servers.schema() {
        Some(schema) => schema.ask(sql).await,
        None => crate::database::ask_sqlite(&servers.path("keys/eim.db"), sql),
    }
}
