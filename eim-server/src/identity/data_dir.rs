//! The data directory: private to its owner, files written whole or not at all, never overwritten.

use anyhow::{Context, bail};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    /// Where a rehearsal puts what it generates. Gone with it.
    spare: Option<Arc<TempDir>>,
}

/// As long as it lives no other process takes the same thing. Released with the process at the latest.
#[derive(Debug)]
pub struct DataDirLock(#[allow(dead_code, reason = "the lock lives as long as the open file")] File);

impl DataDirLock {
    /// Takes a SQLite file for one server, through a file `<name>.lock` beside it: what this server keeps in memory of
    /// what is queued holds only while nobody else writes it.
    ///
    /// # Errors
    /// When another server has it.
    pub fn of_database(database: &Path) -> anyhow::Result<Self> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{} can't be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => bail!(
                "another server is running on {}; stop it, or give this one its own (data.dir, store.url)",
                database.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} can't be locked", path.display()))
            }
        }
    }
}

impl DataDir {
    /// Opens the directory; one that does not exist is created with access for its owner only.
    ///
    /// # Errors
    /// When it can't be created or is no directory.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("the data directory {} can't be created (data.dir)", path.display()))?;
        Ok(Self { path: path.to_owned(), spare: None })
    }

    /// The directory as it is, with a place beside it for what would be generated in it: nothing in it is changed, nor is it made.
    ///
    /// # Errors
    /// When it is no directory, or there is no such place.
    pub fn rehearsal(path: &Path) -> anyhow::Result<Self> {
        if path.exists() && !path.is_dir() {
            bail!("the data directory {} can't be created (data.dir): it is no directory", path.display());
        }
        let spare = tempfile::tempdir().context("there is no place for temporary files")?;
        Ok(Self { path: path.to_owned(), spare: Some(Arc::new(spare)) })
    }

    /// The path of a file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        match &self.spare {
            Some(spare) if !path.exists() => spare.path().join(name),
            _ => path,
        }
    }

    /// Waits for the right to generate files. Held for moments only.
    pub(super) fn lock_for_generation(&self) -> anyhow::Result<DataDirLock> {
        let path = match &self.spare {
            Some(spare) if !self.path.exists() => spare.path(),
            _ => &self.path,
        };
        let locked = || {
            let directory = File::open(path)?;
            directory.lock()?;
            Ok::<_, std::io::Error>(DataDirLock(directory))
        };
        locked().with_context(|| format!("the data directory {} can't be locked", self.path.display()))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(super) fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.path(name);
        fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))
    }

    /// Makes sure that a file is there: on the first start it is made, later its absence is an error.
    pub(super) fn require(
        &self,
        name: &str,
        first_start: bool,
        key: &str,
        make: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        if self.contains(name) {
            return Ok(());
        }
        if !first_start {
            bail!(
                "{} is missing, though this data directory has been in use; restore it from a backup or set {key}",
                self.path.join(name).display()
            );
        }
        self.create(name, &make()?)
    }

    /// Writes a file whole and to the disk, or not at all.
    fn create(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        let temporary = path.with_file_name(format!(".{name}.new"));
        let write = || {
            // Left over from a start that was cut off; the generation lock is held, so nobody is writing it.
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        write().with_context(|| format!("{} can't be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn two_servers_do_not_share_a_data_directory() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        let database = dir.path("eim.db");
        let first = DataDirLock::of_database(&database).unwrap();
        assert!(DataDirLock::of_database(&database).unwrap_err().to_string().contains("another server"));
        drop(first);
        DataDirLock::of_database(&database).unwrap();
    }

    #[test]
    fn a_rehearsal_finds_what_is_there_and_generates_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let names =
            |dir: &DataDir| ["x", "y"].map(|name| dir.require(name, true, "key", || Ok("made".to_owned())).unwrap());
        names(&DataDir::rehearsal(&path).unwrap());
        assert!(!path.exists());
        DataDir::open(&path).unwrap();
        fs::write(path.join("x"), "there").unwrap();
        let dir = DataDir::rehearsal(&path).unwrap();
        let _lock = dir.lock_for_generation().unwrap();
        names(&dir);
        assert_eq!((dir.read("x").unwrap(), dir.read("y").unwrap()), ("there".to_owned(), "made".to_owned()));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        let lost = dir.require("z", false, "some.key", || Ok(String::new())).unwrap_err().to_string();
        assert!(lost.contains(path.join("z").to_str().unwrap()) && lost.contains("some.key"), "{lost}");
        assert!(DataDir::rehearsal(&path.join("x")).unwrap_err().to_string().contains("data.dir"));
    }

    #[test]
    fn a_leftover_temporary_file_is_no_obstacle() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::open(place.path()).unwrap();
        fs::write(dir.path(".x.new"), "half").unwrap();
        dir.require("x", true, "key", || Ok("whole".to_owned())).unwrap();
        assert_eq!(dir.read("x").unwrap(), "whole");
        assert!(!dir.contains(".x.new"));
    }
}
