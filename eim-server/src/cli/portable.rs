//! `eim-server portable export` and `eim-server portable import`

use super::api_key::explain;
use super::audit::key_of;
use crate::boot::{self, BootPorts};
use crate::config::Config;
use anyhow::{Context, bail};
use eim_core::manage;
use eim_core::manage::portable::{PortableCheck, PortableImport, export_portable, own_keys};
use eim_core::manage::{LineOutcome, LineReport};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// How many octets are read at once.
const PART_BYTES: usize = 64 * 1024;

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
    /// The key of the eIM that made it, known from elsewhere: PEM, DER, base64 or hexadecimal of a SubjectPublicKeyInfo. Keys of
    /// this eIM are trusted without it.
    #[arg(long, value_name = "FILE")]
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
    let mut trusted = arguments.public_key.iter().map(|path| key_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let shown = || arguments.file.display().to_string();
    let mut file = File::open(&arguments.file).with_context(shown)?;
    // With a key that is named nothing is opened, or made, before the file is found to be whole.
    let mut own = None;
    if trusted.is_empty() {
        let eim = boot::compose(config, BootPorts::default()).await?.eim;
        trusted.extend(own_keys(&eim));
        own = Some(eim);
    }
    let mut check = PortableCheck::new(trusted);
    let mut part = vec![0; PART_BYTES];
    loop {
        let read = file.read(&mut part).with_context(shown)?;
        if read == 0 {
            break;
        }
        check.push(part.get(..read).unwrap_or_default());
    }
    let says = match check.finish() {
        Ok(says) => says,
        Err(faults) => {
            let sentences: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
            super::print(&format!("{}\n", sentences.join("\n")))?;
            bail!("{}: {} fault(s); nothing was changed", shown(), faults.len());
        }
    };
    let eim = match own {
        Some(eim) => eim,
        None => boot::compose(config, BootPorts::default()).await?.eim,
    };
    let eim = match &arguments.tenant {
        Some(name) => manage::as_tenant(name, &eim).await.map_err(explain)?,
        None => eim,
    };
    file.seek(SeekFrom::Start(0)).with_context(shown)?;
    let mut import = PortableImport::new(says);
    loop {
        let read = file.read(&mut part).with_context(shown)?;
        if read == 0 {
            break;
        }
        tell(&import.push(part.get(..read).unwrap_or_default(), &eim).await.map_err(explain)?)?;
    }
    let (reports, done) = import.finish(&eim).await.map_err(explain)?;
    tell(&reports)?;
    super::print(&format!("{} imported, {} here before, {} failed\n", done.created, done.exists, done.failed))?;
    if done.failed > 0 {
        bail!("{} device(s) can't be taken here", done.failed);
    }
    Ok(())
}

/// Names the devices that can't be taken, and why.
fn tell(reports: &[LineReport]) -> anyhow::Result<()> {
    for report in reports.iter().filter(|report| report.outcome == LineOutcome::Failed) {
        let eid = report.eid.as_deref().unwrap_or_default();
        for error in &report.errors {
            super::print(&format!("line {} (eUICC {eid}): {}: {}\n", report.line, error.pointer, error.message))?;
        }
    }
    Ok(())
}
