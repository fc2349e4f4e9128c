//! How a command ends badly, and with which exit code.

use super::console::{Console, printable};
use serde_json::Value;
use std::io;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command can't be understood or carried out as given.
    Usage(String),
    /// The server answered with an error; the problem document, where there was one.
    Answer {
        /// HTTP status.
        status: u16,
        /// RFC 9457, or null.
        problem: Value,
    },
    /// Some lines of an import were refused, or a plan would be.
    Refused(String),
    /// The server was not reached, or its answer can't be used.
    Unreachable(String),
    /// What was waited for ended in another way, or not in time.
    EndedBadly(String),
    /// The result can't be printed or written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// The exit code, for scripts.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Answer { status, .. } if *status >= 500 => 3,
            Self::Answer { .. } | Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::EndedBadly(_) => 4,
            // Whoever read the result has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
        }
    }

    /// Whether asking again may help.
    pub(super) fn may_pass(&self) -> bool {
        self.code() == 3
    }

    pub(super) fn tell(&self, json: bool, console: &mut Console) {
        let text = match self {
            Self::Answer { problem, .. } if json && problem.is_object() => return console.note(&problem.to_string()),
            Self::Answer { status, problem } => {
                let member = |name: &str| problem[name].as_str().map(printable);
                let kind = member("type").unwrap_or_default();
                let kind = kind.rsplit(':').next().unwrap_or_default();
                let detail = member("detail").or_else(|| member("title")).unwrap_or_else(|| "no reason given".into());
                console.note(&format!("eim-server: {status} {kind}: {detail}"));
                for error in problem["errors"].as_array().into_iter().flatten() {
                    let text = |name: &str| error[name].as_str().unwrap_or_default();
                    console.note(&format!("  {}: {}", text("pointer"), text("message")));
                }
                return;
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
            Self::Output(error) => format!("the result can't be written: {error}"),
            Self::Unreachable(text) => format!("the server was not reached: {text}"),
            Self::Usage(text) | Self::Refused(text) | Self::EndedBadly(text) => text.clone(),
        };
        console.note(&format!("eim-server: {text}"));
    }
}
