//! `eim-server check-config`

use super::serve;
use crate::boot;
use crate::config::{Config, effective};
use anyhow::bail;

/// Prints the configuration in force, and fails where `serve` with the same arguments would refuse it or leave devices waiting.
pub(super) async fn run(arguments: &serve::Arguments, config: &Config) -> anyhow::Result<()> {
    super::print(&effective(config))?;
    arguments.check(config)?;
    let missing = boot::rehearse(arguments.role(), config).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = missing.iter().map(ToString::to_string).collect();
    bail!("eUICCs trust signing keys that are not configured, and their packages would wait: {}", each.join("; "))
}
