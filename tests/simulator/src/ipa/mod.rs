//! An IPA in a device (SGP.32 v1.2 3.1.1.1, 5.14, 6): it polls an eIM over HTTPS, lets the eUICC execute what comes,
//! and brings back what the eUICC says.
//!
//! It follows no redirect, trusts only the certificates it was given, and never sleeps unless a retry policy asks for
//! it. Downloads are refused unless the behaviour says which way they go.

mod behaviour;
mod binding;
mod config;
mod connection;
mod download;
mod error;
mod es9;
mod outcome;
mod session;
mod tls;

pub use behaviour::{Behaviour, DataRequests, Delivery, EidInResult};
pub use binding::{Binding, Function, Package, get_eim_package, read_package};
pub(crate) use binding::{is_idle_response, provide_eim_package_result, read_answer};
pub use config::{IpaConfig, PollOptions};
pub use connection::Exchange;
pub use download::{
    Cancellation, Compact, ConfirmationCode, CtxParams1Source, DownloadError, DownloadMode, DownloadOptions,
    DownloadOutcome, DownloadStep, SmdpAddress,
};
pub use error::IpaError;
pub use es9::Es9Config;
pub use outcome::{Answer, PollOutcome};
pub use session::{Retry, Session, SessionOptions};
pub use tls::{TlsVersions, client_config};

use crate::euicc::{Euicc, data_error};
use crate::tlv::{Tlv, element, integer};
use connection::Connection;
use download::Report;
use eim_core::ids::Eid;
use es9::Es9Client;

/// One IPA with at most one connection, which it keeps alive.
#[derive(Debug)]
pub struct Ipa {
    config: IpaConfig,
    connection: Option<Connection>,
    last_exchange: Option<Exchange>,
    /// A body that the eIM did not take yet.
    undelivered: Option<(Function, Vec<u8>)>,
    servers: Option<Es9Client>,
    last_download: Option<DownloadOutcome>,
    /// What it does differently.
    pub behaviour: Behaviour,
}

impl Ipa {
    /// An IPA that is not connected yet.
    #[must_use]
    pub fn new(config: IpaConfig) -> Self {
        Self {
            config,
            connection: None,
            last_exchange: None,
            undelivered: None,
            servers: None,
            last_download: None,
            behaviour: Behaviour::default(),
        }
    }

    /// How it reaches the eIM.
    #[must_use]
    pub const fn config(&self) -> &IpaConfig {
        &self.config
    }

    /// Changes how it reaches the eIM, and hangs up.
    pub fn reconfigure(&mut self, config: IpaConfig) {
        self.config = config;
        self.connection = None;
        self.servers = None;
    }

    /// Hangs up; the next exchange connects again.
    pub fn disconnect(&mut self) {
        self.connection = None;
        self.servers = None;
    }

    /// What came of the last trigger; `None` when it was refused, or there was none.
    #[must_use]
    pub const fn last_download(&self) -> Option<&DownloadOutcome> {
        self.last_download.as_ref()
    }

    /// The last request and its response, as sent and received.
    #[must_use]
    pub const fn last_exchange(&self) -> Option<&Exchange> {
        self.last_exchange.as_ref()
    }

    /// The body of the last request.
    #[must_use]
    pub fn last_request(&self) -> Option<&[u8]> {
        self.last_exchange.as_ref().map(|exchange| exchange.request.as_slice())
    }

    /// The body of the last response.
    #[must_use]
    pub fn last_response(&self) -> Option<&[u8]> {
        self.last_exchange.as_ref().map(|exchange| exchange.response.as_slice())
    }

    /// Polls once: getEimPackage, execution, delivery of the result, removal of what was acknowledged.
    ///
    /// # Errors
    /// [`IpaError`] when the eIM can't be reached, answers with another status than 200 or 204, or with something that
    /// is no answer. A result that was not taken is kept: see [`Self::deliver_undelivered`].
    pub async fn poll_once(&mut self, euicc: &mut Euicc, options: &PollOptions) -> Result<PollOutcome, IpaError> {
        let response = self.get_eim_package_raw(&euicc.eid(), options).await?;
        let package = binding::read_package(self.config.binding, &response)?;
        let mut report = Report::default();
        match &package {
            Package::Error(_) => {}
            Package::EuiccPackage(request) => report.result = Some(self.execute(euicc, request)?),
            Package::IpaEuiccData(request) => report.result = self.collect(euicc, request)?,
            Package::DownloadTrigger(request) => report = self.download(euicc, request).await?,
        }
        let Report { result, answer, removed, delivered_by_result } = report;
        let mut outcome = PollOutcome { package, response, result, answer, removed };
        if let Some(result) = outcome.result.clone().filter(|_| !self.behaviour.lose_result) {
            let answer = self.deliver(&euicc.eid(), &result).await?;
            outcome.removed.extend(self.remove_acknowledged(euicc, &answer));
            if let Some(number) = delivered_by_result.filter(|_| !matches!(answer, Answer::Error(_)))
                && euicc.remove_notification(number)
            {
                outcome.removed.push(number);
            }
            outcome.answer = Some(answer);
        }
        Ok(outcome)
    }

    /// getEimPackage alone: gives the response body as received.
    ///
    /// # Errors
    /// [`IpaError`] when there is no response or its status is not 200.
    pub async fn get_eim_package_raw(&mut self, eid: &Eid, options: &PollOptions) -> Result<Vec<u8>, IpaError> {
        let body = binding::get_eim_package(self.config.binding, eid, options);
        let (status, response) = self.call(Function::GetEimPackage, body).await?;
        if status == 200 { Ok(response) } else { Err(IpaError::Status { status }) }
    }

    /// Sends an EimPackageResult (`BF51`, `30`, `BF52`, `BF54` or `A0`) the way the behaviour says.
    ///
    /// # Errors
    /// [`IpaError`] when it was not taken; it is kept then.
    pub async fn deliver(&mut self, eid: &Eid, result: &[u8]) -> Result<Answer, IpaError> {
        let eid = match &self.behaviour.eid_in_result {
            EidInResult::Own => Some(*eid),
            EidInResult::Absent => None,
            EidInResult::Other(other) => Some(*other),
        };
        let whole = self.behaviour.json_whole_result;
        let (function, body) = match self.behaviour.delivery {
            Delivery::ProvideEimPackageResult => (
                Function::ProvideEimPackageResult,
                binding::provide_eim_package_result(self.config.binding, eid.as_ref(), result, whole),
            ),
            Delivery::HandleNotification => (
                Function::HandleNotification,
                binding::handle_package_result(self.config.binding, eid.as_ref(), result),
            ),
        };
        self.undelivered = Some((function, body));
        self.send_undelivered().await?.ok_or(IpaError::Protocol { what: "nothing to deliver" })
    }

    /// Sends again what the eIM did not take, and removes what it then acknowledges. `None` when there is nothing.
    ///
    /// # Errors
    /// [`IpaError`] when it was not taken; it is kept then.
    pub async fn deliver_undelivered(&mut self, euicc: &mut Euicc) -> Result<Option<Answer>, IpaError> {
        let answer = self.send_undelivered().await?;
        if let Some(answer) = &answer {
            self.remove_acknowledged(euicc, answer);
        }
        Ok(answer)
    }

    /// Whether the eIM did not take the last result.
    #[must_use]
    pub const fn has_undelivered(&self) -> bool {
        self.undelivered.is_some()
    }

    /// Brings every package result that the eUICC still keeps, each in a message of its own.
    ///
    /// # Errors
    /// [`IpaError`] when one was not taken.
    pub async fn deliver_stored_results(&mut self, euicc: &mut Euicc) -> Result<Vec<Answer>, IpaError> {
        let mut answers = Vec::new();
        for stored in euicc.stored_results().to_vec() {
            let answer = self.deliver(&euicc.eid(), &stored.octets).await?;
            self.remove_acknowledged(euicc, &answer);
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Brings every notification that the eUICC keeps by HandleNotification, and removes it after the 204.
    ///
    /// # Errors
    /// [`IpaError`] when one was not taken.
    pub async fn deliver_notifications(&mut self, euicc: &mut Euicc) -> Result<usize, IpaError> {
        let waiting = euicc.notifications().to_vec();
        for notification in &waiting {
            let octets = self.notification_form(&euicc.eid(), &notification.octets);
            let body = binding::handle_notification(self.config.binding, &octets);
            match self.call(Function::HandleNotification, body).await? {
                (204, _) => drop(euicc.remove_notification(notification.seq_number)),
                (status, _) => return Err(IpaError::Status { status }),
            }
        }
        Ok(waiting.len())
    }

    /// Sends any octets to any path. `headers` replace the usual ones of the same name; an empty value leaves one out.
    ///
    /// # Errors
    /// [`IpaError`] when there is no response; every status is an answer here.
    pub async fn post_raw(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Exchange, IpaError> {
        self.exchange("POST", path, headers, body.to_vec()).await
    }

    /// The same with another method than POST.
    ///
    /// # Errors
    /// Those of [`Self::post_raw`].
    pub async fn request_raw(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Exchange, IpaError> {
        self.exchange(method, path, headers, body.to_vec()).await
    }

    async fn send_undelivered(&mut self) -> Result<Option<Answer>, IpaError> {
        let Some((function, body)) = self.undelivered.clone() else { return Ok(None) };
        let (status, response) = self.call(function, body).await?;
        let answer = match status {
            200 => binding::read_answer(self.config.binding, &response)?,
            204 => Answer::NoContent,
            status => return Err(IpaError::Status { status }),
        };
        self.undelivered = None;
        Ok(Some(answer))
    }

    fn execute(&self, euicc: &mut Euicc, request: &[u8]) -> Result<Vec<u8>, IpaError> {
        let Ok(mut result) = euicc.load_euicc_package(request) else {
            // invalidPackageFormat(1)
            return Ok(element(0xa0, &[&integer(0x02, 1)]));
        };
        if self.behaviour.connectivity_lost && euicc.rollback_available() {
            let response = euicc.profile_rollback()?;
            result = Euicc::rollback_result(&response).unwrap_or(result);
        }
        if self.behaviour.with_notifications && !euicc.notifications().is_empty() {
            let eid = euicc.eid();
            let list: Vec<u8> =
                euicc.notifications().iter().flat_map(|found| self.notification_form(&eid, &found.octets)).collect();
            result = element(0x30, &[&result, &element(0xa0, &[&list])]);
        }
        Ok(result)
    }

    fn collect(&self, euicc: &Euicc, request: &[u8]) -> Result<Option<Vec<u8>>, IpaError> {
        let transaction = Tlv::only(request).and_then(|request| request.child(0x83)).map(|tlv| tlv.content.to_vec());
        let eim_id = self.config.eim_id.as_deref();
        let data = euicc.ipa_euicc_data(request, eim_id, &self.behaviour.device)?;
        Ok(match self.behaviour.data_requests {
            DataRequests::Answer => Some(data),
            DataRequests::WithoutCertificates => Some(without_certificates(&data)),
            DataRequests::Error(code) => Some(data_error(transaction.as_deref(), code)),
            DataRequests::Ignore => None,
        })
    }

    /// A notification, compact if the behaviour says so.
    fn notification_form(&self, eid: &Eid, notification: &[u8]) -> Vec<u8> {
        match self.behaviour.download_options.compact {
            Compact::No => notification.to_vec(),
            _ => download::compact_notification(notification, eid),
        }
    }

    /// Calls a function of an RSP server.
    async fn call_server(
        &mut self,
        address: &str,
        function: Function,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>), IpaError> {
        let config = self.config.es9.clone().ok_or(IpaError::Tls("no RSP server is trusted".to_owned()))?;
        let client = match self.servers.take() {
            Some(client) => client,
            None => Es9Client::new(config)?,
        };
        let exchange = self.servers.insert(client).call(address, function.name(), body, self.config.timeout).await?;
        Ok((exchange.status, exchange.response))
    }

    fn remove_acknowledged(&self, euicc: &mut Euicc, answer: &Answer) -> Vec<i64> {
        let Answer::Acknowledged(numbers) = answer else { return Vec::new() };
        if self.behaviour.lose_acknowledgement {
            return Vec::new();
        }
        numbers.iter().copied().filter(|number| euicc.remove_notification(*number)).collect()
    }

    async fn call(&mut self, function: Function, body: Vec<u8>) -> Result<(u16, Vec<u8>), IpaError> {
        let path = function.path(self.config.binding);
        let exchange = self.exchange("POST", path, &[], body).await?;
        Ok((exchange.status, exchange.response))
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Exchange, IpaError> {
        let timeout = self.config.timeout;
        let exchange = tokio::time::timeout(timeout, self.send(method, path, headers, body))
            .await
            .map_err(|_| IpaError::Timeout { timeout_ms: timeout.as_millis() });
        if !matches!(exchange, Ok(Ok(_))) {
            self.connection = None;
        }
        let exchange = exchange??;
        self.last_exchange = Some(exchange.clone());
        Ok(exchange)
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Exchange, IpaError> {
        let usual = [
            ("host", self.config.server_name.as_str()),
            ("x-admin-protocol", &self.config.admin_protocol),
            ("user-agent", &self.config.user_agent),
            ("content-type", self.config.binding.content_type()),
        ];
        let replaced = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let all: Vec<(&str, &str)> = usual
            .into_iter()
            .filter(|(name, _)| !replaced(name))
            .chain(headers.iter().copied().filter(|(_, value)| !value.is_empty()))
            .collect();
        let usable = match self.connection.take() {
            Some(connection) => connection.ready().await,
            None => None,
        };
        let mut connection = match usable {
            Some(connection) => connection,
            None => Connection::open(&self.config).await?,
        };
        let exchange = connection.exchange(method, path, &all, body).await?;
        self.connection = Some(connection);
        Ok(exchange)
    }
}

/// The same data without A5 and A6.
fn without_certificates(data: &[u8]) -> Vec<u8> {
    let fields = Tlv::only(data).and_then(|data| data.child(0xa0)).and_then(|fields| fields.children());
    match fields {
        Some(fields) => {
            let kept: Vec<u8> = fields
                .iter()
                .filter(|field| !matches!(field.tag, 0xa5 | 0xa6))
                .flat_map(|field| field.octets.iter().copied())
                .collect();
            element(0xbf52, &[&element(0xa0, &[&kept])])
        }
        None => data.to_vec(),
    }
}
