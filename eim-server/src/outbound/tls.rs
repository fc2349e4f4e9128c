//! TLS towards servers: trust in the CI alone (SGP.22 v2.5 2.6.6, 4.5.2), versions and suites.
//!
//! The usual verification is not used for signatures either: it can't read a certificate whose certificatePolicies are
//! critical, which those of the GSMA may be, and knows no brainpool curve.

use super::options::OutboundError;
use eim_core::pki::{
    Certificate, Curve, ServerRole, SignatureForm, TrustError, TrustStore, VerifiedServer, verify_server_certificate,
};
use eim_core::ports::Clock;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme,
};
use std::fmt;
use std::sync::Arc;

/// `ecdsa_brainpoolP256r1tls13_sha256` (RFC 8734). In TLS 1.2 the code point of P-256 stands for any curve.
const BRAINPOOL_P256R1_TLS13: SignatureScheme = SignatureScheme::Unknown(0x081a);

/// Why a server is not believed: a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub &'static str);

pub(super) fn client_config(trust: TrustStore, clock: Arc<dyn Clock>) -> Result<ClientConfig, OutboundError> {
    // The provider is passed and not installed: nothing in the process may depend on which one came first.
    let provider = CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![ring::kx_group::SECP256R1],
        ..ring::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(OutboundError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(CiVerifier { trust, clock }))
        .with_no_client_auth();
    // A resumed session would not show the certificate again, and it may have expired since.
    config.resumption = Resumption::disabled();
    Ok(config)
}

struct CiVerifier {
    trust: TrustStore,
    clock: Arc<dyn Clock>,
}

impl CiVerifier {
    fn judge(&self, der: &[u8], host: &ServerName<'_>) -> Result<(), Refusal> {
        let server = self.chain(der).map_err(|error| Refusal(error.reason()))?;
        match host {
            ServerName::DnsName(host) if names(server.dns_names(), host.as_ref()) => Ok(()),
            _ => Err(Refusal("name")),
        }
    }

    /// The TLS certificate of an SM-DP+ or else of an SM-DS.
    fn chain(&self, der: &[u8]) -> Result<VerifiedServer, TrustError> {
        let verify = |role| verify_server_certificate(&self.trust, der, role, self.clock.now());
        match verify(ServerRole::DpTls) {
            Err(TrustError::CertificatePolicy { .. }) => verify(ServerRole::DsTls),
            result => result,
        }
    }
}

impl ServerCertVerifier for CiVerifier {
    /// The time is that of our clock. The CI issues server certificates directly, so others that are sent along say
    /// nothing.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.judge(end_entity, server_name) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(refusal) => Err(CertificateError::Other(OtherError(Arc::new(refusal))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let either = [Curve::P256, Curve::BrainpoolP256r1];
        verify_signature(message, cert, dss, |scheme| {
            if scheme == SignatureScheme::ECDSA_NISTP256_SHA256 { &either } else { &[] }
        })
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_signature(message, cert, dss, |scheme| match scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => &[Curve::P256],
            BRAINPOOL_P256R1_TLS13 => &[Curve::BrainpoolP256r1],
            _ => &[],
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, BRAINPOOL_P256R1_TLS13]
    }
}

/// `ServerCertVerifier` must be printable, a clock is not.
impl fmt::Debug for CiVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CiVerifier").finish_non_exhaustive()
    }
}

/// Verifies the signature of the handshake with the key of the certificate, which was judged before. `curves` says on
/// which ones the key may be for a scheme; SHA-256 belongs to all that are offered.
fn verify_signature<'a>(
    message: &[u8],
    certificate: &[u8],
    signed: &DigitallySignedStruct,
    curves: impl FnOnce(SignatureScheme) -> &'a [Curve],
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = Certificate::parse(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let key = certificate.public_key();
    if !curves(signed.scheme).contains(&key.curve()) {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    match key.verify(message, signed.signature()) {
        Ok(SignatureForm::Der) => Ok(HandshakeSignatureValid::assertion()),
        Ok(SignatureForm::Fixed) | Err(_) => Err(CertificateError::BadSignature.into()),
    }
}

/// Whether one of the dNSNames is the host: equal in whatever letter case, or `*.` for its first label.
fn names(dns_names: &[String], host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    dns_names.iter().any(|name| match name.strip_prefix("*.") {
        Some(name) => parent.is_some_and(|parent| parent.eq_ignore_ascii_case(name)),
        None => name.eq_ignore_ascii_case(host),
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_is_equal_or_has_a_wildcard_for_one_label() {
        let of = |name: &str, host| names(&["other.example".to_owned(), name.to_owned()], host);
        assert!(of("SMDP.example", "smdp.EXAMPLE"));
        assert!(of("*.operator.example", "smdp.Operator.example"));
        for (name, host) in [
            ("*.operator.example", "operator.example"),
            ("*.operator.example", "a.b.operator.example"),
            ("smdp.*.example", "smdp.a.example"),
            ("s*.example", "smdp.example"),
            ("*", "localhost"),
            ("*.", "localhost"),
            ("", "smdp.example"),
            ("example", "smdp.example"),
        ] {
            assert!(!of(name, host), "{name} {host}");
        }
        assert!(!names(&[], "smdp.example"));
    }
}
