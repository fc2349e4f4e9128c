//! The scenarios. Each gives a section; whatever is compared is measured by turns, in one run.

mod bare;
mod cycles;
mod fleet;
mod handshakes;
mod nodes;

pub use bare::empty_polls;
pub use cycles::cycles;
pub use fleet::{fleet, pending};
pub use handshakes::handshakes;
pub use nodes::nodes;

use crate::measure::{Client, Round};
use crate::servers::{Bench, Eim, Served};
use eim_core::ids::Eid;

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// The client.
    pub client: Client,
    /// How often each of two things is measured, by turns.
    pub rounds: usize,
    /// Devices that poll again and again.
    pub polling: u32,
    /// eUICCs of the large fleet.
    pub fleet: u32,
    /// How many of them poll once more after a restart of the server, so that each poll asks the store.
    pub spread: u32,
    /// How many of those in one measurement.
    pub cold: u32,
    /// Operations that are pending on others.
    pub pending: u32,
    /// Devices that work through whole cycles.
    pub cycling: u32,
}

impl Sizes {
    /// What a reader has to know of them.
    #[must_use]
    pub fn describe(&self) -> String {
        let Client { connections, duration } = self.client;
        format!(
            "{connections} connections, {} s for each measurement, {} rounds by turns, ASN.1 binding, TLS 1.3; client and servers share the machine",
            duration.as_secs(),
            self.rounds
        )
    }
}

/// Two things polled by turns.
async fn by_turns(
    sizes: &Sizes,
    eids: &[Eid],
    first: &(impl Served + ?Sized),
    second: &(impl Served + ?Sized),
) -> anyhow::Result<(Vec<Round>, Vec<Round>)> {
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        firsts.push(sizes.client.polls(first, eids).await?);
        seconds.push(sizes.client.polls(second, eids).await?);
    }
    Ok((firsts, seconds))
}

/// A server on SQLite with its polling devices, each of which was seen before.
async fn small(bench: &Bench, name: &str, sizes: &Sizes) -> anyhow::Result<Eim> {
    let eim = Eim::embedded(bench, name).await?;
    eim.import_devices(&bench.pollers, 0..sizes.polling).await?;
    sizes.client.polls_once(&eim, &bench.pollers.eids(0..sizes.polling)).await?;
    Ok(eim)
}
