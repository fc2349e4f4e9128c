//! Files that must be looked at as a whole before anything is done with them: kept in the data directory while a request lasts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::fs::File;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many such files there are at a time; each may be as large as an import.
const FILES_MAX: usize = 2;

/// Where they are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    permits: Arc<Semaphore>,
}

impl Spool {
    /// In this folder, which is there.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, permits: Arc::new(Semaphore::new(FILES_MAX)) }
    }

    /// The right to one, unless there are as many as there may be.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// An empty file without a name: it is gone when it is closed, also by a crash.
    pub(super) fn file(&self) -> io::Result<File> {
        Ok(File::from_std(tempfile::tempfile_in(&self.folder)?))
    }
}
