//! `eim-server api-key create`

use crate::boot::{self, BootPorts};
use crate::config::Config;
use eim_core::manage::{self, Role};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// viewer, operator, approver or admin.
    #[arg(long, value_parser = role)]
    role: Role,
    /// For whom or what the key is.
    #[arg(long)]
    name: String,
    /// Whose devices it opens; the first tenant, who runs the server, unless said.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_| "expected viewer, operator, approver or admin".to_owned())
}

/// Works beside a running server: the key is known as soon as it is stored.
pub(super) async fn create(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let eim = boot::compose_without_keys(config, BootPorts::default()).await?.eim;
    let eim = match &arguments.tenant {
        Some(name) => manage::as_tenant(name, &eim).await.map_err(explain)?,
        None => eim,
    };
    let (view, key) = manage::create_api_key(&arguments.name, arguments.role, &eim).await.map_err(explain)?;
    let (id, name, role, store) = (view.id, view.name, view.role, config.store_url());
    eprintln!("API key {id} for {name:?} with the role {role}, in {store}; it is not shown again:");
    super::print(&key)?;
    Ok(())
}

/// On the command line there is no place for pointers: the messages say it.
pub(super) fn explain(error: manage::ManageError) -> anyhow::Error {
    match error {
        manage::ManageError::Invalid(fields) => {
            let texts: Vec<String> = fields
                .into_iter()
                .map(|field| format!("{}: {}", field.pointer.trim_start_matches('/'), field.message))
                .collect();
            anyhow::anyhow!(texts.join("; "))
        }
        error => error.into(),
    }
}
