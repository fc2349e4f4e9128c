//! Processes that this program starts: what they use, where they listen, and that they end with it.

use anyhow::{Context, bail, ensure};
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than a start takes.
const START: Duration = Duration::from_secs(60);
/// Longer than the server allows itself (`limits.shutdown_timeout_s`).
const STOP: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);
/// The unit of times in `/proc/PID/stat`: a hundredth of a second on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// A process. Dropped, it is killed; no other process ever is.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Memory of a process, in MB of 1,048,576 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory {
    /// VmHWM: the most that was resident since it was started.
    pub peak_mb: u64,
    /// VmRSS: what is resident now.
    pub now_mb: u64,
}

impl Process {
    /// Starts it; what it says goes to the log.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("{name} can't be started"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The address behind these words of the log, once they are there.
    ///
    /// # Errors
    /// When the process ends before, or never says it.
    pub async fn address(&mut self, words: &str) -> anyhow::Result<SocketAddr> {
        let end = Instant::now() + START;
        while Instant::now() < end {
            let log = String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned();
            let rest = log.split_once(words).map(|(_, rest)| rest);
            let word = rest.and_then(|rest| rest.split_once(['/', ' ', '\n'])).map(|(word, _)| word);
            if let Some(address) = word {
                return address.parse().with_context(|| format!("{} listens at {address}", self.name));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {log}", self.name);
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("{} does not say \"{words}\"", self.name)
    }

    /// Its processor time so far, user and system, all threads.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything; after it come state and numbers, utime being the 14th of all.
        let numbers = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: u32 = numbers.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u32>().ok()).sum();
        Ok(TICK * ticks)
    }

    /// Its memory.
    ///
    /// # Errors
    /// When it is gone.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            let kilobytes: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
            anyhow::Ok(kilobytes / 1024)
        };
        Ok(Memory { peak_mb: field("VmHWM:")?, now_mb: field("VmRSS:")? })
    }

    /// Stops it with SIGTERM.
    ///
    /// # Errors
    /// When it does not stop, or not well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        ensure!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?.success(), "kill failed");
        let end = Instant::now() + STOP;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} ended with {status}: {}", self.name, self.log());
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("{} does not stop", self.name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whether it has ended already is all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard output of a command that succeeds, run beside the other tasks. Its environment, which may hold a key, is not told.
///
/// # Errors
/// When it does not.
pub async fn output(mut command: Command) -> anyhow::Result<String> {
    command.stdin(Stdio::null());
    let text = format!("{:?} {:?}", command.get_program(), command.get_args().collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || command.output()).await?.with_context(|| text.clone())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{text}: {}{said}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
