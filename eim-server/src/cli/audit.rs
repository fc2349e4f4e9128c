//! `eim-server audit verify` and `eim-server audit export`

use super::api_key::explain;
use crate::boot::{self, BootPorts};
use crate::config::Config;
use crate::identity::{DataDir, Identity};
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::Eim;
use eim_core::domain::audit::{Checkpoint, Report};
use eim_core::domain::statement::key_id;
use eim_core::manage;
use eim_core::manage::audit::{AuditExport, AuditFileCheck, kept_checkpoint};
use eim_core::pki::PublicKey;
use eim_core::store::StoreUrl;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The longest line of an exported log and the largest key or checkpoint that is read, octets.
const LINE_MAX_BYTES: usize = 1024 * 1024;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Checks that no record of the audit log was changed, removed or inserted. Exit code 1 when something does not fit, or when
    /// records wait for their place in the chain for more than an hour; fewer minutes are a warning.
    Verify(Verify),
    /// Writes the audit log of a tenant as NDJSON, which `audit verify --file` takes.
    Export(Export),
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The log of this tenant alone; all tenants unless said.
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    tenant: Option<String>,
    /// An exported log; the database is not opened.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(super) file: Option<PathBuf>,
    /// A key that signed checkpoints, known from elsewhere: PEM, DER, base64 or hexadecimal of a SubjectPublicKeyInfo. The eIM's
    /// own keys are trusted, too; they may be away where one is named here.
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// A checkpoint that was kept elsewhere, as the API shows it; the log must hold it. It tells when the end was cut off
    /// together with its checkpoints.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Prints a JSON array with a report for each log.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Whose log; that of the first tenant unless said.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Writes to this file, which must not be there yet; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Verify(arguments) => verify(arguments, config).await,
        Command::Export(arguments) => export(arguments, config).await,
    }
}

async fn verify(arguments: &Verify, config: &Config) -> anyhow::Result<()> {
    let trusted = arguments.public_key.iter().map(|path| key_of(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let kept = arguments.checkpoint.as_deref().map(checkpoint_of).transpose()?;
    if let Some(file) = &arguments.file {
        return conclude(&[verify_file(file, trusted, kept)?], arguments.json);
    }
    refuse_no_store(config)?;
    let composition = match boot::compose_existing(config, BootPorts::default()).await {
        Ok(composition) => composition,
        // Whoever names the keys needs none of the server's, nor its hardware module.
        Err(error) if !trusted.is_empty() => {
            eprintln!("the server's own keys can't be read and are not trusted: {error:#}");
            boot::compose_without_keys(config, BootPorts::default()).await?
        }
        Err(error) => return Err(error.context("the server's own keys can't be read; name keys with --public-key")),
    };
    let eim = composition.eim;
    let names = match (&arguments.tenant, &kept) {
        (Some(name), _) => vec![name.clone()],
        (None, Some(kept)) => vec![kept.tenant.clone()],
        (None, None) => tenants(&eim).await?,
    };
    let mut reports = Vec::new();
    for name in names {
        let eim = manage::as_tenant(&name, &eim).await.map_err(explain)?;
        reports.push(manage::audit::verify_audit(trusted.clone(), kept.clone(), &eim).await.map_err(explain)?);
    }
    conclude(&reports, arguments.json)
}

/// Whoever looks at a log that is not there has mistyped where it is: an empty one would look sound.
pub(super) fn refuse_no_store(config: &Config) -> anyhow::Result<()> {
    match config.store_url() {
        StoreUrl::Sqlite(path) if !path.exists() => {
            bail!("there is no database at {} (data.dir, store.url)", path.display())
        }
        _ => Ok(()),
    }
}

async fn tenants(eim: &Eim) -> anyhow::Result<Vec<String>> {
    let (mut names, mut cursor) = (vec![], None);
    loop {
        let page = manage::list_tenants(cursor.as_deref(), None, eim).await.map_err(explain)?;
        names.extend(page.items.into_iter().map(|tenant| tenant.name));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(names);
        }
    }
}

/// The lines of a file, without their ends; none is longer than a mebioctet.
pub(super) fn lines(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>>> {
    let shown = path.display().to_string();
    let mut file = BufReader::new(File::open(path).with_context(|| shown.clone())?);
    let mut next = move || -> anyhow::Result<Option<String>> {
        let mut line = Vec::new();
        let limited = &mut file;
        let read = limited.take(LINE_MAX_BYTES as u64).read_until(b'\n', &mut line).with_context(|| shown.clone())?;
        if line.last() != Some(&b'\n') && read >= LINE_MAX_BYTES {
            bail!("{shown}: a line of more than {LINE_MAX_BYTES} octets is none of an exported file");
        }
        let text = String::from_utf8(line).with_context(|| shown.clone())?;
        Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
    };
    Ok(std::iter::from_fn(move || next().transpose()))
}

/// Verifies an exported log, a line at a time.
pub(super) fn verify_file(path: &Path, trusted: Vec<String>, kept: Option<Checkpoint>) -> anyhow::Result<Report> {
    let shown = || path.display().to_string();
    let mut check = AuditFileCheck::new(trusted, kept);
    for line in lines(path)? {
        check.line(&line?).with_context(shown)?;
    }
    check.finish().with_context(shown)
}

/// Prints the reports, and fails when one tells of a fault.
fn conclude(reports: &[Report], as_json: bool) -> anyhow::Result<()> {
    let out = if as_json { serde_json::to_string_pretty(reports)? } else { in_words(reports) };
    super::print(&out)?;
    let bad: usize = reports.iter().map(|report| report.faults.len()).sum();
    if bad > 0 {
        bail!("the audit log does not verify: {bad} fault(s)");
    }
    Ok(())
}

fn in_words(reports: &[Report]) -> String {
    let mut out = String::new();
    for report in reports {
        let Report { tenant, records, checkpoints, proven_to, last, waiting, waiting_since, faults } = report;
        out.push_str(&format!(
            "{tenant}: {records} records, {checkpoints} checkpoints; proven to record {proven_to} of {last}\n"
        ));
        if let Some(since) = waiting_since {
            let told = format!(
                "{tenant}: warning: {waiting} record(s) have no place in the chain yet, the first of {since}\n"
            );
            out.push_str(&told);
        }
        faults.iter().for_each(|fault| out.push_str(&format!("{tenant}: {}\n", fault.message)));
    }
    out
}

async fn export(arguments: &Export, config: &Config) -> anyhow::Result<()> {
    if Identity::known_eim_id(config, &DataDir::rehearsal(&config.data.dir)?).is_none() {
        bail!("the data directory {} (data.dir) is of no server yet", config.data.dir.display());
    }
    refuse_no_store(config)?;
    let eim = boot::compose_without_keys(config, BootPorts::default()).await?.eim;
    let eim = match &arguments.tenant {
        Some(name) => manage::as_tenant(name, &eim).await.map_err(explain)?,
        None => eim,
    };
    let mut out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(File::create_new(path).with_context(|| path.display().to_string())?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut export = AuditExport::default();
    while let Some(part) = export.next_part(&eim).await.map_err(explain)? {
        out.write_all(part.as_bytes())?;
    }
    Ok(out.flush()?)
}

fn small_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = || path.display().to_string();
    if fs::metadata(path).with_context(shown)?.len() > LINE_MAX_BYTES as u64 {
        bail!("{}: the file is too large", path.display());
    }
    fs::read(path).with_context(shown)
}

/// The name of the key in a file.
pub(super) fn key_of(path: &Path) -> anyhow::Result<String> {
    let octets = small_file(path)?;
    let text = String::from_utf8_lossy(&octets);
    let bare: String =
        text.lines().filter(|line| !line.starts_with("-----")).collect::<String>().split_whitespace().collect();
    let forms = [Some(octets.clone()), hex::decode(&bare).ok(), STANDARD.decode(&bare).ok()];
    let key = forms.into_iter().flatten().find_map(|der| PublicKey::from_spki(&der).ok());
    let key = key.with_context(|| format!("{}: no public key on P-256 or brainpoolP256r1", path.display()))?;
    Ok(key_id(&key.to_spki()))
}

fn checkpoint_of(path: &Path) -> anyhow::Result<Checkpoint> {
    let text = String::from_utf8(small_file(path)?).with_context(|| path.display().to_string())?;
    kept_checkpoint(text.trim()).map_err(explain).with_context(|| path.display().to_string())
}
