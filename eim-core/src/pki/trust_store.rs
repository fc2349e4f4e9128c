//! The CI certificates that an operator trusts, found by key identifier and never by name.

use super::certificate::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES};
use super::key_id::KeyId;
use super::pem;
use super::role::Role;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file that is read; bundles of roots are far smaller.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
const EXTENSIONS: [&str; 4] = ["pem", "crt", "cer", "der"];

/// The trusted roots. Empty means that nothing verifies.
#[derive(Debug, Clone, Default)]
pub struct TrustStore {
    /// A CI may renew its certificate for the same key; then both are here.
    roots: BTreeMap<KeyId, Vec<Certificate>>,
}

/// Why a trust store could not be made. It names the culprit, so that an operator can repair it.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// The directory or a file in it can't be read.
    #[error("can't read {}: {cause}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file holds something else than CI certificates.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: RootError,
    },
    /// A certificate of a list is no CI certificate.
    #[error("certificate {index}: {cause}")]
    Certificate {
        /// Its position, from 0.
        index: usize,
        /// Why.
        cause: RootError,
    },
}

/// Why a certificate can't be a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// It can't be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file is neither PEM with certificates nor DER.
    #[error("holds no certificate")]
    NoCertificate,
    /// The file is larger than 1 MiB.
    #[error("is too large")]
    TooLarge,
    /// It has no subject key identifier, by which it could be found.
    #[error("has no subject key identifier")]
    NoKeyId,
    /// It is no CA or may not sign certificates.
    #[error("is no CA")]
    NotACa,
    /// Its policies don't state the role of a CI (2.23.146.1.2.1.0).
    #[error("its policies do not state the role of a CI")]
    Policy,
    /// It is not self-signed, or its signature is broken.
    #[error("is not signed by itself")]
    NotSelfSigned,
    /// Another root with the same key identifier has another key.
    #[error("has the key identifier {key_id} of another root, but another key")]
    KeyIdTaken {
        /// The key identifier.
        key_id: KeyId,
    },
}

impl TrustStore {
    /// A store without roots.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads the files of a directory that end in `.pem`, `.crt`, `.cer` or `.der`, each PEM (any number of
    /// certificates) or DER (one). Other files, hidden ones and subdirectories are passed over.
    ///
    /// # Errors
    /// When something can't be read or is no CI certificate, naming the file.
    pub fn from_dir(path: &Path) -> Result<Self, TrustStoreError> {
        let unreadable = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| TrustStoreError::Read { path, cause }
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
            let file = entry.map_err(unreadable(path))?.path();
            if is_candidate(&file) {
                files.push(file);
            }
        }
        files.sort();
        let mut store = Self::empty();
        for file in files {
            let octets = read_bounded(&file).map_err(unreadable(&file))?;
            store.add_file(&octets).map_err(|cause| TrustStoreError::File { path: file, cause })?;
        }
        Ok(store)
    }

    /// A store of these certificates, in DER.
    ///
    /// # Errors
    /// When one is no CI certificate, naming its position.
    pub fn from_certificates<C: AsRef<[u8]>>(
        certificates: impl IntoIterator<Item = C>,
    ) -> Result<Self, TrustStoreError> {
        let mut store = Self::empty();
        for (index, der) in certificates.into_iter().enumerate() {
            store.add(der.as_ref()).map_err(|cause| TrustStoreError::Certificate { index, cause })?;
        }
        Ok(store)
    }

    /// The key identifiers of the roots, in order. Devices name theirs as euiccCiPKId.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.roots.keys()
    }

    /// Whether there are no roots.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The certificates of the root with this key, oldest first.
    pub(super) fn roots(&self, key_id: &KeyId) -> &[Certificate] {
        self.roots.get(key_id).map_or(&[], Vec::as_slice)
    }

    fn add_file(&mut self, octets: &[u8]) -> Result<(), RootError> {
        if octets.len() as u64 > MAX_FILE_BYTES {
            return Err(RootError::TooLarge);
        }
        match std::str::from_utf8(octets) {
            Ok(text) if text.contains("-----BEGIN") => {
                let blocks = pem::blocks(text, "CERTIFICATE").ok_or(RootError::NoCertificate)?;
                if blocks.is_empty() {
                    return Err(RootError::NoCertificate);
                }
                blocks.iter().try_for_each(|der| self.add(der))
            }
            _ if octets.len() <= MAX_CERTIFICATE_BYTES && octets.first() == Some(&0x30) => self.add(octets),
            _ => Err(RootError::NoCertificate),
        }
    }

    fn add(&mut self, der: &[u8]) -> Result<(), RootError> {
        let root = Certificate::parse(der)?;
        let key_id = root.extensions().subject_key_id.clone().ok_or(RootError::NoKeyId)?;
        check_root(&root)?;
        let certificates = self.roots.entry(key_id.clone()).or_default();
        if certificates.iter().any(|other| other.public_key() != root.public_key()) {
            return Err(RootError::KeyIdTaken { key_id });
        }
        if !certificates.contains(&root) {
            certificates.push(root);
            certificates.sort_by_key(|certificate| certificate.validity().not_after);
        }
        Ok(())
    }
}

/// What a CI certificate must be at any time; whether it is valid is asked when it is used.
fn check_root(root: &Certificate) -> Result<(), RootError> {
    let extensions = root.extensions();
    let ca = extensions.basic_constraints.is_some_and(|constraints| constraints.ca);
    if !ca || !extensions.key_usage.is_some_and(|usage| usage.key_cert_sign) {
        return Err(RootError::NotACa);
    }
    if !extensions.policies.iter().any(|policy| Role::Ci.is_stated_by(policy)) {
        return Err(RootError::Policy);
    }
    let own_name = root.issuer().same_as(root.subject());
    if !own_name || root.is_signed_by(root.public_key()).is_err() {
        return Err(RootError::NotSelfSigned);
    }
    Ok(())
}

fn is_candidate(file: &Path) -> bool {
    let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    !hidden && EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)) && !file.is_dir()
}

fn read_bounded(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    std::fs::File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut octets)?;
    Ok(octets)
}
