//! Certificates and signatures of SM-DP+ and SM-DS (SGP.22 v2.5 4.5.2, 5.6, 5.7.13, 5.7.5).

use super::certificate::Certificate;
use super::chain::{check_digital_signature, check_issued, check_policy, check_validity, find_ci, parse};
use super::error::{SessionField, TrustError};
use super::key_id::KeyId;
use super::oid::Oid;
use super::public_key::PublicKey;
use super::role::{Role, ServerRole};
use super::signature;
use super::trust_store::TrustStore;
use super::verified::{Claim, Verified};
use crate::asn1::{Raw, ServerSigned1, SmdpSigned2};
use chrono::{DateTime, Utc};

/// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/// The server that signed, as its certificate chain proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSigner {
    /// The role of the certificate.
    pub role: ServerRole,
    /// The object identifier of the server (registeredID in its subjectAltName).
    pub oid: Option<Oid>,
    /// The CI whose root the chain ends in.
    pub ci_key_id: KeyId,
    /// SHA-256 of the certificate.
    pub certificate_sha256: [u8; 32],
}

/// Proof that a server's certificate chains to a trusted CI, in the role that was asked for.
///
/// Only [`verify_server_certificate`] makes it. TLS names are left to the TLS client; [`Self::dns_names`] has them.
#[derive(Debug, Clone)]
pub struct VerifiedServer {
    key: PublicKey,
    signer: ServerSigner,
    dns_names: Vec<String>,
    valid_until: DateTime<Utc>,
}

impl VerifiedServer {
    /// The server's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whose key it is, and which root vouches for it.
    #[must_use]
    pub const fn signer(&self) -> &ServerSigner {
        &self.signer
    }

    /// The host names in the certificate, as written.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The last moment at which all certificates of the chain are valid.
    #[must_use]
    pub const fn valid_until(&self) -> DateTime<Utc> {
        self.valid_until
    }

    fn require(&self, roles: &[ServerRole]) -> Result<(), TrustError> {
        if roles.contains(&self.signer.role) {
            Ok(())
        } else {
            let role = roles.first().copied().unwrap_or(self.signer.role);
            Err(TrustError::CertificatePolicy { role: Role::Server(role) })
        }
    }
}

/// Verifies CI -> server certificate at `now`, in the given role (Variant O: the CI issues it directly).
///
/// # Errors
/// The first check that fails: structure, CI by key identifier, name, key identifier, signature, validity of both, CA
/// flag, policy, digitalSignature, and serverAuth for TLS.
pub fn verify_server_certificate(
    store: &TrustStore,
    der: &[u8],
    role: ServerRole,
    now: DateTime<Utc>,
) -> Result<VerifiedServer, TrustError> {
    let named = Role::Server(role);
    let certificate = parse(der, named)?;
    let (ci, ci_key_id) = find_ci(store, &certificate, named, now)?;
    check_issued(ci, &certificate, named)?;
    check_validity(ci, Role::Ci, now)?;
    check_validity(&certificate, named, now)?;
    check_policy(&certificate, named)?;
    check_digital_signature(&certificate, named)?;
    check_tls_purpose(&certificate, role)?;
    Ok(VerifiedServer {
        key: certificate.public_key().clone(),
        signer: ServerSigner {
            role,
            oid: certificate.extensions().registered_ids.first().cloned(),
            ci_key_id: ci_key_id.clone(),
            certificate_sha256: certificate.sha256(),
        },
        dns_names: certificate.extensions().dns_names.clone(),
        valid_until: ci.validity().not_after.min(certificate.validity().not_after),
    })
}

fn check_tls_purpose(certificate: &Certificate, role: ServerRole) -> Result<(), TrustError> {
    let purposes = &certificate.extensions().extended_key_usage;
    if !role.is_tls() || purposes.iter().any(|purpose| purpose.octets() == SERVER_AUTH) {
        Ok(())
    } else {
        Err(TrustError::KeyUsage { role: Role::Server(role), missing: "serverAuth" })
    }
}

/// What serverSigned1 must say.
#[derive(Debug, Clone, Copy)]
pub struct ServerExpectation<'a> {
    /// The address that was contacted; letter case does not matter.
    pub address: &'a str,
    /// The object identifier from the activation code, if it names one.
    pub oid: Option<&'a Oid>,
    /// euiccChallenge, if we know it.
    pub euicc_challenge: Option<&'a [u8]>,
    /// transactionId of the message around it, if there is one.
    pub transaction_id: Option<&'a [u8]>,
}

/// Verifies serverSignature1 over serverSigned1 and what it says (SGP.22 v2.5 5.6.1).
///
/// # Errors
/// [`TrustError::CertificatePolicy`] when `server` is no DPauth or DSauth, [`TrustError::Signature`],
/// [`TrustError::ServerAddress`], [`TrustError::ServerOid`], [`TrustError::Session`].
pub fn verify_server_signed1(
    server: &VerifiedServer,
    signed: &Raw<ServerSigned1>,
    signature: &[u8],
    expected: &ServerExpectation<'_>,
) -> Result<Verified<ServerSigned1, ServerSigner>, TrustError> {
    server.require(&[ServerRole::DpAuth, ServerRole::DsAuth])?;
    let claim = Claim { object: signed, appended: &[], field: "serverSignature1", signature };
    let verified = claim.verify(&server.key, server.signer.clone(), &[])?;
    let value = verified.value();
    if !AsRef::<str>::as_ref(&value.server_address).eq_ignore_ascii_case(expected.address) {
        return Err(TrustError::ServerAddress);
    }
    if let Some(oid) = expected.oid
        && server.signer.oid.as_ref() != Some(oid)
    {
        return Err(TrustError::ServerOid { expected: oid.clone(), found: server.signer.oid.clone() });
    }
    let differs = |expected: Option<&[u8]>, found: &[u8]| expected.is_some_and(|octets| octets != found);
    if differs(expected.euicc_challenge, value.euicc_challenge.as_ref()) {
        return Err(TrustError::Session { field: SessionField::EuiccChallenge });
    }
    if differs(expected.transaction_id, value.transaction_id.as_ref()) {
        return Err(TrustError::Session { field: SessionField::TransactionId });
    }
    Ok(verified)
}

/// Verifies smdpSignature2 over smdpSigned2 and the data object of euiccSignature1 (SGP.22 v2.5 5.7.5).
///
/// `auth` and `binding` are the SM-DP+'s CERT.DPauth and CERT.DPpb; both must name the same server.
///
/// # Errors
/// [`TrustError::CertificatePolicy`] when a certificate has another role, [`TrustError::OidMismatch`] when they are of
/// different servers or name none, [`TrustError::Signature`].
pub fn verify_smdp_signed2(
    auth: &VerifiedServer,
    binding: &VerifiedServer,
    signed: &Raw<SmdpSigned2>,
    signature: &[u8],
    euicc_signature1: &[u8],
) -> Result<Verified<SmdpSigned2, ServerSigner>, TrustError> {
    auth.require(&[ServerRole::DpAuth])?;
    binding.require(&[ServerRole::DpPb])?;
    if binding.signer.oid.is_none() || binding.signer.oid != auth.signer.oid {
        return Err(TrustError::OidMismatch);
    }
    let appended = signature::data_object(euicc_signature1);
    let claim = Claim { object: signed, appended: &appended, field: "smdpSignature2", signature };
    claim.verify(&binding.key, binding.signer.clone(), &[])
}
