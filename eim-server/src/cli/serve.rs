//! `eim-server serve`

use super::Common;
use crate::boot::{self, BootPorts, Server};
use crate::config::Config;
use crate::shutdown;
use anyhow::bail;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which part of the server runs in this process.
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Everything.
    All,
    /// The listeners only. Not in this version.
    Front,
    /// Background work only. Not in this version.
    Worker,
}

impl Arguments {
    /// Refuses the roles that need a queue between processes.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.role != Role::All {
            bail!("--role front and --role worker need a broker, which this version does not support; use --role all");
        }
        Ok(())
    }
}

pub(super) async fn run(common: &Common, config: Config) -> anyhow::Result<()> {
    if config.pki.ci_dir.is_none() {
        tracing::warn!("pki.ci_dir is not set: no CI is trusted, and no result of an eUICC can be verified");
    }
    let mut server = boot::start(config, BootPorts::default()).await?;
    announce(&server, common);
    let reason = tokio::select! {
        signal = shutdown::requested() => Some(signal?),
        () = server.failed() => None,
    };
    tracing::info!(reason = reason.unwrap_or("a listener ended"), "stopping");
    server.stop().await;
    if reason.is_none() {
        bail!("a listener ended by itself; see the log");
    }
    Ok(())
}

fn announce(server: &Server, common: &Common) {
    tracing::info!("ESipa at https://{}/gsma/rsp2/", server.esipa_addr);
    tracing::info!("operator API at http://{0}/api/v1, reference at http://{0}/docs/", server.api_addr);
    if server.first_start {
        let options = [("--config", &common.config), ("--data-dir", &common.data_dir)]
            .iter()
            .filter_map(|(option, path)| path.as_ref().map(|path| format!(" {option} {}", path.display())))
            .collect::<String>();
        tracing::info!(
            "first start: make an API key with `eim-server api-key create --role admin --name NAME{options}`"
        );
    }
}
