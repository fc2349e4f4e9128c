//! A port before a server of others: connections that break or stand still, and a look at each portion that passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What becomes of a portion of octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// The connection breaks instead.
    Cut,
}

/// Is asked before each portion passes, whichever way.
pub type Look = Arc<dyn Fn() -> Verdict + Send + Sync>;

/// The port. Dropped, it breaks every connection.
#[derive(Debug)]
pub struct Line {
    /// Where it is.
    pub address: SocketAddr,
    control: Control,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Control {
    /// Counts how often connections were cut.
    cuts: watch::Sender<u64>,
    /// Nothing passes before this time, in milliseconds since `begun`.
    stalled_until: Arc<AtomicU64>,
    begun: Instant,
}

impl Line {
    /// Opens it before this server.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn open(target: SocketAddr, look: Look) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let control =
            Control { cuts: watch::Sender::new(0), stalled_until: Arc::new(AtomicU64::new(0)), begun: Instant::now() };
        let shared = control.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (control, look) = (shared.clone(), Arc::clone(&look));
                let mut cut = control.cuts.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        // That connections break is what it is for.
                        _ = pass(near, target, &control, look) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, control, task })
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        self.control.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets nothing pass for a while.
    pub fn stall(&self, time: Duration) {
        let until = self.control.begun.elapsed() + time;
        self.control.stalled_until.store(u64::try_from(until.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn pass(near: TcpStream, target: SocketAddr, control: &Control, look: Look) -> std::io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    tokio::select! {
        ended = copy(from_near, to_far, control, &look) => ended,
        ended = copy(from_far, to_near, control, &look) => ended,
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, control: &Control, look: &Look) -> std::io::Result<()> {
    let mut octets = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut octets).await?;
        if read == 0 {
            return Ok(());
        }
        let until = Duration::from_millis(control.stalled_until.load(Ordering::SeqCst));
        tokio::time::sleep_until(control.begun + until).await;
        if look() == Verdict::Cut {
            return Ok(());
        }
        to.write_all(octets.get(..read).unwrap_or_default()).await?;
    }
}
