//! `eim-server check-config`

use crate::config::{Config, effective};

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    super::print(&effective(config))?;
    Ok(())
}
