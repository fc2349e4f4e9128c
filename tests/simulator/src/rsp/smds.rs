//! The SM-DS: event records and ES11 (SGP.22 v2.5 3.6, 5.8).

use super::authentication::{authenticate, initiate_authentication};
use super::core::{Core, Kind, Refusal, tls_config};
use super::faults::SmdpFaults;
use super::http::{CallRecord, Functions, lock, serve};
use super::json::RspFunction;
use super::options::SmdsOptions;
use crate::pki::FleetPki;
use actix_web::dev::ServerHandle;
use eim_core::ids::Eid;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// A running SM-DS. It ends when it is stopped or dropped.
pub struct SmdsServer {
    state: Arc<Mutex<Smds>>,
    address: String,
    socket: SocketAddr,
    handle: ServerHandle,
}

impl SmdsServer {
    /// Starts to listen on 127.0.0.1, on a port that is free. Needs a tokio runtime.
    ///
    /// # Errors
    /// When it can't listen, or the options can't be used.
    pub async fn start(pki: &FleetPki, options: SmdsOptions) -> anyhow::Result<Self> {
        let options = options.into();
        let tls = tls_config(Kind::Smds, pki, &options)?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let socket = listener.local_addr()?;
        let core = Core::new(Kind::Smds, pki, &options, socket.port())?;
        let address = core.address.clone();
        let state = Arc::new(Mutex::new(Smds { core, events: Vec::new() }));
        let handle = serve(&state, listener, tls)?;
        Ok(Self { state, address, socket, handle })
    }

    /// What the server believes its address to be.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Where it listens.
    #[must_use]
    pub const fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// Adds an event record (ES12 RegisterEvent).
    pub fn register_event(&self, eid: Eid, event_id: &str, rsp_server_address: &str) {
        let event = Event { eid, event_id: event_id.to_owned(), rsp_server_address: rsp_server_address.to_owned() };
        lock(&self.state).events.push(event);
    }

    /// Removes an event record (ES12 DeleteEvent).
    pub fn delete_event(&self, eid: Eid, event_id: &str) {
        lock(&self.state).events.retain(|event| event.eid != eid || event.event_id != event_id);
    }

    /// Misbehaves from now on; [`SmdpFaults::none`] ends it.
    pub fn set_faults(&self, faults: SmdpFaults) {
        lock(&self.state).core.faults = faults;
    }

    /// Loses every RSP session, as a restart without its memory would.
    pub fn forget_sessions(&self) {
        lock(&self.state).core.sessions.clear();
    }

    /// The calls so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        lock(&self.state).core.calls.clone()
    }

    /// Stops listening and closes every connection.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

impl Drop for SmdsServer {
    fn drop(&mut self) {
        // the order to stop is given at once; nobody waits for it to be carried out
        drop(self.handle.stop(false));
    }
}

struct Event {
    eid: Eid,
    event_id: String,
    rsp_server_address: String,
}

struct Smds {
    core: Core,
    events: Vec<Event>,
}

impl Functions for Smds {
    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn has(&self, function: RspFunction) -> bool {
        matches!(function, RspFunction::InitiateAuthentication | RspFunction::AuthenticateClient)
    }

    fn call(&mut self, function: RspFunction, request: &Value) -> Result<Option<Value>, Refusal> {
        match function {
            RspFunction::InitiateAuthentication => initiate_authentication(&mut self.core, request).map(Some),
            RspFunction::AuthenticateClient => self.authenticate_client(request).map(Some),
            _ => Err(Refusal::EXECUTION),
        }
    }
}

impl Smds {
    fn authenticate_client(&mut self, request: &Value) -> Result<Value, Refusal> {
        let euicc = authenticate(&mut self.core, request)?;
        let events: Vec<Value> = self
            .events
            .iter()
            .filter(|event| event.eid == euicc.eid)
            .filter(|event| euicc.matching_id.as_ref().is_none_or(|event_id| event.event_id == *event_id))
            .map(|event| json!({ "eventId": event.event_id, "rspServerAddress": event.rsp_server_address }))
            .collect();
        if events.is_empty() && euicc.matching_id.is_some() {
            return Err(Refusal::new("8.9.5", "3.9"));
        }
        self.core.open_session(&euicc.transaction_id)?.is_closed = true;
        Ok(json!({
            "transactionId":
                self.core.shown_transaction_id(RspFunction::AuthenticateClient, &euicc.transaction_id),
            "eventEntries": events,
        }))
    }
}
