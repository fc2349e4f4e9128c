//! `eim-server tenant create`

use super::api_key::explain;
use crate::boot::{self, BootPorts};
use crate::config::Config;
use eim_core::manage;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its name: lower case letters, digits, - . and _.
    name: String,
}

/// Works beside a running server.
pub(super) async fn create(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let eim = boot::compose_without_keys(config, BootPorts::default()).await?.eim;
    let tenant = manage::create_tenant(&arguments.name, &eim).await.map_err(explain)?;
    eprintln!("The tenant {} was made in {}. Make its first key with:", tenant.name, config.store_url());
    super::print(&format!("eim-server api-key create --role admin --tenant {} --name NAME", tenant.name))?;
    Ok(())
}
