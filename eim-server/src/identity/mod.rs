//! Who this eIM is: its eimId, signing key and TLS certificate, configured or generated once in the data directory.
//!
//! | file in data.dir | what |
//! |---|---|
//! | `eim-id` | the eimId of the first start; written last, so its presence says that the first start was completed |
//! | `signing-key.pem` | PKCS#8, P-256 |
//! | `secrets.key` | what seals activation codes in the database, hexadecimal |
//! | `tls-key.pem`, `tls-certificate.pem` | PKCS#8, P-256, and the self-signed certificate for it |
//!
//! A file is never overwritten. After the first start a missing file is an error and not a reason for a new key: a new
//! signing key would cut the eIM off from every eUICC that knows the old one.

mod data_dir;
mod keys;
mod tls;

pub use data_dir::{DataDir, DataDirLock};
pub use tls::{Host, TlsIdentity};

use crate::config::Config;
use crate::signing::{Custody, KeySource};
use anyhow::{Context, bail, ensure};
use eim_core::ids::EimId;
use eim_core::pki::SealingKey;
use eim_core::ports::{Entropy, KeyRing, SystemEntropy};
use eim_core::{EimIdType, EimIdentity};
use std::collections::HashSet;

const EIM_ID: &str = "eim-id";
const SIGNING_KEY: &str = "signing-key.pem";
const SECRETS_KEY: &str = "secrets.key";

/// The identity with the keys behind it.
pub struct Identity {
    /// What eUICCs and IPAs know.
    pub eim: EimIdentity,
    /// The same for further identities.
    pub others: Vec<EimIdentity>,
    /// The signing keys of all of them.
    pub keys: KeyRing,
    /// The TLS key and certificates of the device front.
    pub tls: TlsIdentity,
    /// Whether this was the first start with this data directory.
    pub first_start: bool,
    /// What seals activation codes and confirmation codes.
    pub sealing: SealingKey,
}

impl Identity {
    /// Loads what is configured or was generated, and generates the rest on the first start.
    ///
    /// # Errors
    /// When a file is missing, broken or does not fit the configuration.
    pub fn prepare(config: &Config, dir: &DataDir, entropy: &dyn Entropy) -> anyhow::Result<Self> {
        // Held until the end: a server and a command started at the same moment must not both generate.
        let _lock = dir.lock_for_generation()?;
        let first_start = !dir.contains(EIM_ID);
        let custody = Custody::new(config.pkcs11.options());
        let own = keys::load(
            &prepare_key(config, dir, first_start)?,
            &config.eim.further_signing_keys,
            config.eim.signing_certificate.as_deref(),
            &custody,
        )?;
        let named = config.eim.identities.as_deref().map(keys::named_identities).transpose()?.unwrap_or_default();
        let tls = TlsIdentity::prepare(config, named.hosts(), dir, first_start)?;
        let eim_id = prepare_eim_id(config, dir, entropy, first_start)?;
        let mut ring = own.of(&eim_id);
        let signing_certificate = ring.first().and_then(|key| key.certificate.clone());
        let tls_trust = tls.generated.then(|| tls.trust_der());
        let mut others = Vec::new();
        for (other, more) in named.load(tls_trust.as_deref(), &custody)? {
            ring.extend(more);
            others.push(other);
        }
        let named: HashSet<&str> = others.iter().map(|other| other.eim_id.as_str()).chain([eim_id.as_str()]).collect();
        ensure!(named.len() == others.len() + 1, "eim.identities names an eimId twice");
        let keys = KeyRing::new(ring)?;
        let eim = EimIdentity {
            eim_id,
            eim_fqdn: config.eim.fqdn.clone(),
            eim_id_type: config.eim.id_type,
            signing_certificate,
            tls_trust,
            euicc_ci_pk_id: None,
        };
        let sealing = prepare_sealing(config, dir, first_start)?;
        Ok(Self { eim, others, keys, tls, first_start, sealing })
    }
}

/// Where the signing key is; on the first start it is generated where none is configured.
fn prepare_key(config: &Config, dir: &DataDir, first_start: bool) -> anyhow::Result<KeySource> {
    match &config.eim.signing_key {
        Some(path) => Ok(KeySource::of(path)),
        None => {
            dir.require(SIGNING_KEY, first_start, "eim.signing_key", || Ok(generate_key()?.serialize_pem()))?;
            Ok(KeySource::File(dir.path(SIGNING_KEY)))
        }
    }
}

/// A data directory of an earlier version has no such key; nothing was sealed then.
fn prepare_sealing(config: &Config, dir: &DataDir, first_start: bool) -> anyhow::Result<SealingKey> {
    let path = match &config.secrets.key {
        Some(path) => path.clone(),
        None => {
            if !first_start && !dir.contains(SECRETS_KEY) {
                tracing::warn!("a key for secrets is generated; activation codes sealed with another one are lost");
            }
            dir.require(SECRETS_KEY, true, "secrets.key", || {
                let octets: [u8; 32] = (&SystemEntropy as &dyn Entropy).octets();
                Ok(format!("{}\n", hex::encode(octets)))
            })?;
            dir.path(SECRETS_KEY)
        }
    };
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("{} can't be read (secrets.key)", path.display()))?;
    SealingKey::from_text(&text).with_context(|| format!("{} (secrets.key)", path.display()))
}

impl Identity {
    /// The eimId of a server that was started before, or as it is configured; nothing is generated.
    #[must_use]
    pub fn known_eim_id(config: &Config, dir: &DataDir) -> Option<String> {
        match (&config.eim.id, config.eim.id_type) {
            (Some(id), _) => Some(id.clone()),
            (None, EimIdType::Fqdn) => Some(config.eim.fqdn.clone()),
            _ => dir.read(EIM_ID).ok().map(|text| text.trim().to_owned()),
        }
    }
}

fn prepare_eim_id(config: &Config, dir: &DataDir, entropy: &dyn Entropy, first_start: bool) -> anyhow::Result<EimId> {
    let configured = match (&config.eim.id, config.eim.id_type) {
        (Some(id), _) => Some(id.clone()),
        (None, EimIdType::Fqdn) => Some(config.eim.fqdn.clone()),
        (None, EimIdType::Proprietary) => bail!("eim.id_type is \"proprietary\": eim.id must be set"),
        (None, _) => None,
    };
    dir.require(EIM_ID, first_start, "eim.id", || {
        Ok(format!("{}\n", configured.clone().unwrap_or_else(|| generated_oid(entropy))))
    })?;
    let id = match configured {
        Some(id) => id,
        None => dir.read(EIM_ID)?.trim().to_owned(),
    };
    if let Some(expected) = EimId::expected_of_type(&id, config.eim.id_type.code()) {
        let id_type = config.eim.id_type;
        bail!("the eimId {id:?} does not fit eim.id_type {id_type}: {expected} is expected");
    }
    id.parse().with_context(|| format!("the eimId in {} or eim.id", dir.path(EIM_ID).display()))
}

/// `2.25.<UUID as a decimal number>`: an OID that needs no registration (X.667).
fn generated_oid(entropy: &dyn Entropy) -> String {
    let mut octets: [u8; 16] = entropy.octets();
    octets[6] = (octets[6] & 0x0f) | 0x40;
    octets[8] = (octets[8] & 0x3f) | 0x80;
    format!("2.25.{}", u128::from_be_bytes(octets))
}

fn generate_key() -> anyhow::Result<rcgen::KeyPair> {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("a key could not be generated")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use eim_core::ports::SystemEntropy;
    use std::os::unix::fs::PermissionsExt;

    struct Place {
        _dir: tempfile::TempDir,
        config: Config,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut config = Config::default();
            config.data.dir = dir.path().join("data");
            Self { _dir: dir, config }
        }

        fn prepare(&self) -> anyhow::Result<Identity> {
            Identity::prepare(&self.config, &DataDir::open(&self.config.data.dir)?, &SystemEntropy)
        }

        fn refusal(&self) -> String {
            match self.prepare() {
                Ok(_) => String::new(),
                Err(error) => format!("{error:#}"),
            }
        }

        fn file(&self, name: &str) -> std::path::PathBuf {
            self.config.data.dir.join(name)
        }
    }

    #[test]
    fn the_second_start_finds_what_the_first_generated() {
        let place = Place::new();
        let first = place.prepare().unwrap();
        let second = place.prepare().unwrap();
        assert!(first.first_start && !second.first_start);
        assert!(
            first.eim.eim_id.as_str().starts_with("2.25.")
                && EimId::expected_of_type(first.eim.eim_id.as_str(), 1).is_none()
        );
        assert_eq!(first.eim.eim_id, second.eim.eim_id);
        assert_eq!(first.keys.keys()[0].id, second.keys.keys()[0].id);
        assert_eq!(first.tls.trust_der(), second.tls.trust_der());
        assert_eq!(first.eim.tls_trust, Some(first.tls.trust_der()));
    }

    #[test]
    fn only_the_owner_can_read_what_was_generated() {
        let place = Place::new();
        place.prepare().unwrap();
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.config.data.dir), 0o700);
        for name in [EIM_ID, SIGNING_KEY, SECRETS_KEY, "tls-key.pem", "tls-certificate.pem"] {
            assert_eq!(mode(&place.file(name)), 0o600, "{name}");
        }
        let names = std::fs::read_dir(&place.config.data.dir).unwrap().count();
        assert_eq!(names, 5, "no temporary file stays behind");
    }

    #[test]
    fn a_lost_or_broken_file_is_an_error_and_is_not_replaced() {
        for name in [SIGNING_KEY, "tls-key.pem", "tls-certificate.pem"] {
            let place = Place::new();
            place.prepare().unwrap();
            std::fs::remove_file(place.file(name)).unwrap();
            assert!(place.refusal().contains(name), "lost {name}: {}", place.refusal());
            assert!(!place.file(name).exists());
            std::fs::write(place.file(name), "garbage").unwrap();
            assert!(place.refusal().contains(name), "broken {name}: {}", place.refusal());
            assert_eq!(std::fs::read_to_string(place.file(name)).unwrap(), "garbage");
        }
    }

    #[test]
    fn a_first_start_that_was_cut_off_is_completed() {
        let place = Place::new();
        let first = place.prepare().unwrap();
        for name in [EIM_ID, "tls-certificate.pem"] {
            std::fs::remove_file(place.file(name)).unwrap();
        }
        let second = place.prepare().unwrap();
        assert!(second.first_start);
        assert_eq!(first.keys.keys()[0].id, second.keys.keys()[0].id);
    }

    #[test]
    fn the_generated_certificate_must_be_for_the_configured_name() {
        let mut place = Place::new();
        place.prepare().unwrap();
        place.config.eim.fqdn = "eim.example.com".to_owned();
        assert!(place.refusal().contains("eim.example.com"), "{}", place.refusal());
    }

    #[test]
    fn the_certificate_must_be_for_the_host_of_each_identity() {
        let mut place = Place::new();
        let file = place._dir.path().join("identities.toml");
        let key = place._dir.path().join("other.pem");
        std::fs::write(&key, generate_key().unwrap().serialize_pem()).unwrap();
        let identities = |host: &str| {
            let text = "[[identity]]\nid = 'eim.other'\nid_type = 'fqdn'\nfqdn = 'HOST'\nsigning_key = 'KEY'\n";
            std::fs::write(&file, text.replace("HOST", host).replace("KEY", key.to_str().unwrap())).unwrap();
        };
        identities("one.example");
        place.config.eim.identities = Some(file.clone());
        let first = place.prepare().unwrap();
        assert_eq!(first.others[0].tls_trust, Some(first.tls.trust_der()), "generated for both hosts");
        place.prepare().unwrap();
        identities("two.example");
        let refusal = place.refusal();
        assert!(refusal.contains("two.example") && refusal.contains("eim.other"), "{refusal}");
        // One that is configured is somebody else's matter: it is told, and taken.
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let [tls_key, tls_certificate] = ["key", "certificate"].map(|name| place._dir.path().join(name));
        std::fs::write(&tls_key, key.serialize_pem()).unwrap();
        std::fs::write(&tls_certificate, certificate.pem()).unwrap();
        (place.config.esipa.tls_key, place.config.esipa.tls_certificate) = (Some(tls_key), Some(tls_certificate));
        assert_eq!(place.refusal(), "");
    }

    #[test]
    fn the_kind_of_the_eim_id_is_respected() {
        let mut place = Place::new();
        place.config.eim.id_type = EimIdType::Fqdn;
        place.config.eim.fqdn = "eim.example.com".to_owned();
        assert_eq!(place.prepare().unwrap().eim.eim_id.as_str(), "eim.example.com");
        place.config.eim.id_type = EimIdType::Proprietary;
        assert!(place.refusal().contains("eim.id must be set"));
        place.config.eim.id_type = EimIdType::Oid;
        place.config.eim.id = Some("not.an.oid".to_owned());
        assert!(place.refusal().contains("dotted OID"));
    }
}
