//! `eim-server migrate`

use crate::boot;
use crate::config::Config;
use crate::identity::DataDir;
use anyhow::Context;
use eim_core::store::{StoreError, StoreUrl};

pub(super) async fn run(config: &Config, contract: bool) -> anyhow::Result<()> {
    let url = config.store_url();
    if matches!(url, StoreUrl::Sqlite(_)) {
        // The default file lies in the data directory, which may not exist yet.
        DataDir::open(&config.data.dir)?;
    }
    let store = boot::connect(config).await?;
    let run = async {
        let mut run = store.migrate().await?;
        if contract {
            run.extend(store.contract().await?);
        }
        Ok::<_, StoreError>(run)
    };
    let run = run.await.with_context(|| format!("the store {url} can't be migrated"))?;
    if run.is_empty() {
        eprintln!("the store {url} is up to date");
    } else {
        super::print(&run.join("\n"))?;
    }
    Ok(())
}
