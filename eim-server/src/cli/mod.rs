//! The command line. Standard output carries the result alone; everything else goes to standard error.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration; those of `ctl` are its own, see [`ctl`].

mod api_key;
mod audit;
mod check_config;
mod config_data;
pub mod ctl;
mod demo;
mod keys;
mod migrate;
mod note_restore;
mod portable;
mod serve;
mod tenant;

use crate::config::{self, Config};
use crate::telemetry;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Wrong usage or configuration, as for clap.
const USAGE: u8 = 2;

/// An eIM server (GSMA SGP.32).
#[derive(Debug, Parser)]
#[command(name = "eim-server", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Args)]
struct Common {
    /// Configuration file (TOML); `check-config` prints one with every key.
    #[arg(long, global = true, env = "EIM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, in place of data.dir of the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    Serve(serve::Arguments),
    /// Runs the server with a small simulated fleet and moves it to other profiles by a campaign.
    Demo(demo::Arguments),
    /// Brings the database to this version, beside which servers of the version before go on.
    Migrate {
        /// Also takes away what no version before may need any more: when the last server of one is gone.
        #[arg(long)]
        contract: bool,
    },
    /// Notes that the database is a backup that was restored: before the first start, with every key in the configuration that was used
    /// since the backup.
    NoteRestore,
    /// Prints the configuration in force, without secrets, and looks whether `serve` takes it.
    CheckConfig(serve::Arguments),
    /// API keys.
    #[command(subcommand)]
    ApiKey(ApiKey),
    /// The operator API of a running server, from a shell. Takes no configuration: the key from EIM_API_KEY or --key-file.
    Ctl(Box<ctl::Arguments>),
    /// What eUICCs know of this eIM.
    #[command(subcommand)]
    Eim(Eim),
    /// Signing keys in a hardware module.
    #[command(subcommand)]
    Keys(Keys),
    /// The audit log: checked, and written out.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Devices with all that is known of them, in a signed file that another server takes in.
    #[command(subcommand)]
    Portable(portable::Command),
    /// Tenants: organisations that share the server and see nothing of each other.
    #[command(subcommand)]
    Tenant(Tenant),
}

#[derive(Debug, Subcommand)]
enum Tenant {
    /// Makes a tenant.
    Create(tenant::Arguments),
}

#[derive(Debug, Subcommand)]
enum ApiKey {
    /// Makes an API key and prints it, once.
    Create(api_key::Arguments),
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Makes a signing key in the token of [pkcs11] and prints its id.
    Generate(keys::Generate),
}

#[derive(Debug, Subcommand)]
enum Eim {
    /// Prints EimConfigurationData and AddInitialEimRequest.
    ConfigData(config_data::Arguments),
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn run() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    let command = match command {
        Command::Ctl(arguments) => return talk(*arguments),
        command => command,
    };
    let environment = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let mut config = match config::load(common.config.as_deref(), environment) {
        Ok(config) => config,
        Err(error) => return fail(&error, USAGE),
    };
    if let Some(dir) = &common.data_dir {
        config.data.dir.clone_from(dir);
    }
    if let Command::Serve(arguments) = &command
        && let Err(error) = arguments.check(&config)
    {
        return fail(&error, USAGE);
    }
    if let Err(error) = telemetry::init(&config.log) {
        return fail(&error, USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    match runtime.block_on(execute(command, &common, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format_args!("{error:#}"), 1),
    }
}

async fn execute(command: Command, common: &Common, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments, common, config).await,
        Command::Demo(arguments)
            if common.config.is_some() || common.data_dir.is_some() || arguments.names_a_configuration() =>
        {
            anyhow::bail!(
                "the demo has a data directory and a configuration of its own; leave --config and --data-dir out"
            )
        }
        Command::Demo(arguments) => demo::run(&arguments).await,
        Command::Migrate { contract } => migrate::run(&config, contract).await,
        Command::NoteRestore => note_restore::run(&config).await,
        Command::CheckConfig(arguments) => check_config::run(&arguments, &config).await,
        Command::ApiKey(ApiKey::Create(arguments)) => api_key::create(&arguments, &config).await,
        Command::Tenant(Tenant::Create(arguments)) => tenant::create(&arguments, &config).await,
        Command::Keys(Keys::Generate(arguments)) => keys::generate(&arguments, &config),
        Command::Eim(Eim::ConfigData(arguments)) => config_data::run(&arguments, &config).await,
        Command::Audit(command) => audit::run(&command, &config).await,
        Command::Portable(command) => portable::run(&command, &config).await,
        // Done before any configuration is read.
        Command::Ctl(_) => Ok(()),
    }
}

/// Runs `ctl`, which has nothing to do with the server of this machine.
fn talk(arguments: ctl::Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let key = std::env::var("EIM_API_KEY").ok();
    let mut console = ctl::Console::of_process();
    let code = runtime.block_on(ctl::execute(arguments, key, &mut console));
    // A read of standard input that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("eim-server: {error}");
    ExitCode::from(code)
}

/// Prints the result of a command. A reader that has seen enough, as `head`, is no failure.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_contract_are_understood() {
        for line in [
            "serve",
            "serve --config x.toml --data-dir d --role all",
            "demo --devices 3 --keep",
            "migrate",
            "check-config",
            "check-config --role worker",
            "api-key create --role admin --name ops",
            "api-key create --role approver --name second --tenant acme",
            "tenant create acme",
            "audit verify --tenant acme",
            "audit verify --json",
            "audit verify --file audit.ndjson --public-key eim.pem --checkpoint last.json",
            "audit export --out audit.ndjson",
            "portable export --tenant acme --out acme.ndjson",
            "portable import acme.ndjson --public-key eim.pem",
            "eim config-data --format der --out eim.der",
            "keys generate --label eim-2 --curve brainpoolP256r1",
            "ctl key-rotations start --tag meters --rate 10",
            "ctl devices list --tag meters --json",
            "ctl campaigns watch 5 --url https://eim.example --ca-file ca.pem",
            "ctl completion bash",
        ] {
            Cli::try_parse_from(std::iter::once("eim-server").chain(line.split(' '))).unwrap();
        }
        for label in ["", "a,b", " a"] {
            assert!(Cli::try_parse_from(["eim-server", "keys", "generate", "--label", label]).is_err(), "{label:?}");
        }
        // A file is believed by nobody's key but one that is known from elsewhere.
        assert!(Cli::try_parse_from(["eim-server", "audit", "verify", "--file", "audit.ndjson"]).is_err());
        assert!(Cli::try_parse_from(["eim-server", "api-key", "create", "--role", "root", "--name", "x"]).is_err());
    }
}
