//! What the eIM adds to a call to an SM-DP+: InitiateAuthentication through ESipa, and the same call without the eIM.
//!
//! Both go to the same SM-DP+ over connections that are open already, one call at a time and by turns, so that whatever
//! else the machine does falls on both. The clock runs from the first octet sent until the SM-DP+ has the whole call.

use super::raw::post;
use super::{Api, Counts, LoadError, RawConnection, Report, prepare_devices};
use crate::euicc::DeviceDescription;
use crate::fleet::{Fleet, fleet_iccid};
use crate::ipa::{DownloadMode, DownloadStep, Function, Ipa, IpaConfig, PollOptions, TlsVersions, client_config};
use crate::pki::ServerCertificateRole;
use crate::rsp::{CallRecord, Order, RspFunction, SmdpOptions, SmdpServer};
use rustls::pki_types::ServerName;
use serde_json::json;
use std::fmt;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who calls without the eIM.
const DIRECT: &str = "direct";
/// Calls of each sort that are not counted.
const WARM_UP: usize = 50;
/// Polls until the trigger comes: the eIM asks for data first.
const MAX_POLLS: usize = 8;

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct RelayReport {
    /// Without the eIM.
    pub direct: Report,
    /// Through the eIM.
    pub relayed: Report,
}

impl RelayReport {
    /// What the eIM adds at this percentile, microseconds.
    #[must_use]
    pub fn added_us(&self, percent: usize) -> i64 {
        i64::from(self.relayed.percentile_us(percent)) - i64::from(self.direct.percentile_us(percent))
    }
}

impl fmt::Display for RelayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: i64| us as f64 / 1000.0;
        for (name, report) in [("direct ", &self.direct), ("relayed", &self.relayed)] {
            let at = |percent| ms(report.percentile_us(percent).into());
            let (p50, p95, p99) = (at(50), at(95), at(99));
            writeln!(f, "{name}  {} calls  p50 {p50:.2} ms  p95 {p95:.2} ms  p99 {p99:.2} ms", report.count)?;
        }
        write!(f, "added    p50 {:.2} ms  p95 {:.2} ms", ms(self.added_us(50)), ms(self.added_us(95)))
    }
}

/// Registers the fleet, brings each device as far as InitiateAuthentication, and repeats that call by turns.
///
/// # Errors
/// [`LoadError`] when a device does not get so far, or a call fails.
pub async fn run_relay(
    mut fleet: Fleet,
    api: &mut Api,
    config: &IpaConfig,
    first_device: u32,
    rounds: usize,
) -> Result<RelayReport, LoadError> {
    let setup = |error: &dyn fmt::Display| LoadError::Setup { what: error.to_string() };
    let options = SmdpOptions::default();
    let shown = fleet.pki().server(ServerCertificateRole::DpTls, &options.host, &options.oid);
    let shown = shown.map_err(|error| setup(&error))?.certificate;
    let smdp = SmdpServer::start(fleet.pki(), options).await.map_err(|error| setup(&error))?;
    prepare_devices(&mut fleet, api).await?;
    let mut devices = Vec::new();
    for (index, device) in (first_device..).zip(fleet.devices()) {
        devices.push(Initiating::prepare(index, device.euicc.clone(), &smdp, api, config).await?);
    }
    let first = smdp.calls().pop().ok_or(setup(&"the SM-DP+ was not called"))?;
    let mut direct = Direct::open(&smdp, &shown, &first).await?;
    let known = smdp.calls().len();
    let (mut relayed_at, mut direct_at) = (Vec::new(), Vec::new());
    for round in 0..rounds + WARM_UP {
        direct_at.push(direct.call().await?);
        let many = devices.len();
        let device = devices.get_mut(round % many).ok_or(setup(&"there is no device"))?;
        relayed_at.push(device.call().await?);
    }
    let calls = smdp.calls().split_off(known);
    smdp.stop().await;
    let (direct, relayed): (Vec<CallRecord>, Vec<CallRecord>) =
        calls.into_iter().partition(|call| call.user_agent.as_deref() == Some(DIRECT));
    Ok(RelayReport { direct: report(&direct_at, &direct)?, relayed: report(&relayed_at, &relayed)? })
}

fn report(sent: &[Instant], calls: &[CallRecord]) -> Result<Report, LoadError> {
    if sent.len() != calls.len() {
        let what = format!("{} calls were made, and the SM-DP+ got {}", sent.len(), calls.len());
        return Err(LoadError::Setup { what });
    }
    let times: Vec<_> =
        sent.iter().zip(calls).skip(WARM_UP).map(|(sent, call)| call.received.duration_since(*sent)).collect();
    let latencies_us = times.iter().map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)).collect();
    Ok(Report::new("calls", times.iter().sum(), vec![Counts { latencies_us, ..Counts::default() }]))
}

/// A device that has asked the eIM for InitiateAuthentication once, and will again with the same octets.
struct Initiating {
    ipa: Ipa,
    body: Vec<u8>,
}

impl Initiating {
    async fn prepare(
        index: u32,
        mut euicc: crate::euicc::Euicc,
        smdp: &SmdpServer,
        api: &mut Api,
        config: &IpaConfig,
    ) -> Result<Self, LoadError> {
        let setup = |what: String| LoadError::Setup { what };
        let (eid, address, matching_id) = (euicc.eid(), smdp.address(), format!("LOAD-{index}"));
        let iccid = fleet_iccid(index, 4).map_err(|error| setup(error.to_string()))?;
        smdp.add_order(Order::new(&matching_id, iccid, "Downloaded").for_eid(eid));
        let download = json!({ "activationCode": format!("1${address}${matching_id}"), "indirect": true });
        api.create_operation(&eid, &json!({ "profileDownload": download })).await?;
        let mut ipa = Ipa::new(config.clone());
        ipa.behaviour.download = DownloadMode::Indirect;
        ipa.behaviour.download_options.stop_after = Some(DownloadStep::InitiateAuthentication);
        ipa.behaviour.device =
            std::mem::take(&mut ipa.behaviour.device).features(&[DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION]);
        for _ in 0..MAX_POLLS {
            ipa.poll_once(&mut euicc, &PollOptions::default()).await?;
            if ipa.last_download().is_some_and(|download| download.stopped) {
                let body = ipa.last_request().unwrap_or_default().to_vec();
                return Ok(Self { ipa, body });
            }
        }
        Err(setup(format!("{eid} got no answer to InitiateAuthentication: {:?}", ipa.last_download())))
    }

    /// Gives when it was sent.
    async fn call(&mut self) -> Result<Instant, LoadError> {
        let path = Function::InitiateAuthentication.path(self.ipa.config().binding);
        let sent = Instant::now();
        let exchange = self.ipa.post_raw(path, &[], &self.body).await?;
        match exchange.status {
            200 => Ok(sent),
            status => Err(LoadError::Setup { what: format!("the eIM answered with status {status}") }),
        }
    }
}

/// The same call, straight to the SM-DP+.
struct Direct {
    connection: RawConnection<TlsStream<TcpStream>>,
    request: Vec<u8>,
}

impl Direct {
    async fn open(smdp: &SmdpServer, certificate: &[u8], call: &CallRecord) -> Result<Self, LoadError> {
        let address = smdp.address();
        let failed = |cause| LoadError::Connection { target: address.clone(), cause };
        let tls = client_config(&[certificate.to_vec()], TlsVersions::Both)?;
        let name = ServerName::try_from("localhost").map_err(|error| failed(std::io::Error::other(error)))?;
        let tcp = TcpStream::connect(smdp.socket()).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(failed)?;
        let headers =
            [("content-type", "application/json"), ("x-admin-protocol", "gsma/rsp/v2.5.0"), ("user-agent", DIRECT)];
        let path = format!("/gsma/rsp2/es9plus/{}", RspFunction::InitiateAuthentication.as_str());
        let request = post(&path, &address, &headers, call.request.to_string().as_bytes());
        Ok(Self { connection: RawConnection::new(stream), request })
    }

    /// Gives when it was sent.
    async fn call(&mut self) -> Result<Instant, LoadError> {
        let sent = Instant::now();
        match self.connection.exchange(&self.request).await? {
            (200, _) => Ok(sent),
            (status, _) => Err(LoadError::Setup { what: format!("the SM-DP+ answered with status {status}") }),
        }
    }
}
