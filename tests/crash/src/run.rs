//! One run: servers, a fleet, an operator, the plan's accidents, and the comparison after all has settled.

use crate::amqp::Repeater;
use crate::check::{self, DOWNLOADED, Truth, matching_id};
use crate::device::{Device, Profiles};
use crate::far::Far;
use crate::operator::{Answer, Operator};
use crate::plan::{Errand, Plan};
use crate::servers::{Common, SMDP, Servers};
use crate::wire::Wire;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::ids::Eid;
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, IpaConfig};
use eim_simulator::load::{association_of, registration};
use eim_simulator::rsp::{Order, SmdpOptions, SmdpServer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often it is looked whether all has settled.
const LOOK: Duration = Duration::from_millis(30);
/// How long a lie waits for what it is about.
const LIE_WITHIN: Duration = Duration::from_secs(20);
/// How many lines of each log are shown of a run that failed.
const LOG_LINES: usize = 60;
/// Octets of a downloaded profile.
const PROFILE_BYTES: usize = 3_000;

/// How the difference begins that says that a run could not be brought to its end.
pub const BROKE_OFF: &str = "the run broke off";

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is not as it must be.
    pub differences: Vec<String>,
    /// It was ended from outside, and says nothing.
    pub was_ended: bool,
    /// The last lines of the servers' logs, of a run that failed.
    pub logs: String,
    /// How much happened.
    pub facts: Facts,
}

/// How much happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Exchanges between devices and the eIM.
    pub exchanges: u64,
    /// Kills.
    pub kills: usize,
    /// Other accidents.
    pub accidents: usize,
    /// Accidents between servers and SM-DP+.
    pub far: usize,
    /// Rounds of devices that broke off.
    pub cut_off: usize,
    /// Operations that were asked for and made.
    pub operations: usize,
    /// Errands that the API refused.
    pub refused: usize,
    /// Packages that left a front.
    pub packages: usize,
    /// Notifications that eUICCs made.
    pub notifications: usize,
    /// Notifications that the SM-DP+ got once more.
    pub repeated: usize,
    /// From the first errand to the end of the last operation.
    pub settled_ms: u128,
    /// All of it.
    pub elapsed_ms: u128,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} exchanges, {} kills, {} other accidents, {} at the SM-DP+, {} rounds cut off; {} operations ({} refused), {} packages, {} \
             notifications ({} more than once); settled after {} ms, {} ms in all",
            self.exchanges,
            self.kills,
            self.accidents,
            self.far,
            self.cut_off,
            self.operations,
            self.refused,
            self.packages,
            self.notifications,
            self.repeated,
            self.settled_ms,
            self.elapsed_ms
        )
    }
}

/// Carries the plan out. A lie is told to the database (SQLite) before the comparison. What has not settled within `limit` is a difference.
///
/// # Errors
/// When the run can't be made; what the servers do wrong is in the outcome.
pub async fn run(
    common: &Arc<Common>,
    plan: &Plan,
    limit: Duration,
    keep: bool,
    lie: Option<&str>,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let fleet = Fleet::generate(plan.seed, u32::try_from(plan.devices.len())?)?;
    let options = SmdpOptions { host: SMDP.to_owned(), address: Some(SMDP.to_owned()), ..SmdpOptions::default() };
    let smdp = SmdpServer::start(fleet.pki(), options).await?;
    let far = Far::open(&smdp, plan).await?;
    let servers = Arc::new(Servers::prepare(common, plan, fleet.ci_certificate(), far.line.address).await?);
    far.belongs_to(&servers);
    let mut outcome = Outcome::default();
    // Whatever hangs is a failure with logs, not one without.
    let mut end = common.end.subscribe();
    let worked = tokio::select! {
        worked = tokio::time::timeout(limit * 3, work(common, &servers, fleet, (&smdp, &far), plan, limit, lie, &mut outcome)) => Some(worked),
        _ = end.wait_for(|end| *end) => None,
    };
    match worked {
        Some(Ok(Ok(()))) => {}
        Some(Ok(Err(error))) => {
            outcome.differences.push(format!("{BROKE_OFF}: {error:#}"));
            outcome.differences.extend(servers.complaints());
        }
        Some(Err(_)) => outcome.differences.push(format!("the run did not end within {:?}", limit * 3)),
        None => outcome.was_ended = true,
    }
    servers.end();
    outcome.facts.far = far.happened();
    outcome.facts.elapsed_ms = begun.elapsed().as_millis();
    // A signal to the driver may reach the servers before it.
    tokio::time::sleep(if outcome.differences.is_empty() { Duration::ZERO } else { LOOK }).await;
    if *common.end.borrow() {
        outcome = Outcome { was_ended: true, ..Outcome::default() };
    }
    if !outcome.differences.is_empty() {
        outcome.logs = servers.logs(LOG_LINES);
        if keep {
            outcome.logs.push_str(&format!("kept in {}\n", servers.keep().display()));
        }
    }
    if !keep || outcome.differences.is_empty() {
        servers.remove().await;
    }
    Ok(outcome)
}

#[allow(clippy::too_many_arguments, reason = "what a run is made of")]
async fn work(
    common: &Common,
    servers: &Arc<Servers>,
    mut fleet: Fleet,
    (smdp, far): (&SmdpServer, &Far),
    plan: &Plan,
    limit: Duration,
    lie: Option<&str>,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    servers.start().await?;
    let repeater = match plan.repeated_percent {
        0 => None,
        percent => Some(Repeater::begin(&common.amqp, &servers.prefix, percent, plan.seed).await?),
    };
    let wire = Arc::new(Wire::open(servers, plan).await?);
    let end = Instant::now() + limit;
    let operator = Operator::new(Arc::clone(servers), end);
    register(&mut fleet, &operator).await?;

    let begun = Instant::now();
    let errands = errands(plan, &fleet, smdp)?;
    let (stop, stopped) = watch::channel(false);
    let eids = fleet.eids();
    let (mut working, mut quiet) = (JoinSet::new(), Vec::new());
    for (index, device) in devices(plan, fleet, &wire, servers, smdp)?.into_iter().enumerate() {
        let is_quiet = Arc::new(AtomicBool::new(false));
        quiet.push(Arc::clone(&is_quiet));
        let stopped = stopped.clone();
        working.spawn(async move { (index, device.work(is_quiet, stopped).await) });
    }
    let watching = tokio::spawn(watch_profiles(eids, Arc::clone(servers), stopped.clone()));
    let answers = operator.clone().work(errands, Arc::clone(&wire)).await?;

    let is_settled = async {
        let mut was_over = false;
        loop {
            let all_quiet = quiet.iter().all(|quiet| quiet.load(Ordering::SeqCst));
            let is_over = wire.is_calm()
                && servers.are_up()
                && all_quiet
                && open(&operator).await?.is_none()
                // A worker that was killed behind its last stroke leaves a job to whoever comes after its lease.
                && check::no_job_is_left(servers).await;
            // States are asked for one after the other, and what is between two of them is seen the next time.
            if is_over && was_over {
                return anyhow::Ok(());
            }
            was_over = is_over;
            tokio::time::sleep(LOOK).await;
        }
    };
    let settled = tokio::time::timeout(end.saturating_duration_since(Instant::now()), is_settled).await;
    outcome.facts.settled_ms = begun.elapsed().as_millis();
    far.calm();
    tokio::time::sleep(LOOK).await;
    while !servers.are_up() {
        tokio::time::sleep(LOOK).await;
    }
    // The operator's time is over by now.
    let operator = Operator::new(Arc::clone(servers), Instant::now() + limit);
    match settled {
        Ok(settled) => settled?,
        Err(_) => {
            let waits = quiet.iter().enumerate().filter(|(_, quiet)| !quiet.load(Ordering::SeqCst));
            let waits: Vec<usize> = waits.map(|(index, _)| index).collect();
            let open = open(&operator).await?;
            let (calm, up) = (wire.is_calm(), servers.are_up());
            outcome.differences.push(format!(
                "not settled within {limit:?}: devices {waits:?} are not quiet, all accidents happened: {calm}, all servers up: \
                 {up}, open: {open:?}"
            ));
        }
    }
    stop.send_replace(true);
    let mut devices: BTreeMap<usize, Device> = BTreeMap::new();
    while let Some(device) = working.join_next().await {
        let (index, device) = device?;
        devices.insert(index, device);
    }
    drop(repeater);
    let believed = watching.await?;
    let devices: Vec<Device> = devices.into_values().collect();
    if let Some(lie) = lie {
        let end = Instant::now() + LIE_WITHIN;
        while !crate::database::tell_sqlite(&servers.path("keys/eim.db"), lie)? {
            anyhow::ensure!(Instant::now() < end, "it changes nothing: {lie}");
            tokio::time::sleep(LOOK).await;
        }
    }
    let sent = wire.sent();
    let truth = Truth { devices: &devices, sent: &sent, answers: &answers, believed: &believed, smdp };
    outcome.differences.extend(check::compare(&truth, &operator).await?);
    outcome.differences.extend(servers.stop().await?);
    outcome.differences.extend(check::database(servers).await?);
    outcome.differences.extend(servers.audit()?.map(|said| format!("the audit log does not hold together: {said}")));
    outcome.differences.extend(servers.complaints());
    outcome.differences.extend(wire.complaints());
    count(&mut outcome.facts, &truth, &wire);
    Ok(())
}

/// Looks at what the eIM believes of the profiles of each device, until it is told to stop.
async fn watch_profiles(
    eids: Vec<Eid>,
    servers: Arc<Servers>,
    stop: watch::Receiver<bool>,
) -> BTreeMap<usize, BTreeSet<Profiles>> {
    let mut believed: BTreeMap<usize, BTreeSet<Profiles>> = BTreeMap::new();
    while !*stop.borrow() {
        for (index, eid) in eids.iter().enumerate() {
            // While no front runs there is nothing to see.
            let operator = Operator::new(Arc::clone(&servers), Instant::now() + LOOK);
            if let Ok(record) = operator.get(&format!("/api/v1/euiccs/{eid}/profiles")).await {
                believed.entry(index).or_default().insert(check::believed(&record));
            }
            tokio::time::sleep(LOOK / 4).await;
        }
    }
    believed
}

fn count(facts: &mut Facts, truth: &Truth<'_>, wire: &Wire) {
    let happened = wire.happened();
    let made = |answer: &&Answer| matches!(answer, Answer::Made(_));
    let received = truth.smdp.notifications();
    let distinct: BTreeSet<&Vec<u8>> = received.iter().collect();
    facts.exchanges = wire.exchanges();
    facts.kills = happened.iter().filter(|what| what.contains("Kill")).count();
    facts.accidents = happened.len() - facts.kills;
    facts.cut_off = truth.devices.iter().map(|device| device.cut_off).sum();
    facts.operations = truth.answers.values().filter(made).count();
    facts.refused = truth.answers.len() - facts.operations;
    facts.packages = truth.sent.len();
    facts.notifications = truth
        .devices
        .iter()
        .filter_map(|device| device.euicc.history())
        .map(|history| history.notifications.len())
        .sum();
    facts.repeated = received.len() - distinct.len();
}

/// Something that has not come to its end.
async fn open(operator: &Operator) -> anyhow::Result<Option<Value>> {
    let states = ["queued", "delivered", "unconfirmed"].map(|state| format!("operations?state={state}"));
    for list in states.into_iter().chain(["notifications?state=pending".to_owned()]) {
        let found = operator.get(&format!("/api/v1/{list}&limit=1")).await?;
        if let Some(first) = found.pointer("/items/0") {
            return Ok(Some(first.clone()));
        }
    }
    Ok(None)
}

/// The errands with the EIDs, and the orders at the SM-DP+ for those that are downloads.
fn errands(plan: &Plan, fleet: &Fleet, smdp: &SmdpServer) -> anyhow::Result<Vec<(String, Errand)>> {
    let mut errands = Vec::new();
    for errand in &plan.errands {
        let eid = fleet.devices().get(errand.device).context("a device of the plan")?.euicc.eid();
        let mut errand = errand.clone();
        let label = errand.label.clone();
        let body = errand.body.as_object_mut().context("a body")?;
        if let Some(download) = body.get_mut("profileDownload").and_then(Value::as_object_mut) {
            let (index, address) = (u32::try_from(errand.device)?, smdp.address());
            let order = Order::new(&matching_id(index), fleet_iccid(index, DOWNLOADED)?, "Downloaded");
            smdp.add_order(order.for_eid(eid).with_size(PROFILE_BYTES).notifying(&address));
            let code = format!("1${address}${}", matching_id(index));
            download.insert("activationCode".to_owned(), code.into());
        }
        body.insert("label".to_owned(), label.into());
        errands.push((eid.to_string(), errand));
    }
    Ok(errands)
}

/// The devices, whose first two profiles notify the SM-DP+ of whatever happens to them.
fn devices(
    plan: &Plan,
    fleet: Fleet,
    wire: &Wire,
    servers: &Servers,
    smdp: &SmdpServer,
) -> anyhow::Result<Vec<Device>> {
    let config = IpaConfig::new(wire.address, "localhost", std::slice::from_ref(&servers.trusted), Binding::Asn1)?;
    let (ci, address) = (fleet.ci_certificate().to_vec(), smdp.address());
    let mut devices = Vec::new();
    for ((index, device), habits) in (0..).zip(fleet.into_devices()).zip(&plan.devices) {
        let mut euicc = device.euicc;
        for number in [1, 2] {
            let iccid = fleet_iccid(index, number)?;
            let profile = euicc.profile_mut(&iccid).context("a profile of the fleet")?;
            *profile = profile.clone().notifying(&address);
        }
        devices.push(Device::new(euicc, habits, &config, (&ci, smdp.socket()), plan.seed + u64::from(index)));
    }
    Ok(devices)
}

/// Brings the fleet and the eIM together.
async fn register(fleet: &mut Fleet, operator: &Operator) -> anyhow::Result<()> {
    let eim = operator.get("/api/v1/eim").await?;
    let request =
        eim.get("addInitialEimRequest").and_then(Value::as_str).context("the eIM has no addInitialEimRequest")?;
    fleet.associate(&STANDARD.decode(request)?)?;
    for (device, found) in fleet.devices().iter().zip(fleet.registrations()) {
        let body = registration(&found, association_of(&device.euicc));
        match operator.call("POST", "/api/v1/euiccs", Some(&found.eid.to_string()), Some(&body)).await? {
            (200 | 201, _) => {}
            (status, body) => bail!("{} was not registered: {status} {body}", found.eid),
        }
    }
    Ok(())
}
