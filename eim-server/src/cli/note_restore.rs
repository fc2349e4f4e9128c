//! `eim-server note-restore`

use super::audit::refuse_no_store;
use crate::boot::{self, BootPorts};
use crate::config::Config;

/// The servers are stopped: what they know of the keys they read at their start.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    refuse_no_store(config)?;
    let keys = boot::note_restore(config, BootPorts::default()).await?;
    eprintln!(
        "No rotation gives one of these keys to a device any more; devices that trust one stay with it. Make a new key for the next rotation."
    );
    let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
    super::print(&names.join("\n"))?;
    Ok(())
}
