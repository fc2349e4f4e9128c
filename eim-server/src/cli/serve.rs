//! `eim-server serve`

use super::Common;
use crate::boot::{self, BootPorts, Server};
use crate::config::{Config, QueueUrl};
use crate::shutdown;
use anyhow::bail;
use eim_core::EimIdType;
use eim_core::store::StoreUrl;

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
    /// The listeners; calls to SM-DP+ and SM-DS and background work are left to workers.
    Front,
    /// Calls to SM-DP+ and SM-DS and background work; api.listen serves monitoring alone.
    Worker,
}

impl Arguments {
    /// The role.
    pub(super) const fn role(&self) -> boot::Role {
        match self.role {
            Role::All => boot::Role::All,
            Role::Front => boot::Role::Front,
            Role::Worker => boot::Role::Worker,
        }
    }

    /// Refuses the roles that need a broker and a database between processes.
    pub(super) fn check(&self, config: &Config) -> anyhow::Result<()> {
        if self.role == Role::All {
            if config.queue.url != QueueUrl::InProcess && config.secrets.key.is_none() {
                bail!(
                    "with a broker there may be other servers: set secrets.key to a key that they share, or activation \
                     codes that one has sealed can't be read by the others"
                );
            }
            return Ok(());
        }
        if config.queue.url == QueueUrl::InProcess {
            bail!("--role front and --role worker need a broker that both use (queue.url = \"amqp://...\")");
        }
        if matches!(config.store_url(), StoreUrl::Sqlite(_)) {
            bail!("--role front and --role worker need a database that both use (store.url = \"postgres://...\")");
        }
        if self.role == Role::Front && (config.eim.signing_key.is_none() || config.secrets.key.is_none()) {
            bail!(
                "fronts share their keys: set eim.signing_key and secrets.key, or each would generate its own and \
                 devices would obey only one of them"
            );
        }
        let names_itself = config.eim.id.is_some() || config.eim.id_type == EimIdType::Fqdn;
        if self.role == Role::Front && (!names_itself || config.esipa.tls_certificate.is_none()) {
            bail!(
                "fronts are one eIM: set eim.id (or eim.id_type \"fqdn\") and esipa.tls_certificate, or each would make up \
                 its own and devices would know only one of them"
            );
        }
        Ok(())
    }
}

pub(super) async fn run(arguments: &Arguments, common: &Common, config: Config) -> anyhow::Result<()> {
    if config.pki.ci_dir.is_none() {
        tracing::warn!("pki.ci_dir is not set: no CI is trusted, and no result of an eUICC can be verified");
    }
    if arguments.role == Role::Worker {
        return work(config).await;
    }
    let mut server = boot::start_as(arguments.role(), config, BootPorts::default()).await?;
    announce(&server, common);
    let mut hangup = shutdown::hangup()?;
    let mut requested = std::pin::pin!(shutdown::requested());
    let reason = loop {
        tokio::select! {
            signal = &mut requested => break Some(signal?),
            () = server.failed() => break None,
            _ = hangup.recv() => boot::tell_of_tls(server.reload_tls()),
        }
    };
    tracing::info!(reason = reason.unwrap_or("a listener ended"), "stopping");
    server.stop().await;
    if reason.is_none() {
        bail!("a listener ended by itself; see the log");
    }
    Ok(())
}

async fn work(config: Config) -> anyhow::Result<()> {
    let mut worker = boot::start_worker(config, BootPorts::default()).await?;
    tracing::info!("worker; monitoring at http://{}/healthz", worker.service_addr);
    // A worker has nothing to load again; one that gets the signal with the fronts goes on.
    let mut hangup = shutdown::hangup()?;
    let mut requested = std::pin::pin!(shutdown::requested());
    let reason = loop {
        tokio::select! {
            signal = &mut requested => break Some(signal?),
            () = worker.failed() => break None,
            _ = hangup.recv() => tracing::info!("SIGHUP: a worker has nothing to load again"),
        }
    };
    tracing::info!(reason = reason.unwrap_or("a listener ended"), "stopping");
    worker.stop().await;
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
