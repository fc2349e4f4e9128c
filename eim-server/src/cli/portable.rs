//! `eim-server portable export` and `eim-server portable import`

use super::api_key::explain;
use super::audit::{key_of, lines};
use crate::boot::{self, BootPorts};
use crate::config::Config;
use anyhow::{Context, bail};
use eim_core::manage;
use eim_core::manage::portable::{PortableCheck, PortableImport, export_portable};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Writes devices, associations, profiles and history of a tenant, with digests and a signature.
    Export(Export),
    /// Takes such a file in, after a look at all of it: when anything does not fit, it is named and nothing is changed.
    Import(Import),
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Whose devices; those of the first tenant unless said.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Writes to this file, which must not be there yet; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// The key of the eIM that made it, known from elsewhere: PEM, DER, base64 or hexadecimal of a SubjectPublicKeyInfo.
    #[arg(long, value_name = "FILE", required = true)]
    public_key: Vec<PathBuf>,
    /// Whose devices they become; those of the first tenant unless said.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

pub(super) async fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Export(arguments) => export(arguments, config).await,
        Command::Import(arguments) => import(arguments, config).await,
    }
}

async fn export(arguments: &Export, config: &Config) -> anyhow::Result<()> {
    let eim = boot::compose(config, BootPorts::default()).await?.eim;
    let eim = match &arguments.tenant {
        Some(name) => manage::as_tenant(name, &eim).await.map_err(explain)?,
        None => eim,
    };
    let mut out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(File::create_new(path).with_context(|| path.display().to_string())?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut export = export_portable(&eim).await.map_err(explain)?;
    while let Some(part) = export.next_part(&eim).await.map_err(explain)? {
        out.write_all(part.as_bytes())?;
    }
    Ok(out.flush()?)
}

async fn import(arguments: &Import, config: &Config) -> anyhow::Result<()> {
    let trusted = arguments.public_key.iter().map(|path| key_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let path = arguments.file.as_path();
    let mut check = PortableCheck::new(trusted);
    for line in lines(path)? {
        check.line(&line?);
    }
    let says = match check.finish() {
        Ok(says) => says,
        Err(faults) => {
            super::print(&faults.join("\n"))?;
            bail!("{}: {} fault(s); nothing was changed", path.display(), faults.len());
        }
    };
    let eim = boot::compose(config, BootPorts::default()).await?.eim;
    let eim = match &arguments.tenant {
        Some(name) => manage::as_tenant(name, &eim).await.map_err(explain)?,
        None => eim,
    };
    let mut import = PortableImport::new(says);
    for line in lines(path)? {
        import.line(&line?, &eim).await.map_err(explain)?;
    }
    let done = import.finish(&eim).await.map_err(explain)?;
    super::print(&format!("{} imported, {} here before, {} failed", done.imported, done.exists, done.failed))?;
    if done.failed > 0 {
        bail!("{} device(s) can't be taken here; the log says why", done.failed);
    }
    Ok(())
}
