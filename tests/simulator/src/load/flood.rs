//! A flood of one EID beside the polls of others: how much later the others are served.
//!
//! The others poll at a moderate pace that does not follow the answers. Whoever floods does so over many connections and as fast as answers
//! come: half of them with valid polls of a device that has a package waiting, half with results of it whose signature is wrong; where that is
//! wanted a third part with polls of EIDs that nobody knows. Calm and flooded spells take turns, so that what else the machine does falls on both.

use super::poll::{esipa_request, poll_request};
use super::{Api, Counts, LoadError, LoadOptions, RawConnection, Report};
use crate::euicc::Euicc;
use crate::fleet::{Fleet, fleet_iccid};
use crate::ipa::{Function, Package, is_idle_response, provide_eim_package_result, read_package};
use eim_core::ids::Eid;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::client::TlsStream;

/// Indices of EIDs that nobody registers.
const STRANGERS_FROM: u32 = 2_000_000_000;
/// Different results with a wrong signature: the same octets again would cost nothing.
const RESULTS: u8 = 128;

/// A measurement.
#[derive(Debug, Clone)]
pub struct FloodOptions {
    /// Where, and for how long each spell lasts. `connections` are those of the others.
    pub load: LoadOptions,
    /// Connections of the flood.
    pub flood_connections: usize,
    /// Whether EIDs that nobody knows are tried as well.
    pub strangers: bool,
    /// Polls of the others in a second, all together.
    pub polls_per_second: u32,
    /// Calm and flooded spells, by turns.
    pub rounds: u32,
}

/// What was measured.
#[derive(Debug)]
pub struct FloodReport {
    /// The others alone.
    pub calm: Report,
    /// The others beside the flood.
    pub flooded: Report,
    /// Requests of the flood that were answered 200 or 204.
    pub served: u64,
    /// Requests of the flood that were answered 503.
    pub refused: u64,
    /// Requests of the flood with another end.
    pub failed: u64,
    /// For how long it flooded.
    pub elapsed: Duration,
}

impl FloodReport {
    /// The 99th percentile beside the flood, in parts of that without it.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        f64::from(self.flooded.percentile_us(99)) / f64::from(self.calm.percentile_us(99).max(1))
    }
}

impl fmt::Display for FloodReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = |count: u64| count as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON);
        writeln!(f, "others alone:       {}", self.calm)?;
        writeln!(f, "others, with flood: {}", self.flooded)?;
        writeln!(
            f,
            "flood: {:.0}/s served, {:.0}/s refused, {:.0}/s failed",
            per_second(self.served),
            per_second(self.refused),
            per_second(self.failed)
        )?;
        write!(f, "p99 with the flood / without: {:.2}", self.ratio())
    }
}

/// Measures it on a fleet that is registered. The first device is the one that is flooded.
///
/// # Errors
/// [`LoadError`] when what has to be there before is not, or a connection can't be opened.
pub async fn run_flood(fleet: &mut Fleet, api: &mut Api, options: &FloodOptions) -> Result<FloodReport, LoadError> {
    let eids = fleet.eids();
    let others = eids.get(1..).filter(|others| !others.is_empty());
    let others = others.ok_or(LoadError::Setup { what: "at least two devices are needed".to_owned() })?.to_vec();
    let mut requests = flood_requests(fleet, api, &options.load).await?;
    requests.truncate(if options.strangers { 3 } else { 2 });
    let requests = Arc::new(requests);
    let (mut calm, mut flooded) = (Vec::new(), Vec::new());
    let (mut calm_for, mut flooded_for) = (Duration::ZERO, Duration::ZERO);
    let counts = Arc::new(FloodCounts::default());
    // Each asks the store once before anything is measured.
    spell(&others, options).await?;
    for _ in 0..options.rounds.max(1) {
        let (counted, elapsed) = spell(&others, options).await?;
        calm.extend(counted);
        calm_for += elapsed;
        let stop = Arc::new(AtomicBool::new(false));
        let (flood, began) = flood(Arc::clone(&requests), options, Arc::clone(&counts), Arc::clone(&stop))?;
        // Without a beginning it has an error, which its end tells. The burst that everybody may have at first is measured as well.
        let _ = began.await;
        let outcome = spell(&others, options).await;
        stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || flood.join()).await;
        let failed = |what: &str| LoadError::Setup { what: what.to_owned() };
        joined.map_err(|_| failed("the flood can't be waited for"))?.map_err(|_| failed("the flood broke off"))??;
        let (counted, elapsed) = outcome?;
        flooded.extend(counted);
        flooded_for += elapsed;
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(FloodReport {
        calm: Report::new("polls", calm_for, calm),
        flooded: Report::new("polls", flooded_for, flooded),
        served: count(&counts.served),
        refused: count(&counts.refused),
        failed: count(&counts.failed),
        elapsed: flooded_for,
    })
}

/// The others poll at their pace for the time of a spell.
async fn spell(others: &[Eid], options: &FloodOptions) -> Result<(Vec<Counts>, Duration), LoadError> {
    let connections = options.load.connections.max(1);
    let every =
        Duration::from_secs(1) * u32::try_from(connections).unwrap_or(u32::MAX) / options.polls_per_second.max(1);
    let mut opened = Vec::new();
    for index in 0..connections {
        let own = others.iter().skip(index % others.len()).step_by(connections);
        let requests: Vec<Vec<u8>> = own.map(|eid| poll_request(eid, &options.load)).collect();
        opened.push((RawConnection::open_tls(&options.load).await?, requests));
    }
    let started = Instant::now();
    let mut tasks = Vec::new();
    for (index, (connection, requests)) in (0_u32..).zip(opened) {
        let first = started + every * index / u32::try_from(connections).unwrap_or(u32::MAX);
        tasks.push(tokio::spawn(pace(connection, requests, options.load.clone(), first, every)));
    }
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.map_err(|error| LoadError::Setup { what: error.to_string() })?);
    }
    Ok((counts, started.elapsed()))
}

/// One connection of the others. A poll that had to wait for the answer to the one before is measured from when it was due.
async fn pace(
    mut connection: RawConnection<TlsStream<TcpStream>>,
    requests: Vec<Vec<u8>>,
    options: LoadOptions,
    first: Instant,
    every: Duration,
) -> Counts {
    let mut counts = Counts::default();
    let mut due = first;
    for request in requests.iter().cycle() {
        if due.duration_since(first) >= options.duration {
            break;
        }
        let started = if Instant::now() < due {
            tokio::time::sleep_until(due.into()).await;
            Instant::now()
        } else {
            due
        };
        match connection.exchange(request).await {
            Ok((200, body)) if is_idle_response(options.binding, body) => counts.success(started),
            Ok((200, _)) => counts.unexpected += 1,
            Ok((status, _)) => counts.error(format_args!("status {status}")),
            Err(error) => {
                counts.error(error);
                break;
            }
        }
        due += every;
    }
    counts
}

#[derive(Debug, Default)]
struct FloodCounts {
    served: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

type Flood = std::thread::JoinHandle<Result<(), LoadError>>;

/// Floods until it is told to stop, on a thread of its own: the others must not wait for the client's own work.
fn flood(
    requests: Arc<Vec<Vec<Vec<u8>>>>,
    options: &FloodOptions,
    counts: Arc<FloodCounts>,
    stop: Arc<AtomicBool>,
) -> Result<(Flood, oneshot::Receiver<()>), LoadError> {
    let setup = |error: std::io::Error| LoadError::Setup { what: error.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(setup)?;
    let (load, connections) = (options.load.clone(), options.flood_connections.max(3));
    let (begins, began) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("flood".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut opened = Vec::new();
                for _ in 0..connections {
                    opened.push(RawConnection::open_tls(&load).await?);
                }
                let _ = begins.send(());
                let mut tasks = Vec::new();
                for (index, connection) in opened.into_iter().enumerate() {
                    let (requests, counts, stop) = (Arc::clone(&requests), Arc::clone(&counts), Arc::clone(&stop));
                    tasks.push(tokio::spawn(async move {
                        let Some(kind) = requests.get(index % requests.len().max(1)) else { return };
                        flood_connection(connection, kind, index, &counts, &stop).await;
                    }));
                }
                for task in tasks {
                    task.await.map_err(|error| LoadError::Setup { what: error.to_string() })?;
                }
                Ok::<(), LoadError>(())
            })
        })
        .map_err(setup)?;
    Ok((thread, began))
}

async fn flood_connection(
    mut connection: RawConnection<TlsStream<TcpStream>>,
    requests: &[Vec<u8>],
    first: usize,
    counts: &FloodCounts,
    stop: &AtomicBool,
) {
    for request in requests.iter().cycle().skip(first % requests.len().max(1)) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let counter = match connection.exchange(request).await {
            Ok((200 | 204, _)) => &counts.served,
            Ok((503, _)) => &counts.refused,
            Ok(_) => &counts.failed,
            Err(_) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls that get a package, results that are not true, polls of nobody: the requests of each kind.
async fn flood_requests(
    fleet: &mut Fleet,
    api: &mut Api,
    options: &LoadOptions,
) -> Result<Vec<Vec<Vec<u8>>>, LoadError> {
    let strangers = (0..20_000).map(|index| poll_request(&fleet.pki().eid(STRANGERS_FROM + index), options)).collect();
    let nobody = LoadError::Setup { what: "there is no device to flood".to_owned() };
    let euicc = &mut fleet.devices_mut().first_mut().ok_or(nobody)?.euicc;
    let eid = euicc.eid();
    let iccid = fleet_iccid(0, 2).map_err(|error| LoadError::Setup { what: error.to_string() })?;
    let body = serde_json::json!({"psmo": [{"enable": {"iccid": iccid.to_string()}}]});
    api.create_operation(&eid, &body).await?;
    let poll = poll_request(&eid, options);
    let result = result_of(euicc, &poll, options).await?;
    let wrong = |with: u8| {
        let mut result = result.clone();
        // The signature stands at the end.
        if let Some(last) = result.last_mut() {
            *last ^= with;
        }
        let body = provide_eim_package_result(options.binding, Some(&eid), &result, false);
        esipa_request(Function::ProvideEimPackageResult, options, &body)
    };
    Ok(vec![vec![poll], (1..=RESULTS).map(wrong).collect(), strangers])
}

/// The device's own result for its package, which it does not send.
async fn result_of(euicc: &mut Euicc, poll: &[u8], options: &LoadOptions) -> Result<Vec<u8>, LoadError> {
    let setup = |what: String| LoadError::Setup { what };
    let mut connection = RawConnection::open_tls(options).await?;
    let (_, response) = connection.exchange(poll).await?;
    match read_package(options.binding, response)? {
        Package::EuiccPackage(request) => euicc.load_euicc_package(&request).map_err(|error| setup(error.to_string())),
        other => Err(setup(format!("the flooded device was given no package: {other:?}"))),
    }
}
