//! Whole operations: created through the API, polled, executed, reported, acknowledged.

use super::poll::{esipa_request, poll_request};
use super::{Api, Counts, LoadError, LoadOptions, RawConnection, Report};
use crate::euicc::{DeviceDescription, Euicc};
use crate::fleet::Fleet;
use crate::ipa::{Answer, Function, Package, provide_eim_package_result, read_answer, read_package};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Polls that one operation may take: the eIM may ask for other things first.
const MAX_POLLS: usize = 12;

struct Worker {
    tls: RawConnection<TlsStream<TcpStream>>,
    api: Api,
    euiccs: Vec<Euicc>,
    options: LoadOptions,
}

pub(super) async fn run(fleet: Fleet, api: &Api, options: &LoadOptions) -> Result<Report, LoadError> {
    let connections = options.connections.max(1).min(fleet.devices().len());
    let mut workers = Vec::new();
    for index in 0..connections {
        let euiccs =
            fleet.devices().iter().skip(index).step_by(connections).map(|device| device.euicc.clone()).collect();
        let tls = RawConnection::open_tls(options).await?;
        workers.push(Worker { tls, api: api.another().await?, euiccs, options: options.clone() });
    }
    let most = options.max_count / connections.max(1) as u64 + 1;
    let started = Instant::now();
    let deadline = started + options.duration;
    let tasks: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(worker.work(deadline, most))).collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.map_err(|error| LoadError::Setup { what: error.to_string() })?);
    }
    Ok(Report::new("cycles", started.elapsed(), counts))
}

impl Worker {
    async fn work(mut self, deadline: Instant, most: u64) -> Counts {
        let mut counts = Counts::default();
        let mut euiccs = std::mem::take(&mut self.euiccs);
        let mut done = 0;
        while !euiccs.is_empty() {
            for euicc in &mut euiccs {
                let started = Instant::now();
                if started >= deadline || done >= most {
                    return counts;
                }
                done += 1;
                match self.cycle(euicc, &mut counts).await {
                    Ok(true) => counts.success(started),
                    Ok(false) => counts.error("the operation did not come, or was not acknowledged"),
                    Err(error @ LoadError::Api { .. }) => counts.error(error),
                    Err(error) => {
                        counts.error(error);
                        return counts;
                    }
                }
            }
        }
        counts
    }

    /// One switch to the other profile. False when it was not acknowledged within the bound.
    async fn cycle(&mut self, euicc: &mut Euicc, counts: &mut Counts) -> Result<bool, LoadError> {
        let Some(target) = euicc.profiles().iter().find(|profile| !profile.enabled).map(|profile| profile.iccid) else {
            return Err(LoadError::Setup { what: "a device has no second profile".to_owned() });
        };
        let body = serde_json::json!({"psmo": [{"enable": {"iccid": target.to_string()}}]});
        self.api.create_operation(&euicc.eid(), &body).await?;
        let binding = self.options.binding;
        let poll = poll_request(&euicc.eid(), &self.options);
        for _ in 0..MAX_POLLS {
            let (status, response) = self.tls.exchange(&poll).await?;
            if status != 200 {
                counts.error(format_args!("status {status}"));
                return Ok(false);
            }
            let setup = |error: String| LoadError::Setup { what: error };
            let result = match read_package(binding, response)? {
                Package::EuiccPackage(request) => {
                    euicc.load_euicc_package(&request).map_err(|error| setup(error.to_string()))?
                }
                Package::IpaEuiccData(request) => euicc
                    .ipa_euicc_data(&request, None, &DeviceDescription::default())
                    .map_err(|error| setup(error.to_string()))?,
                Package::DownloadTrigger(_) | Package::Error(_) => {
                    counts.unexpected += 1;
                    return Ok(false);
                }
            };
            let body = provide_eim_package_result(binding, Some(&euicc.eid()), &result, false);
            let request = esipa_request(Function::ProvideEimPackageResult, &self.options, &body);
            let (status, response) = self.tls.exchange(&request).await?;
            if status != 200 {
                counts.error(format_args!("status {status}"));
                return Ok(false);
            }
            if let Answer::Acknowledged(numbers) = read_answer(binding, response)? {
                for number in numbers {
                    euicc.remove_notification(number);
                }
            }
            if euicc.enabled_iccid() == Some(target) && euicc.stored_results().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
