//! The TLS certificate of the device front, which may change while it is served.
//!
//! What can't be used is not taken: the certificate from before stays. Connections that are open go on.

use crate::config::Config;
use crate::identity::{Host, TlsIdentity};
use anyhow::Context;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// When a file was last changed, and its size; `None` where it is not there.
type Seen = [Option<(SystemTime, u64)>; 2];

/// Gives every new connection the certificate of the moment.
pub struct TlsSwitch {
    current: RwLock<Arc<CertifiedKey>>,
    files: [PathBuf; 2],
    hosts: Vec<Host>,
    seen: Mutex<Seen>,
}

impl TlsSwitch {
    /// Begins with this identity.
    ///
    /// # Errors
    /// When the key can't be used.
    pub fn new(tls: &TlsIdentity, config: &Config) -> anyhow::Result<Self> {
        let files = TlsIdentity::files(config);
        let seen = Mutex::new(look(&files));
        Ok(Self { current: RwLock::new(certified(tls)?), files, hosts: tls.hosts.clone(), seen })
    }

    /// Loads the files again and takes what is in them. Gives whether it is another certificate.
    ///
    /// # Errors
    /// When they can't be used, or the certificate is not valid now; then the one from before stays.
    pub fn reload(&self, config: &Config) -> anyhow::Result<bool> {
        let seen = look(&self.files);
        let loaded = TlsIdentity::load(config, self.hosts.clone()).and_then(|tls| {
            tls.check_dates()?;
            certified(&tls)
        });
        // Looked at once: a broken file is told of again only when it changes again.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let loaded = loaded.context("the TLS certificate of the device front was not changed")?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.cert != loaded.cert;
        *current = loaded;
        Ok(changed)
    }

    /// Whether the files have changed since they were last loaded.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != look(&self.files)
    }
}

impl ResolvesServerCert for TlsSwitch {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl std::fmt::Debug for TlsSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSwitch").finish_non_exhaustive()
    }
}

fn certified(tls: &TlsIdentity) -> anyhow::Result<Arc<CertifiedKey>> {
    let key = any_ecdsa_type(&tls.key).context("the TLS key can't be used")?;
    Ok(Arc::new(CertifiedKey::new(tls.chain.clone(), key)))
}

fn look(files: &[PathBuf; 2]) -> Seen {
    files.each_ref().map(|path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}
