//! `eim-server note-restore`

use super::audit::refuse_no_store;
use crate::boot::{self, BootPorts};
use crate::config::Config;
use eim_core::store::StoreUrl;

/// The servers are stopped: what they know of the keys they read at their start.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    refuse_no_store(config)?;
    let keys = boot::note_restore(config, BootPorts::default()).await?;
    let devices: i64 = keys.iter().map(|(_, devices)| devices).sum();
    eprintln!(
        "{} has {devices} devices. No rotation gives one of these keys to a device any more; devices that trust one stay with it. Make a new key \
         for the next rotation.",
        config.store_url()
    );
    if matches!(config.store_url(), StoreUrl::Postgres(_)) {
        eprintln!(
            "Whether a server runs on it can't be seen here: one that does has to be started anew, since it knows nothing of this."
        );
    }
    let lines: Vec<String> = keys.iter().map(|(key, devices)| format!("{key} ({devices} devices)")).collect();
    super::print(&lines.join("\n"))?;
    Ok(())
}
