//! A PKI of our own for any number of eUICCs, made from a seed at run time.

use super::certificate::{
    self, COMMON_NAME, COUNTRY, Contents, EXPIRED, NOT_AFTER, ORGANIZATION, SERIAL_NUMBER, authority_key_id,
    basic_constraints_ca, key_id, key_usage_ca, key_usage_digital_signature, name, name_constraints, registered_id,
    role, server_names, subject_key_id, tls_purposes, tls_role,
};
use super::{EuiccIdentity, PkiError, seeded_key};
use eim_core::ids::Eid;
use eim_core::pki::{Curve, Oid, SigningKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EUM_ORGANIZATION: &str = "Simulated EUM";
const SERVER_ORGANIZATION: &str = "Simulated RSP server";

/// What a certificate of an SM-DP+ or SM-DS is for (SGP.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerCertificateRole {
    /// CERT.DPauth.ECDSA.
    DpAuth,
    /// CERT.DPpb.ECDSA.
    DpPb,
    /// CERT.DP.TLS.
    DpTls,
    /// CERT.DSauth.ECDSA.
    DsAuth,
    /// CERT.DS.TLS.
    DsTls,
}

impl ServerCertificateRole {
    /// The last arc of 2.23.146.1.2.1.x.
    const fn arc(self) -> u8 {
        match self {
            Self::DpTls => 3,
            Self::DpAuth => 4,
            Self::DpPb => 5,
            Self::DsTls => 6,
            Self::DsAuth => 7,
        }
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::DpTls | Self::DsTls)
    }

    /// Another role of the same kind, for a certificate that states the wrong one.
    const fn other(self) -> Self {
        match self {
            Self::DpAuth => Self::DpPb,
            Self::DpPb | Self::DsAuth => Self::DpAuth,
            Self::DpTls => Self::DsTls,
            Self::DsTls => Self::DpTls,
        }
    }
}

/// What is wrong with the certificate of a server. Its key is the same as that of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerCertificateFault {
    /// It ended on 2025-01-01.
    Expired,
    /// It was issued by a CI of the same name with another key.
    UntrustedCi,
    /// Its policy states another role.
    WrongRole,
    /// It names another server: the object identifier has one more arc, 99.
    OtherOid,
}

/// A server's key and the certificate for it.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// The private key.
    pub key: Arc<SigningKey>,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// A CI, an EUM below it, and as many eUICCs as are asked for. The same seed gives the same octets.
#[derive(Debug, Clone)]
pub struct FleetPki {
    curve: Curve,
    seed: u64,
    eid_prefix: String,
    ci_key_id: Vec<u8>,
    ci_certificate: Vec<u8>,
    ci_name: Vec<u8>,
    ci_key: Arc<SigningKey>,
    eum_key: Arc<SigningKey>,
    eum_name: Vec<u8>,
    eum_certificate: Vec<u8>,
}

impl FleetPki {
    /// Makes CI and EUM on P-256.
    ///
    /// # Errors
    /// [`PkiError::Key`] when no key can be made of the seed, which does not happen in practice.
    pub fn generate(seed: u64) -> Result<Self, PkiError> {
        Self::generate_on(Curve::P256, seed)
    }

    /// Makes CI and EUM on this curve; the eUICCs are on it, too.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn generate_on(curve: Curve, seed: u64) -> Result<Self, PkiError> {
        let ci_key = seeded_key(curve, seed, "CI")?;
        let eum_key = seeded_key(curve, seed, "EUM")?;
        let eid_prefix = format!("8999{:04}", seed % 10_000);
        let attribute = |kind: (u8, u32), text| (kind.0, kind.1, text);
        let ci_name = name(&[attribute(COMMON_NAME, "Simulated CI"), attribute(COUNTRY, "DE")]);
        let ci_certificate = certificate::certificate(&Contents {
            issuer: &ci_name,
            subject: &ci_name,
            subject_key: &ci_key,
            issuer_key: &ci_key,
            extensions: &[
                subject_key_id(&ci_key),
                basic_constraints_ca(None),
                role(0),
                key_usage_ca(true),
                registered_id(1),
            ],
            not_after: NOT_AFTER,
        });
        let eum_name =
            name(&[attribute(COUNTRY, "DE"), attribute(ORGANIZATION, EUM_ORGANIZATION), attribute(COMMON_NAME, "EUM")]);
        let eum_certificate = certificate::certificate(&Contents {
            issuer: &ci_name,
            subject: &eum_name,
            subject_key: &eum_key,
            issuer_key: &ci_key,
            extensions: &[
                authority_key_id(&ci_key),
                subject_key_id(&eum_key),
                key_usage_ca(false),
                role(2),
                registered_id(5),
                basic_constraints_ca(Some(0)),
                name_constraints(EUM_ORGANIZATION, &eid_prefix),
            ],
            not_after: NOT_AFTER,
        });
        Ok(Self {
            curve,
            seed,
            eid_prefix,
            ci_key_id: key_id(&ci_key),
            ci_certificate,
            ci_name,
            ci_key: Arc::new(ci_key),
            eum_key: Arc::new(eum_key),
            eum_name,
            eum_certificate,
        })
    }

    /// CERT.CI.ECDSA, DER: what an eIM has to trust.
    #[must_use]
    pub fn ci_certificate(&self) -> &[u8] {
        &self.ci_certificate
    }

    /// CERT.EUM.ECDSA, DER.
    #[must_use]
    pub fn eum_certificate(&self) -> &[u8] {
        &self.eum_certificate
    }

    /// Key identifier of the CI.
    #[must_use]
    pub fn ci_key_id(&self) -> &[u8] {
        &self.ci_key_id
    }

    /// Writes `ci.der` into this directory, which is made if it is not there: the folder that an eIM loads roots from.
    ///
    /// # Errors
    /// [`PkiError::File`] when that fails.
    pub fn write_ci_dir(&self, dir: &Path) -> Result<PathBuf, PkiError> {
        let path = dir.join("ci.der");
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, &self.ci_certificate))
            .map_err(|cause| PkiError::File { path: path.clone(), cause })?;
        Ok(path)
    }

    /// The EID of the eUICC with this index: the EUM's digits, the index, right check digits.
    #[must_use]
    pub fn eid(&self, index: u32) -> Eid {
        let digits = format!("{}{index:022}", self.eid_prefix);
        let remainder =
            digits.bytes().chain(*b"00").fold(0_u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
        let mut octets = [0_u8; 16];
        let text = format!("{digits}{:02}", 98 - remainder);
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *octet = pair.iter().fold(0, |value, digit| value << 4 | (digit - b'0'));
        }
        // every nibble above is a digit
        Eid::from_octets(&octets).unwrap_or_else(|_| unreachable!("the EID is made of digits"))
    }

    /// The eUICC with this index: EID, key and certificate.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn euicc(&self, index: u32) -> Result<EuiccIdentity, PkiError> {
        let key = seeded_key(self.curve, self.seed, &format!("eUICC {index}"))?;
        Ok(EuiccIdentity {
            eid: self.eid(index),
            certificate: self.euicc_certificate(index, &key),
            key: Arc::new(key),
            eum_certificate: self.eum_certificate.clone(),
            ci_key_id: self.ci_key_id.clone(),
        })
    }

    /// CERT.EUICC.ECDSA (DER) of the eUICC with this index for any key. Making a key costs far more than a certificate: many
    /// devices that never sign may share one.
    #[must_use]
    pub fn euicc_certificate(&self, index: u32, key: &SigningKey) -> Vec<u8> {
        let attribute = |kind: (u8, u32), text| (kind.0, kind.1, text);
        let subject = name(&[
            attribute(COUNTRY, "DE"),
            attribute(ORGANIZATION, EUM_ORGANIZATION),
            attribute(SERIAL_NUMBER, &self.eid(index).to_string()),
            attribute(COMMON_NAME, "Simulated eUICC"),
        ]);
        certificate::certificate(&Contents {
            issuer: &self.eum_name,
            subject: &subject,
            subject_key: key,
            issuer_key: &self.eum_key,
            extensions: &[authority_key_id(&self.eum_key), subject_key_id(key), key_usage_digital_signature(), role(1)],
            not_after: NOT_AFTER,
        })
    }

    /// The server of this host name and object identifier (dotted) in one of its roles: key and certificate. TLS keys
    /// are on P-256, the others on the curve of the PKI.
    ///
    /// # Errors
    /// [`PkiError::Oid`] for a text that is no object identifier; those of [`Self::generate`].
    pub fn server(&self, role: ServerCertificateRole, host: &str, oid: &str) -> Result<ServerIdentity, PkiError> {
        self.server_certificate(role, host, oid, None)
    }

    /// The same server with a certificate that must be refused.
    ///
    /// # Errors
    /// Those of [`Self::server`].
    pub fn faulty_server(
        &self,
        role: ServerCertificateRole,
        host: &str,
        oid: &str,
        fault: ServerCertificateFault,
    ) -> Result<ServerIdentity, PkiError> {
        self.server_certificate(role, host, oid, Some(fault))
    }

    fn server_certificate(
        &self,
        role: ServerCertificateRole,
        host: &str,
        oid: &str,
        fault: Option<ServerCertificateFault>,
    ) -> Result<ServerIdentity, PkiError> {
        let curve = if role.is_tls() { Curve::P256 } else { self.curve };
        let key = seeded_key(curve, self.seed, &format!("server {role:?} {oid} {host}"))?;
        let mut named = oid.to_owned();
        if fault == Some(ServerCertificateFault::OtherOid) {
            named.push_str(".99");
        }
        let named: Oid = named.parse().map_err(|_| PkiError::Oid { text: oid.to_owned() })?;
        let stated = if fault == Some(ServerCertificateFault::WrongRole) { role.other() } else { role };
        let untrusted = seeded_key(self.curve, self.seed, "CI that nobody trusts")?;
        let issuer_key =
            if fault == Some(ServerCertificateFault::UntrustedCi) { &untrusted } else { self.ci_key.as_ref() };
        let attribute = |kind: (u8, u32), text| (kind.0, kind.1, text);
        let common_name: String = host.chars().take(64).collect();
        let subject = name(&[attribute(ORGANIZATION, SERVER_ORGANIZATION), attribute(COMMON_NAME, &common_name)]);
        let mut extensions = vec![authority_key_id(issuer_key), subject_key_id(&key), key_usage_digital_signature()];
        if role.is_tls() {
            extensions.extend([tls_role(stated.arc()), tls_purposes(), server_names(Some(host), named.octets())]);
        } else {
            extensions.extend([self::role(stated.arc()), server_names(None, named.octets())]);
        }
        let certificate = certificate::certificate(&Contents {
            issuer: &self.ci_name,
            subject: &subject,
            subject_key: &key,
            issuer_key,
            extensions: &extensions,
            not_after: if fault == Some(ServerCertificateFault::Expired) { EXPIRED } else { NOT_AFTER },
        });
        Ok(ServerIdentity { key: Arc::new(key), certificate })
    }
}
