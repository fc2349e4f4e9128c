//! Load: how many polls or whole operations an eIM does in a second, and the bare handler to compare it with.
//!
//! The client is lean, because it shares the machine with the server: requests are written once and sent as octets,
//! connections are opened before the clock starts. Every loop is bounded in time and count, and targets other than
//! loopback are refused unless they are asked for.

mod api;
mod bare;
mod campaign;
mod cycle;
mod downloads;
mod error;
mod flood;
mod handshake;
mod poll;
mod raw;
mod relay;
mod report;
mod setup;

pub use api::{Api, Association as ApiAssociation, association_of, registration};
pub use bare::{BareServer, bare_server, run_bare_server, server_tls};
pub use campaign::{CampaignOptions, CampaignReport, run_campaigns};
pub use downloads::{DownloadsOptions, DownloadsReport, run_downloads};
pub use error::LoadError;
pub use flood::{FloodOptions, FloodReport, run_flood};
pub use handshake::{HandshakeReport, Handshakes, run_handshakes};
pub use poll::{run_paced_polls, run_polls};
pub use raw::RawConnection;
pub use relay::{RelayReport, run_relay};
pub use report::{Counts, Report};
pub use setup::{check_target, prepare_devices, seed_operations};

use crate::fleet::Fleet;
use crate::ipa::Binding;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What one device does in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Polls that find nothing.
    Poll,
    /// An operation is created through the API, polled, executed, reported and acknowledged.
    Cycle,
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poll" => Ok(Self::Poll),
            "cycle" => Ok(Self::Cycle),
            _ => Err("poll or cycle".to_owned()),
        }
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The eIM's device front.
    pub server: SocketAddr,
    /// SNI and Host.
    pub server_name: String,
    /// TLS.
    pub tls: Arc<rustls::ClientConfig>,
    /// Which binding.
    pub binding: Binding,
    /// What is done.
    pub mode: Mode,
    /// Connections, each used by one device at a time.
    pub connections: usize,
    /// How long.
    pub duration: Duration,
    /// The run ends earlier after so many polls or cycles.
    pub max_count: u64,
}

/// Runs it on the devices of a fleet that was registered and associated before.
///
/// # Errors
/// [`LoadError`] when no connection can be opened; what fails later is counted.
pub async fn run(fleet: Fleet, api: Option<&Api>, options: &LoadOptions) -> Result<Report, LoadError> {
    match options.mode {
        Mode::Poll => run_polls(&fleet.eids(), options).await,
        Mode::Cycle => {
            let api = api.ok_or(LoadError::Setup { what: "the mode cycle needs the API".to_owned() })?;
            cycle::run(fleet, api, options).await
        }
    }
}
