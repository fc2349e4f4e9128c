//! `eim-server ctl`: the operator API from a shell. It talks HTTP alone; there is no way around the API's rules.
//!
//! Exit codes: 0 done, 1 the server refused (4xx, a refused line of an import, a plan that would be refused), 2 wrong usage,
//! 3 the server was not reached or failed (5xx), 4 what was waited for ended in another way than it should. The key comes
//! from the environment or from a file, never from the command line, where other users of the machine could read it.

mod audit;
mod bulk;
mod campaigns;
mod client;
mod console;
mod desired_states;
mod devices;
mod events;
mod failure;
mod handovers;
mod input;
mod key_rotations;
mod keys;
mod operations;
mod pools;
mod resource;
mod rules;
mod switches;
mod wait;
mod webhooks;

pub use console::Console;

use clap::{CommandFactory, Parser, Subcommand};
use client::Api;
use failure::Failure;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The largest file with a key.
const KEY_FILE_MAX: u64 = 4096;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Connection {
    /// The server's operator API, without /api/v1.
    #[arg(long, global = true, env = "EIM_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// File with the API key, in place of the environment variable EIM_API_KEY.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// PEM file with the certificates that an https server is judged by, in place of the system's.
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long the server may say nothing, in seconds.
    #[arg(long, global = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    answer_seconds: u64,
    /// JSON in place of tables: of a list one object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The inventory.
    #[command(subcommand)]
    Devices(devices::Command),
    /// What devices are asked to do.
    #[command(subcommand)]
    Operations(operations::Command),
    /// Moving a device to another profile, with proof.
    #[command(subcommand)]
    Switches(switches::Command),
    /// The same for many devices.
    #[command(subcommand)]
    Campaigns(campaigns::Command),
    /// What is wanted of devices, and how they stand to it.
    #[command(subcommand)]
    DesiredStates(desired_states::Command),
    /// The stream of events.
    #[command(subcommand)]
    Events(events::Command),
    /// Who is told of events.
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// What is done when something happens.
    #[command(subcommand)]
    Rules(rules::Command),
    /// Activation codes to hand out.
    #[command(subcommand)]
    Pools(pools::Command),
    /// The keys that sign for devices, and giving devices another one.
    #[command(subcommand)]
    KeyRotations(key_rotations::Command),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Devices that go to another eIM, or come from one.
    #[command(subcommand)]
    Handovers(handovers::Command),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Prints a completion script.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// The commands alone, for whoever calls them as a library.
#[derive(Debug, Parser)]
#[command(name = "eim-server ctl", version, disable_help_subcommand = true)]
struct Alone {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs `eim-server ctl` with these arguments (the name of the program is not among them) and gives the exit code. `key` is
/// what the environment variable `EIM_API_KEY` says. To be used inside a Tokio runtime.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, key: Option<String>, console: &mut Console) -> u8 {
    match Alone::try_parse_from(std::iter::once(OsString::from("eim-server ctl")).chain(arguments)) {
        Ok(alone) => execute(alone.arguments, key, console).await,
        Err(error) if error.use_stderr() => {
            console.note_as_is(&error.to_string());
            Failure::Usage(String::new()).code()
        }
        Err(error) => console.line(error.to_string().trim_end()).map_or_else(|failure| failure.code(), |()| 0),
    }
}

pub(super) async fn execute(arguments: Arguments, key: Option<String>, console: &mut Console) -> u8 {
    let json = arguments.connection.json;
    match carry_out(arguments, key, console).await {
        Ok(()) => 0,
        Err(failure) => {
            failure.tell(json, console);
            failure.code()
        }
    }
}

async fn carry_out(arguments: Arguments, key: Option<String>, console: &mut Console) -> Result<(), Failure> {
    let Arguments { connection, command } = arguments;
    if let Command::Completion { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut super::Cli::command(), "eim-server", &mut script);
        console.out.write_all(&script)?;
        return Ok(console.out.flush()?);
    }
    let key = key_of(&connection, key)?;
    let silence = Duration::from_secs(connection.answer_seconds);
    let api = Api::new(&connection.url, &key, connection.ca_file.as_deref(), silence)?;
    if api.is_unprotected() {
        console.note("eim-server: warning: the API key travels unprotected; use https, or a tunnel to the server");
    }
    let context = &mut Context { api, console, json: connection.json };
    match command {
        Command::Devices(command) => devices::run(command, context).await,
        Command::Operations(command) => operations::run(command, context).await,
        Command::Switches(command) => switches::run(command, context).await,
        Command::Campaigns(command) => campaigns::run(command, context).await,
        Command::DesiredStates(command) => desired_states::run(command, context).await,
        Command::Events(command) => events::run(command, context).await,
        Command::Webhooks(command) => webhooks::run(command, context).await,
        Command::Rules(command) => rules::run(command, context).await,
        Command::Pools(command) => pools::run(command, context).await,
        Command::KeyRotations(command) => key_rotations::run(command, context).await,
        Command::Keys(command) => keys::run(command, context).await,
        Command::Handovers(command) => handovers::run(command, context).await,
        Command::Audit(command) => audit::run(command, context).await,
        Command::Completion { .. } => Ok(()),
    }
}

/// What a command works with.
struct Context<'a> {
    api: Api,
    console: &'a mut Console,
    json: bool,
}

fn key_of(connection: &Connection, key: Option<String>) -> Result<String, Failure> {
    let key = match &connection.key_file {
        Some(path) => {
            let unusable = |why: String| Failure::Usage(format!("--key-file {}: {why}", path.display()));
            let size = std::fs::metadata(path).map_err(|error| unusable(error.to_string()))?.len();
            if size > KEY_FILE_MAX {
                return Err(unusable("that is no file with a key".to_owned()));
            }
            std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?
        }
        None => key.unwrap_or_default(),
    };
    match key.trim() {
        "" => Err(Failure::Usage(
            "an API key is needed: in the environment variable EIM_API_KEY, or in a file named by --key-file"
                .to_owned(),
        )),
        key => Ok(key.to_owned()),
    }
}
