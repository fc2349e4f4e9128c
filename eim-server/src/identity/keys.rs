//! From the configuration to the signing keys of each identity.

use super::tls::Host;
use crate::signing::{Custody, KeySource};
use anyhow::{Context, bail, ensure};
use config::{File, FileFormat};
use eim_core::ids::{EimId, KeyId};
use eim_core::pki::{Certificate, PublicKey};
use eim_core::ports::{EimSigner, RingKey};
use eim_core::{EimIdType, EimIdentity};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The keys of an identity, the current one first.
pub(super) struct Loaded(Vec<Key>);

struct Key {
    signer: Arc<dyn EimSigner>,
    custody: &'static str,
    certificate: Option<Vec<u8>>,
}

impl Loaded {
    /// The keys in the name of an eIM.
    pub(super) fn of(self, eim_id: &EimId) -> Vec<RingKey> {
        let ring = |(index, key): (usize, Key)| RingKey {
            id: KeyId::of_spki(key.signer.public_key()),
            eim_id: eim_id.clone(),
            signer: key.signer,
            certificate: key.certificate,
            custody: key.custody,
            current: index == 0,
        };
        self.0.into_iter().enumerate().map(ring).collect()
    }
}

/// Loads the keys of an identity.
pub(super) fn load(
    current: &KeySource,
    further: &[KeySource],
    certificate: Option<&Path>,
    custody: &Custody,
) -> anyhow::Result<Loaded> {
    let mut first = load_key(current, custody)?;
    if let Some(path) = certificate {
        first.certificate = Some(certificate_of(path, first.signer.public_key())?);
    }
    let mut keys = vec![first];
    for source in further {
        keys.push(load_key(source, custody)?);
    }
    Ok(Loaded(keys))
}

fn load_key(source: &KeySource, custody: &Custody) -> anyhow::Result<Key> {
    let signer = source.load(custody).with_context(|| format!("the signing key {source}"))?;
    Ok(Key { signer, custody: source.custody(), certificate: None })
}

/// eUICCs would verify with the key in the certificate, so it must be this one.
fn certificate_of(path: &Path, public_key: &[u8]) -> anyhow::Result<Vec<u8>> {
    let certificate = CertificateDer::from_pem_file(path)
        .with_context(|| format!("eim.signing_certificate: {} holds no PEM certificate", path.display()))?;
    let parsed = Certificate::parse(&certificate)
        .with_context(|| format!("eim.signing_certificate: {} can't be read", path.display()))?;
    let same = PublicKey::from_spki(public_key).is_ok_and(|own| own == *parsed.public_key());
    ensure!(same, "eim.signing_certificate: {} is not for eim.signing_key", path.display());
    Ok(certificate.to_vec())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identities {
    #[serde(default)]
    identity: Vec<Other>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    id: String,
    id_type: String,
    fqdn: String,
    signing_key: String,
    #[serde(default)]
    further_signing_keys: Vec<String>,
    signing_certificate: Option<PathBuf>,
}

/// Further identities as their file names them, before their keys are loaded.
#[derive(Debug, Default)]
pub(super) struct Named {
    path: PathBuf,
    identities: Vec<Other>,
}

/// Reads the file of further identities.
pub(super) fn named_identities(path: &Path) -> anyhow::Result<Named> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("eim.identities: {} can't be read", path.display()))?;
    let parsed = config::Config::builder().add_source(File::from_str(&text, FileFormat::Toml)).build();
    let read: Identities = parsed
        .and_then(config::Config::try_deserialize)
        .with_context(|| format!("eim.identities: {} is not what is expected", path.display()))?;
    Ok(Named { path: path.to_owned(), identities: read.identity })
}

impl Named {
    /// The hosts by which devices reach them.
    pub(super) fn hosts(&self) -> Vec<Host> {
        let host = |other: &Other| Host { name: other.fqdn.clone(), of: other.id.clone() };
        self.identities.iter().map(host).collect()
    }

    /// Loads their keys.
    pub(super) fn load(
        self,
        tls_trust: Option<&[u8]>,
        custody: &Custody,
    ) -> anyhow::Result<Vec<(EimIdentity, Vec<RingKey>)>> {
        let path = self.path;
        self.identities
            .into_iter()
            .map(|other| {
                let name = other.id.clone();
                let one = identity(other, tls_trust, custody);
                one.with_context(|| format!("the identity {name:?} in {} (eim.identities)", path.display()))
            })
            .collect()
    }
}

fn identity(other: Other, tls_trust: Option<&[u8]>, custody: &Custody) -> anyhow::Result<(EimIdentity, Vec<RingKey>)> {
    let eim_id: EimId = other.id.parse().context("id")?;
    let eim_id_type: EimIdType = other.id_type.parse().map_err(anyhow::Error::msg).context("id_type")?;
    if let Some(expected) = EimId::expected_of_type(&other.id, eim_id_type.code()) {
        bail!("the id {:?} does not fit id_type {eim_id_type}: {expected} is expected", other.id);
    }
    ensure!(!other.fqdn.is_empty(), "fqdn must be a host name");
    let further: Vec<KeySource> =
        other.further_signing_keys.iter().map(|text| KeySource::of(Path::new(text))).collect();
    let signing_key = KeySource::of(Path::new(&other.signing_key));
    let keys = load(&signing_key, &further, other.signing_certificate.as_deref(), custody)?.of(&eim_id);
    let identity = EimIdentity {
        eim_id,
        eim_fqdn: other.fqdn,
        eim_id_type,
        signing_certificate: keys.first().and_then(|key| key.certificate.clone()),
        tls_trust: tls_trust.map(<[u8]>::to_vec),
        euicc_ci_pk_id: None,
    };
    Ok((identity, keys))
}
