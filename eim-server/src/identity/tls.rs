//! The TLS identity of the device front: configured, or a self-signed certificate that devices are told to trust.

use super::{DataDir, generate_key};
use crate::config::Config;
use anyhow::{Context, bail, ensure};
use eim_core::pki::certificate_validity;
use eim_core::ports::{Clock, SystemClock};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use std::path::{Path, PathBuf};

const KEY: &str = "tls-key.pem";
const CERTIFICATE: &str = "tls-certificate.pem";
/// Longest common name (RFC 5280, ub-common-name); longer host names stand in the SAN only.
const COMMON_NAME_MAX: usize = 64;

/// The key and the certificates that the device front presents.
pub struct TlsIdentity {
    /// The chain, the server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// Whether the certificate is the generated self-signed one.
    pub generated: bool,
    /// The hosts of further identities, for which it must be valid, too.
    pub hosts: Vec<Host>,
}

/// The host of a further identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The eimId of the identity.
    pub of: String,
}

impl TlsIdentity {
    pub(super) fn prepare(config: &Config, hosts: Vec<Host>, dir: &DataDir, first_start: bool) -> anyhow::Result<Self> {
        let (key_path, certificate_path, generated) = match (&config.esipa.tls_key, &config.esipa.tls_certificate) {
            (Some(key), Some(certificate)) => (key.clone(), certificate.clone(), false),
            _ => {
                let names = || {
                    let mut names = vec![config.eim.fqdn.as_str()];
                    hosts.iter().for_each(|host| {
                        if !names.contains(&host.name.as_str()) {
                            names.push(&host.name)
                        }
                    });
                    names
                };
                dir.require(KEY, first_start, "esipa.tls_key", || Ok(generate_key()?.serialize_pem()))?;
                dir.require(CERTIFICATE, first_start, "esipa.tls_certificate", || {
                    self_signed(&names(), &dir.read(KEY)?)
                })?;
                (dir.path(KEY), dir.path(CERTIFICATE), true)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&key_path)
            .ok()
            .with_context(|| format!("{} holds no unencrypted PEM private key", key_path.display()))?;
        let chain = load_chain(&certificate_path)?;
        check_key(&key, &chain)
            .with_context(|| format!("{} and {}", key_path.display(), certificate_path.display()))?;
        let tls = Self { chain, key, generated, hosts };
        tls.check_name(&config.eim.fqdn, "eim.fqdn", &certificate_path)?;
        for host in &tls.hosts {
            tls.check_name(
                &host.name,
                &format!("the host of the identity {:?} (eim.identities)", host.of),
                &certificate_path,
            )?;
        }
        Ok(tls)
    }

    /// Loads again what [`Identity::prepare`](super::Identity::prepare) has loaded, from files that somebody may have changed.
    /// `hosts` are those of further identities.
    ///
    /// # Errors
    /// When they can't be used.
    pub fn load(config: &Config, hosts: Vec<Host>) -> anyhow::Result<Self> {
        Self::prepare(config, hosts, &DataDir::open(&config.data.dir)?, false)
    }

    /// The files that it comes from: certificate and key.
    #[must_use]
    pub fn files(config: &Config) -> [PathBuf; 2] {
        match (&config.esipa.tls_certificate, &config.esipa.tls_key) {
            (Some(certificate), Some(key)) => [certificate.clone(), key.clone()],
            _ => [config.data.dir.join(CERTIFICATE), config.data.dir.join(KEY)],
        }
    }

    /// Whether devices that look at the dates of the certificate would take it at this moment of the real time.
    ///
    /// # Errors
    /// When it is not valid yet, or no more.
    pub fn check_dates(&self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let own = self.chain.first().context("there is no certificate")?;
        let valid = certificate_validity(own).context("the dates of the TLS certificate can't be read")?;
        ensure!(valid.not_before <= now, "the TLS certificate is not valid before {}", valid.not_before.to_rfc3339());
        ensure!(now <= valid.not_after, "the TLS certificate has expired at {}", valid.not_after.to_rfc3339());
        Ok(())
    }

    /// The DER certificate that a client trusts to accept this server: the last one of the chain.
    #[must_use]
    pub fn trust_der(&self) -> Vec<u8> {
        self.chain.last().map(|certificate| certificate.to_vec()).unwrap_or_default()
    }

    fn check_name(&self, fqdn: &str, what: &str, path: &Path) -> anyhow::Result<()> {
        let name = ServerName::try_from(fqdn).with_context(|| format!("{what}: {fqdn:?} is not a host name"))?;
        let own = self.chain.first().with_context(|| format!("{} holds no certificate", path.display()))?;
        let valid = ParsedCertificate::try_from(own).and_then(|parsed| verify_server_name(&parsed, &name));
        match valid {
            Ok(()) => Ok(()),
            Err(_) if self.generated => bail!(
                "the generated certificate {} is not for {fqdn:?}, {what}; set that back, or remove the file after configuring \
                 esipa.tls_certificate and esipa.tls_key (devices that trust it must be told)",
                path.display()
            ),
            Err(_) => {
                tracing::warn!(certificate = %path.display(), host = %fqdn, "the TLS certificate is not for {what}");
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").field("generated", &self.generated).finish_non_exhaustive()
    }
}

fn load_chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} can't be read as PEM certificates", path.display()))?;
    ensure!(!chain.is_empty(), "{} holds no PEM certificate", path.display());
    Ok(chain)
}

/// Refuses what would fail only when the first device connects: another kind of key, or a key of another certificate.
fn check_key(key: &PrivateKeyDer<'_>, chain: &[CertificateDer<'static>]) -> anyhow::Result<()> {
    let signing =
        rustls::crypto::ring::sign::any_ecdsa_type(key).context("the TLS key must be ECDSA on P-256 or P-384")?;
    let certified = rustls::sign::CertifiedKey::new(chain.to_vec(), signing);
    certified.keys_match().context("the TLS key does not belong to the certificate")
}

/// A certificate for the names, signed with its own key. It says what it may do and nothing more (SGP.26 CERT.EIM.TLS).
fn self_signed(hosts: &[&str], key_pem: &str) -> anyhow::Result<String> {
    let mut names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    if hosts.contains(&"localhost") {
        names.push("127.0.0.1".to_owned());
    }
    let mut params =
        CertificateParams::new(names).with_context(|| format!("one of {} is not a host name", hosts.join(", ")))?;
    let first = hosts.first().copied().filter(|first| first.len() <= COMMON_NAME_MAX).unwrap_or("eIM");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Devices in the field carry it for their whole life and can't be told of a new one easily.
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2074, 1, 1);
    let key = KeyPair::from_pem(key_pem).context("the generated TLS key tls-key.pem can't be read")?;
    Ok(params.self_signed(&key).context("the TLS certificate could not be made")?.pem())
}
