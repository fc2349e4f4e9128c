//! `eim-server check-config`

use crate::boot;
use crate::config::{Config, effective};
use anyhow::bail;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    super::print(&effective(config))?;
    let missing = boot::missing_keys(config).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let each: Vec<String> = missing.iter().map(|(key, euiccs)| format!("{key} ({euiccs} eUICCs)")).collect();
    bail!(
        "eUICCs trust signing keys that are not configured, and their packages would wait: {}; name them in \
         eim.further_signing_keys",
        each.join(", ")
    )
}
