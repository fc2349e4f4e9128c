//! Streams of events that are open: a bounded number, all ended when the server stops.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// All streams of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    permits: Arc<Semaphore>,
    stop: Arc<watch::Sender<bool>>,
}

impl Streams {
    pub(crate) fn new(at_most: usize) -> Self {
        let permits = Arc::new(Semaphore::new(at_most.min(Semaphore::MAX_PERMITS)));
        Self { permits, stop: Arc::new(watch::Sender::new(false)) }
    }

    /// The right to open one, unless there are as many as there may be.
    pub(super) fn take(&self) -> Option<Taken> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Taken { stop: self.stop.subscribe(), _permit: permit })
    }

    /// Ends all streams, or the server would wait for them.
    pub(crate) fn end(&self) {
        self.stop.send_replace(true);
    }
}

/// An open stream.
pub(super) struct Taken {
    stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Taken {
    /// Whether the stream is to end.
    pub(super) fn is_over(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when the stream is to end.
    pub(super) async fn over(&mut self) {
        // A sender that is gone means the same.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}
