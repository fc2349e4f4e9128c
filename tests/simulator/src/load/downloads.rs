//! Many indirect downloads at once, and whether devices, SM-DP+ and API agree about what came of them.
//!
//! The devices know the truth: what they installed and which notifications they made. A device tries again as long as
//! time allows, as real ones do, so that a server may break off and come back in between.

use super::{Api, LoadError, prepare_devices};
use crate::euicc::{DeviceDescription, Euicc};
use crate::fleet::{Fleet, fleet_iccid};
use crate::ipa::{DownloadMode, Ipa, IpaConfig, Package, PollOptions};
use crate::rsp::{Order, OrderState, SmdpOptions, SmdpServer};
use eim_core::ids::{Eid, Iccid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The profile of a fleet device that is downloaded; the first three are there from the beginning.
const DOWNLOADED: u8 = 4;
/// Between two polls of a device for which there is nothing yet.
const PAUSE: Duration = Duration::from_secs(2);
/// Before a device that was cut off tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// How many differences are named.
const NAMED: usize = 20;

/// A run of downloads.
#[derive(Debug, Clone)]
pub struct DownloadsOptions {
    /// How devices reach the eIM.
    pub ipa: IpaConfig,
    /// Index of the first device of the fleet.
    pub first_device: u32,
    /// Octets of each profile.
    pub profile_bytes: usize,
    /// Devices that download at the same time.
    pub concurrency: usize,
    /// When whoever is not done gives up.
    pub deadline: Duration,
}

/// What a device knows in the end.
#[derive(Debug, Clone)]
struct Truth {
    eid: Eid,
    iccid: Iccid,
    matching_id: String,
    operation: String,
    is_installed: bool,
    /// Bound profile packages that it was given and installed; one is right.
    installations: usize,
    /// Downloads that broke off before that.
    broken_off: usize,
    /// Polls and deliveries that failed.
    cut_off: usize,
    /// The notifications that it made, as the SM-DP+ has to get them.
    notifications: BTreeSet<Vec<u8>>,
    /// Notifications that the eIM did not take.
    kept: usize,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct DownloadsReport {
    /// Devices.
    pub devices: usize,
    /// Until the last device was done.
    pub elapsed: Duration,
    /// Until the SM-DP+ had the last notification.
    pub settled: Duration,
    /// Devices with the profile that was ordered for them.
    pub installed: usize,
    /// Operations that the API says have succeeded.
    pub succeeded: usize,
    /// Orders that the SM-DP+ says are installed.
    pub orders_installed: usize,
    /// Notifications that the devices made.
    pub notifications: usize,
    /// Those that the SM-DP+ has.
    pub delivered: usize,
    /// Those that it has got more than once, which it tells by their seqNumber.
    pub repeated: usize,
    /// Downloads that broke off and were begun again.
    pub broken_off: usize,
    /// Exchanges with the eIM that failed and were tried again.
    pub cut_off: usize,
    /// Whatever is not as it should be.
    pub differences: Vec<String>,
}

impl fmt::Display for DownloadsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} devices in {:.1} s: {} installed, {} operations succeeded, {} orders installed, {} of {} notifications \
             delivered after {:.1} s ({} more than once), {} downloads begun again, {} exchanges tried again",
            self.devices,
            self.elapsed.as_secs_f64(),
            self.installed,
            self.succeeded,
            self.orders_installed,
            self.delivered,
            self.notifications,
            self.settled.as_secs_f64(),
            self.repeated,
            self.broken_off,
            self.cut_off
        )?;
        for difference in self.differences.iter().take(NAMED) {
            write!(f, "\n  DIFFERENCE {difference}")?;
        }
        match self.differences.len().checked_sub(NAMED) {
            Some(more @ 1..) => write!(f, "\n  and {more} more"),
            _ => Ok(()),
        }
    }
}

/// Registers the fleet, orders a profile for each device at an SM-DP+ of its own, and lets the devices download.
/// `on_installed` is told how many have it, each time it is one more.
///
/// # Errors
/// [`LoadError`] when the run can't begin, or the API can't be asked; differences are in the report.
pub async fn run_downloads(
    mut fleet: Fleet,
    api: &mut Api,
    options: &DownloadsOptions,
    on_installed: impl Fn(usize) + Send + Sync + 'static,
) -> Result<DownloadsReport, LoadError> {
    let setup = |error: &dyn fmt::Display| LoadError::Setup { what: error.to_string() };
    let smdp = SmdpServer::start(fleet.pki(), SmdpOptions::default()).await.map_err(|error| setup(&error))?;
    prepare_devices(&mut fleet, api).await?;
    let mut downloads = JoinSet::new();
    let (installed, on_installed) = (Arc::new(AtomicUsize::new(0)), Arc::new(on_installed));
    let permits = Arc::new(Semaphore::new(options.concurrency.max(1)));
    let mut prepared = Vec::new();
    for (index, device) in (options.first_device..).zip(fleet.devices()) {
        let truth = order(index, device.euicc.eid(), &smdp, options.profile_bytes, api).await?;
        prepared.push((device.euicc.clone(), truth));
    }
    let started = Instant::now();
    let end = started + options.deadline;
    for (euicc, truth) in prepared {
        let (config, permits) = (options.ipa.clone(), permits.clone());
        let (installed, on_installed) = (installed.clone(), on_installed.clone());
        downloads.spawn(async move {
            // Never closed.
            let _permit = permits.acquire().await;
            let tell = || on_installed(installed.fetch_add(1, Ordering::SeqCst) + 1);
            download(euicc, truth, config, end, tell).await
        });
    }
    let mut truths = Vec::new();
    while let Some(truth) = downloads.join_next().await {
        truths.push(truth.map_err(|error| setup(&error))?);
    }
    let elapsed = started.elapsed();
    while Instant::now() < end && !all_delivered(&truths, &smdp) {
        tokio::time::sleep(AGAIN).await;
    }
    let settled = started.elapsed();
    // The API closes connections that were idle for as long as this may have taken.
    let mut api = api.another().await?;
    while Instant::now() < end && pending(&mut api).await? > 0 {
        tokio::time::sleep(AGAIN).await;
    }
    let mut report = compare(&truths, &smdp, &mut api).await?;
    (report.elapsed, report.settled) = (elapsed, settled);
    smdp.stop().await;
    Ok(report)
}

async fn order(index: u32, eid: Eid, smdp: &SmdpServer, bytes: usize, api: &mut Api) -> Result<Truth, LoadError> {
    let iccid = fleet_iccid(index, DOWNLOADED).map_err(|error| LoadError::Setup { what: error.to_string() })?;
    let matching_id = format!("LOAD-{index}");
    let address = smdp.address();
    smdp.add_order(Order::new(&matching_id, iccid, "Downloaded").for_eid(eid).with_size(bytes).notifying(&address));
    let download = json!({ "activationCode": format!("1${address}${matching_id}"), "indirect": true });
    let operation = api.create_operation(&eid, &json!({ "profileDownload": download })).await?;
    let operation = operation.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Truth {
        eid,
        iccid,
        matching_id,
        operation,
        is_installed: false,
        installations: 0,
        broken_off: 0,
        cut_off: 0,
        notifications: BTreeSet::new(),
        kept: 0,
    })
}

/// Polls until the profile is there, the eIM has all notifications and has nothing more to say.
async fn download(mut euicc: Euicc, mut truth: Truth, config: IpaConfig, end: Instant, tell: impl Fn()) -> Truth {
    let mut ipa = Ipa::new(config);
    ipa.behaviour.download = DownloadMode::Indirect;
    ipa.behaviour.device = std::mem::take(&mut ipa.behaviour.device).features(&[
        DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION,
        DeviceDescription::EIM_DOWNLOAD_DATA_HANDLING,
        DeviceDescription::EIM_CTX_PARAMS1_GENERATION,
        DeviceDescription::EIM_PROFILE_METADATA_VERIFICATION,
    ]);
    let mut results: BTreeSet<Vec<u8>> = BTreeSet::new();
    while Instant::now() < end {
        let polled = match ipa.deliver_undelivered(&mut euicc).await {
            Ok(_) => ipa.poll_once(&mut euicc, &PollOptions::default()).await,
            Err(error) => Err(error),
        };
        let triggered = matches!(&polled, Ok(outcome) if matches!(outcome.package, Package::DownloadTrigger(_)));
        let outcome = ipa.last_download().filter(|_| triggered || polled.is_err());
        if let Some(result) = outcome.and_then(|outcome| outcome.pir.clone()) {
            if results.insert(result.clone()) && outcome.is_some_and(|outcome| outcome.is_installed()) {
                truth.installations += 1;
            }
            truth.notifications.insert(result);
        } else if triggered {
            truth.broken_off += 1;
        }
        truth.notifications.extend(euicc.notifications().iter().map(|notification| notification.octets.clone()));
        if !truth.is_installed && euicc.profile(&truth.iccid).is_some() {
            truth.is_installed = true;
            tell();
        }
        let is_told = if euicc.notifications().is_empty() {
            true
        } else {
            ipa.deliver_notifications(&mut euicc).await.is_ok() && euicc.notifications().is_empty()
        };
        match polled {
            Err(_) => {
                truth.cut_off += 1;
                ipa.disconnect();
                tokio::time::sleep(AGAIN).await;
            }
            Ok(_) if !is_told => {
                truth.cut_off += 1;
                ipa.disconnect();
                tokio::time::sleep(AGAIN).await;
            }
            Ok(outcome) if matches!(outcome.package, Package::Error(_)) => {
                if truth.is_installed && !ipa.has_undelivered() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(_) => {}
        }
    }
    truth.kept = euicc.notifications().len();
    truth
}

fn all_delivered(truths: &[Truth], smdp: &SmdpServer) -> bool {
    let received: BTreeSet<Vec<u8>> = smdp.notifications().into_iter().collect();
    truths.iter().all(|truth| truth.notifications.is_subset(&received))
}

/// How many notifications the eIM still has to forward, at most a few.
async fn pending(api: &mut Api) -> Result<usize, LoadError> {
    let (status, list) = api.call("GET", "/api/v1/notifications?state=pending&limit=10", None).await?;
    let items = list.get("items").and_then(Value::as_array);
    items.filter(|_| status == 200).map(Vec::len).ok_or_else(|| LoadError::Api {
        request: "GET /api/v1/notifications".to_owned(),
        status,
        body: list.to_string(),
    })
}

async fn compare(truths: &[Truth], smdp: &SmdpServer, api: &mut Api) -> Result<DownloadsReport, LoadError> {
    let mut received: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for notification in smdp.notifications() {
        *received.entry(notification).or_default() += 1;
    }
    let repeated = received.values().filter(|times| **times > 1).count();
    let mut report = DownloadsReport { devices: truths.len(), repeated, ..DownloadsReport::default() };
    for truth in truths {
        let eid = truth.eid;
        let mut wrong = |what: String| report.differences.push(format!("{eid}: {what}"));
        if !truth.is_installed {
            wrong("the device does not have the profile".to_owned());
        }
        if truth.installations != 1 {
            wrong(format!("the device has installed {} times", truth.installations));
        }
        if truth.kept > 0 {
            wrong(format!("the device still keeps {} notifications", truth.kept));
        }
        let delivered =
            truth.notifications.iter().filter(|notification| received.contains_key(notification.as_slice())).count();
        if delivered != truth.notifications.len() || truth.notifications.len() < 2 {
            wrong(format!("{delivered} of {} notifications are at the SM-DP+", truth.notifications.len()));
        }
        let is_order_installed = smdp.order_state(&truth.matching_id) == Some(OrderState::Installed);
        if !is_order_installed {
            wrong(format!("the order is {:?} at the SM-DP+", smdp.order_state(&truth.matching_id)));
        }
        let is_succeeded = match of_api(truth, api).await? {
            Ok(()) => true,
            Err(what) => {
                wrong(what);
                false
            }
        };
        report.installed += usize::from(truth.is_installed);
        report.succeeded += usize::from(is_succeeded);
        report.orders_installed += usize::from(is_order_installed);
        report.notifications += truth.notifications.len();
        report.delivered += delivered;
        report.broken_off += truth.broken_off;
        report.cut_off += truth.cut_off;
    }
    let pending = pending(api).await?;
    if pending > 0 {
        report.differences.push(format!("the eIM still has {pending} or more notifications to forward"));
    }
    Ok(report)
}

/// Whether the API says the same as the device; else what it says.
async fn of_api(truth: &Truth, api: &mut Api) -> Result<Result<(), String>, LoadError> {
    let eid = truth.eid;
    let (_, list) = api.call("GET", &format!("/api/v1/operations?eid={eid}&limit=1000"), None).await?;
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |item: &Value, member: &str| item.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let downloads: Vec<&Value> = items.iter().filter(|item| text(item, "kind") == "profileDownload").collect();
    let [operation] = downloads.as_slice() else {
        return Ok(Err(format!("the API has {} downloads of the device", downloads.len())));
    };
    if text(operation, "id") != truth.operation || text(operation, "state") != "succeeded" {
        let error = operation.get("error").cloned().unwrap_or_default();
        return Ok(Err(format!("the operation is {}: {error}", text(operation, "state"))));
    }
    let (_, list) = api.call("GET", &format!("/api/v1/euiccs/{eid}/profiles"), None).await?;
    let profiles = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let iccid = truth.iccid.digits().unwrap_or_default();
    match profiles.iter().filter(|profile| text(profile, "iccid") == iccid).count() {
        1 => Ok(Ok(())),
        times => Ok(Err(format!("the API lists the profile {times} times"))),
    }
}
