//! `eim-server demo`

use crate::config::Config;
use anyhow::bail;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many devices are simulated.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// Leaves server and fleet running when the demo is over.
    #[arg(long)]
    keep: bool,
}

/// Unfinished: the simulated fleet does not exist yet.
pub(super) async fn run(arguments: &Arguments, _config: Config) -> anyhow::Result<()> {
    bail!("unfinished: the demo of {} device(s) (keep: {}) needs the simulator", arguments.devices, arguments.keep)
}
