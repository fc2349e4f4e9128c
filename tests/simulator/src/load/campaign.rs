//! Campaigns over a whole fleet that keeps polling: how fast they are made, how long their view takes, what they do to the
//! polls beside them, and whether devices and API agree in the end about who was moved.

use super::poll::{esipa_request, poll_request};
use super::{Api, Counts, LoadError, LoadOptions, RawConnection, Report};
use crate::euicc::{DeviceDescription, Euicc};
use crate::fleet::Fleet;
use crate::ipa::{Answer, Function, Package, is_idle_response, provide_eim_package_result, read_answer, read_package};
use eim_core::ids::{Eid, Iccid};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Whatever a device is asked for one after the other, before it is left until its next turn.
const MAX_POLLS: usize = 12;
/// Between two looks at the campaign.
const LOOK: Duration = Duration::from_secs(2);
/// How long devices that were begun may take when a campaign is aborted, and the last ones when nothing bounds it.
const SETTLING: Duration = Duration::from_secs(3_600);
/// How many differences are named.
const NAMED: usize = 20;

/// A run of campaigns.
#[derive(Debug, Clone)]
pub struct CampaignOptions {
    /// How devices reach the eIM; `duration` is how long each measurement takes.
    pub load: LoadOptions,
    /// The tag that the devices have.
    pub tag: String,
    /// Devices in a minute, for each campaign that is measured and then aborted.
    pub paces: Vec<u32>,
    /// Whether a last campaign without a pace moves all devices.
    pub to_the_end: bool,
}

/// What was found; figures go out as they come.
#[derive(Debug, Default)]
pub struct CampaignReport {
    /// Whatever is not as it should be.
    pub differences: Vec<String>,
}

impl fmt::Display for CampaignReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in self.differences.iter().take(NAMED) {
            writeln!(f, "DIFFERENCE {difference}")?;
        }
        write!(f, "{} differences", self.differences.len())
    }
}

struct Worker {
    tls: RawConnection<TlsStream<TcpStream>>,
    devices: Vec<(Euicc, Vec<u8>)>,
    next: usize,
    options: LoadOptions,
}

/// When workers stop.
#[derive(Clone)]
struct Until {
    deadline: Instant,
    over: Arc<AtomicBool>,
    /// Whether each device has its turn only once.
    once: bool,
}

impl Until {
    fn after(duration: Duration) -> Self {
        Self { deadline: Instant::now() + duration, over: Arc::default(), once: false }
    }
}

impl Worker {
    /// Polls device after device; whatever the eIM asks for is done at once.
    async fn work(mut self, until: Until) -> Result<(Self, Counts), LoadError> {
        let mut counts = Counts::default();
        let mut left = if until.once { self.devices.len() } else { usize::MAX };
        while left > 0 && Instant::now() < until.deadline && !until.over.load(Ordering::Relaxed) {
            self.turn(&mut counts).await?;
            left -= 1;
        }
        Ok((self, counts))
    }

    async fn turn(&mut self, counts: &mut Counts) -> Result<(), LoadError> {
        let Self { tls, devices, next, options } = self;
        let (at, binding) = (*next, options.binding);
        *next = if at + 1 < devices.len() { at + 1 } else { 0 };
        let Some((euicc, poll)) = devices.get_mut(at) else { return Ok(()) };
        let setup = |error: String| LoadError::Setup { what: error };
        for _ in 0..MAX_POLLS {
            let started = Instant::now();
            let (status, response) = tls.exchange(poll).await?;
            if status != 200 {
                counts.error(format_args!("status {status}"));
                return Ok(());
            }
            counts.success(started);
            if is_idle_response(binding, response) {
                return Ok(());
            }
            let result = match read_package(binding, response)? {
                Package::EuiccPackage(request) => {
                    euicc.load_euicc_package(&request).map_err(|error| setup(error.to_string()))?
                }
                Package::IpaEuiccData(request) => euicc
                    .ipa_euicc_data(&request, None, &DeviceDescription::default())
                    .map_err(|error| setup(error.to_string()))?,
                Package::DownloadTrigger(_) | Package::Error(_) => {
                    counts.unexpected += 1;
                    return Ok(());
                }
            };
            let body = provide_eim_package_result(binding, Some(&euicc.eid()), &result, false);
            let request = esipa_request(Function::ProvideEimPackageResult, options, &body);
            let (status, response) = tls.exchange(&request).await?;
            if status != 200 {
                counts.error(format_args!("status {status} for a result"));
                return Ok(());
            }
            if let Answer::Acknowledged(numbers) = read_answer(binding, response)? {
                for number in numbers {
                    euicc.remove_notification(number);
                }
            }
        }
        counts.unexpected += 1;
        Ok(())
    }
}

/// A fleet that polls.
struct Polling {
    workers: Vec<Worker>,
}

impl Polling {
    async fn begin(fleet: &Fleet, options: &LoadOptions) -> Result<Self, LoadError> {
        let connections = options.connections.clamp(1, fleet.devices().len().max(1));
        let mut workers = Vec::new();
        for index in 0..connections {
            let mine = fleet.devices().iter().skip(index).step_by(connections);
            let devices =
                mine.map(|device| (device.euicc.clone(), poll_request(&device.euicc.eid(), options))).collect();
            let tls = RawConnection::open_tls(options).await?;
            workers.push(Worker { tls, devices, next: 0, options: options.clone() });
        }
        Ok(Self { workers })
    }

    async fn run(&mut self, until: &Until) -> Result<Report, LoadError> {
        let started = Instant::now();
        let tasks: Vec<_> = std::mem::take(&mut self.workers)
            .into_iter()
            .map(|worker| tokio::spawn(worker.work(until.clone())))
            .collect();
        let mut counts = Vec::new();
        for task in tasks {
            let (worker, counted) = task.await.map_err(|error| LoadError::Setup { what: error.to_string() })??;
            self.workers.push(worker);
            counts.push(counted);
        }
        Ok(Report::new("polls", started.elapsed(), counts))
    }

    fn enabled(&self) -> BTreeMap<Eid, Option<Iccid>> {
        self.workers
            .iter()
            .flat_map(|worker| &worker.devices)
            .map(|(euicc, _)| (euicc.eid(), euicc.enabled_iccid()))
            .collect()
    }
}

/// Looks at a campaign until it is told that that is over, or the campaign has ended; how long each answer took.
async fn look(mut api: Api, id: String, over: Arc<AtomicBool>) -> Result<(Report, Value), LoadError> {
    let (begun, mut counts) = (Instant::now(), Counts::default());
    loop {
        let started = Instant::now();
        let (status, shown) = api.call("GET", &format!("/api/v1/campaigns/{id}"), None).await?;
        if status != 200 {
            return Err(LoadError::Api { request: "GET campaign".to_owned(), status, body: shown.to_string() });
        }
        counts.success(started);
        let state = shown.get("state").and_then(Value::as_str).unwrap_or_default();
        if over.load(Ordering::Relaxed) || ["completed", "aborted", "expired"].contains(&state) {
            over.store(true, Ordering::Relaxed);
            return Ok((Report::new("views", begun.elapsed(), vec![counts]), shown));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Runs campaigns over devices that are registered with the tag and associated.
///
/// # Errors
/// [`LoadError`] when the run can't go on; differences are in the report.
pub async fn run_campaigns(
    fleet: &Fleet,
    api: &mut Api,
    options: &CampaignOptions,
    mut tell: impl FnMut(String),
) -> Result<CampaignReport, LoadError> {
    let devices = fleet.devices().len();
    let each = options.load.duration;
    let mut polling = Polling::begin(fleet, &options.load).await?;
    // Each device once, so that what is compared later is not the first poll of a device.
    tell(format!("first poll of each device: {}", polling.run(&Until { once: true, ..Until::after(SETTLING) }).await?));
    let lists = json!({ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] });
    to_the_end("profile lists", lists, &mut polling, api, options, devices, &mut tell).await?;
    for pace in &options.paces {
        let bare = polling.run(&Until::after(each)).await?;
        tell(format!("no campaign: {bare}"));
        let id = begin("to Second", moved_to("Second"), Some(*pace), api, options, devices, &mut tell).await?;
        let (beside, seen, shown) = observe(&mut polling, api, &id, Until::after(each)).await?;
        tell(format!("{pace} devices a minute: {beside}"));
        tell(format!("  {:.1}% of the polls without a campaign", 100.0 * beside.per_second() / bare.per_second()));
        tell(format!("  its view: {seen}"));
        tell(format!("  where it stands: {}", shown.get("totals").cloned().unwrap_or_default()));
        api.call("POST", &format!("/api/v1/campaigns/{id}/abort"), Some(&json!({}))).await?;
        *api = api.another().await?;
        let (_, _, shown) = observe(&mut polling, api, &id, Until::after(SETTLING)).await?;
        tell(format!("  aborted: {}", shown.get("totals").cloned().unwrap_or_default()));
    }
    let mut report = CampaignReport::default();
    if options.to_the_end {
        let id =
            to_the_end("to Fallback", moved_to("Fallback"), &mut polling, api, options, devices, &mut tell).await?;
        report.differences = compare(&id, &polling, fleet, api).await?;
        tell(format!("no campaign: {}", polling.run(&Until::after(each)).await?));
    }
    Ok(report)
}

/// What moves a device to its profile of this name.
fn moved_to(profile: &str) -> Value {
    json!({ "switch": { "to": { "profile": { "name": profile } }, "waive": ["fallback"] } })
}

/// A campaign without a pace, until it has ended.
async fn to_the_end(
    name: &str,
    plan: Value,
    polling: &mut Polling,
    api: &mut Api,
    options: &CampaignOptions,
    devices: usize,
    tell: &mut impl FnMut(String),
) -> Result<String, LoadError> {
    let bare = polling.run(&Until::after(options.load.duration)).await?;
    tell(format!("no campaign: {bare}"));
    let id = begin(name, plan, None, api, options, devices, tell).await?;
    let started = Instant::now();
    let (beside, seen, shown) = observe(polling, api, &id, Until::after(SETTLING)).await?;
    let elapsed = started.elapsed().as_secs_f64();
    tell(format!("{name}, as fast as it goes: {beside}"));
    tell(format!("  {:.1}% of the polls without a campaign", 100.0 * beside.per_second() / bare.per_second()));
    tell(format!("  all {devices} devices in {elapsed:.0} s, {:.0} a second", devices as f64 / elapsed));
    tell(format!("  its view: {seen}"));
    tell(format!("  where it stands: {}", shown.get("totals").cloned().unwrap_or_default()));
    *api = api.another().await?;
    Ok(id)
}

/// Polls while the campaign is looked at.
async fn observe(
    polling: &mut Polling,
    api: &Api,
    id: &str,
    until: Until,
) -> Result<(Report, Report, Value), LoadError> {
    let looking = tokio::spawn(look(api.another().await?, id.to_owned(), until.over.clone()));
    let polled = polling.run(&until).await?;
    until.over.store(true, Ordering::Relaxed);
    let (seen, shown) = looking.await.map_err(|error| LoadError::Setup { what: error.to_string() })??;
    Ok((polled, seen, shown))
}

/// The highest pace that the API takes, devices a minute.
const AS_FAST_AS_IT_GOES: u32 = 1_000_000;

/// Makes a campaign over all devices, and starts it.
async fn begin(
    name: &str,
    plan: Value,
    pace: Option<u32>,
    api: &mut Api,
    options: &CampaignOptions,
    devices: usize,
    tell: &mut impl FnMut(String),
) -> Result<String, LoadError> {
    *api = api.another().await?;
    let body = json!({
        "name": name,
        "target": { "filter": { "tags": [options.tag] } },
        "plan": plan,
        "approval": "none",
        "rate": { "maxPerMinute": pace.unwrap_or(AS_FAST_AS_IT_GOES) },
    });
    let started = Instant::now();
    let (status, made) = api.call("POST", "/api/v1/campaigns", Some(&body)).await?;
    let took = started.elapsed().as_secs_f64();
    let refused = |status, body: &Value| LoadError::Api {
        request: "POST campaign".to_owned(),
        status,
        body: body.to_string().chars().take(400).collect(),
    };
    if status != 201 {
        return Err(refused(status, &made));
    }
    let counted = made.pointer("/totals/devices").and_then(Value::as_u64).unwrap_or_default();
    tell(format!("a campaign of {counted} devices was made in {took:.2} s"));
    if usize::try_from(counted).ok() != Some(devices) {
        return Err(LoadError::Setup { what: format!("the campaign has {counted} of {devices} devices") });
    }
    let id = made.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    for verb in ["submit", "start"] {
        let (status, answer) = api.call("POST", &format!("/api/v1/campaigns/{id}/{verb}"), Some(&json!({}))).await?;
        if status != 200 {
            return Err(refused(status, &answer));
        }
    }
    Ok(id)
}

/// Every device of the campaign: where the API says that it ended, and which profile the device has enabled.
async fn compare(id: &str, polling: &Polling, fleet: &Fleet, api: &mut Api) -> Result<Vec<String>, LoadError> {
    let (truth, mut differences, mut cursor) = (polling.enabled(), Vec::new(), String::new());
    let targets: BTreeMap<Eid, Iccid> = fleet
        .devices()
        .iter()
        .filter_map(|device| Some((device.euicc.eid(), device.euicc.profiles().last()?.iccid)))
        .collect();
    let mut seen = 0_usize;
    loop {
        let path = format!("/api/v1/campaigns/{id}/devices?limit=1000{cursor}");
        let (status, page) = api.call("GET", &path, None).await?;
        if status != 200 {
            return Err(LoadError::Api { request: path, status, body: page.to_string().chars().take(400).collect() });
        }
        for device in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            let text = |member: &str| device.get(member).and_then(Value::as_str).unwrap_or_default();
            let Ok(eid) = text("eid").parse::<Eid>() else { continue };
            seen += 1;
            let is_moved = truth.get(&eid).copied().flatten() == targets.get(&eid).copied();
            if is_moved != (text("outcome") == "proven") {
                differences.push(format!("{eid}: {} at the server, moved: {is_moved}", text("outcome")));
            }
        }
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    if seen != truth.len() {
        differences.push(format!("the API lists {seen} of {} devices", truth.len()));
    }
    Ok(differences)
}
