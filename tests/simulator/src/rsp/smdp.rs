//! The SM-DP+: what a test holds of it.

use super::core::{Core, Kind, tls_config};
use super::faults::SmdpFaults;
use super::http::{CallRecord, lock, serve};
use super::options::SmdpOptions;
use super::order::{Order, OrderState};
use super::smdp_functions::{Download, Smdp};
use crate::pki::FleetPki;
use actix_web::dev::ServerHandle;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// A running SM-DP+. It ends when it is stopped or dropped.
pub struct SmdpServer {
    state: Arc<Mutex<Smdp>>,
    address: String,
    oid: String,
    socket: SocketAddr,
    handle: ServerHandle,
}

impl SmdpServer {
    /// Starts to listen on 127.0.0.1, on a port that is free. Needs a tokio runtime.
    ///
    /// # Errors
    /// When it can't listen, or the options can't be used.
    pub async fn start(pki: &FleetPki, options: SmdpOptions) -> anyhow::Result<Self> {
        let tls = tls_config(Kind::Smdp, pki, &options)?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let socket = listener.local_addr()?;
        let core = Core::new(Kind::Smdp, pki, &options, socket.port())?;
        let (address, oid) = (core.address.clone(), core.oid.clone());
        let state = Arc::new(Mutex::new(Smdp::new(core)));
        let handle = serve(&state, listener, tls)?;
        Ok(Self { state, address, oid, socket, handle })
    }

    /// What the server believes its address to be: what smdpAddress must say.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Where it listens.
    #[must_use]
    pub const fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// Its object identifier, dotted.
    #[must_use]
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// Adds a download order in state Released.
    pub fn add_order(&self, order: Order) {
        lock(&self.state).downloads.push(Download::new(order));
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

    /// The notifications that were accepted, as they came, in order and with repetitions.
    #[must_use]
    pub fn notifications(&self) -> Vec<Vec<u8>> {
        lock(&self.state).notifications.clone()
    }

    /// How far the newest order with this matching identifier got.
    #[must_use]
    pub fn order_state(&self, matching_id: &str) -> Option<OrderState> {
        let state = lock(&self.state);
        state.downloads.iter().rev().find(|download| download.order.matching_id == matching_id).map(|found| found.state)
    }

    /// Stops listening and closes every connection.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

impl Drop for SmdpServer {
    fn drop(&mut self) {
        // the order to stop is given at once; nobody waits for it to be carried out
        drop(self.handle.stop(false));
    }
}
