//! TLS of an IPA: only given certificates are trusted, as roots or as the server's own (trustedPublicKeyDataTls).

use super::IpaError;
use crate::euicc::NOW;
use eim_core::pki::{self, Certificate, ServerRole, TrustStore};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Which versions of TLS are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    /// TLS 1.2 alone.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
    /// Both.
    #[default]
    Both,
}

/// A client configuration that trusts these certificates (DER) and nothing else.
///
/// # Errors
/// [`IpaError::Tls`] when none is given, or the versions can't be had.
pub fn client_config(trusted: &[Vec<u8>], versions: TlsVersions) -> Result<Arc<ClientConfig>, IpaError> {
    let tls = |error: String| IpaError::Tls(error);
    if trusted.is_empty() {
        return Err(tls("no certificate to trust".to_owned()));
    }
    let provider = Arc::new(ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match versions {
        TlsVersions::Tls12 => &[&rustls::version::TLS12],
        TlsVersions::Tls13 => &[&rustls::version::TLS13],
        TlsVersions::Both => &[&rustls::version::TLS12, &rustls::version::TLS13],
    };
    let verifier = Arc::new(Verifier::new(trusted, provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A client configuration for RSP servers: their certificates must chain to one of these CIs (DER) in the role of an
/// SM-DP+ or SM-DS, as of 2026-01-01, and be for the name that was asked for.
pub(super) fn rsp_client_config(trusted: &[Vec<u8>]) -> Result<Arc<ClientConfig>, IpaError> {
    let tls = |error: String| IpaError::Tls(error);
    let store = TrustStore::from_certificates(trusted).map_err(|error| tls(error.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(|error| tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(RspVerifier { store }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The rules of the GSMA's PKI, which the web PKI does not know.
#[derive(Debug)]
struct RspVerifier {
    store: TrustStore,
}

impl RspVerifier {
    fn signature(message: &[u8], der: &[u8], dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadSignature);
        if dss.scheme != SignatureScheme::ECDSA_NISTP256_SHA256 {
            return Err(bad);
        }
        let certificate =
            Certificate::parse(der).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match certificate.public_key().verify(message, dss.signature()) {
            Ok(_) => Ok(HandshakeSignatureValid::assertion()),
            Err(_) => Err(bad),
        }
    }
}

impl ServerCertVerifier for RspVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let general = |what: String| Error::General(what);
        let now = NOW.parse().map_err(|_| general("the time can't be read".to_owned()))?;
        let verified = |role| pki::verify_server_certificate(&self.store, end_entity, role, now);
        let server = verified(ServerRole::DpTls)
            .or_else(|error| verified(ServerRole::DsTls).map_err(|_| error))
            .map_err(|error| general(error.to_string()))?;
        let asked = server_name.to_str();
        if server.dns_names().iter().any(|name| name.eq_ignore_ascii_case(&asked)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// The web PKI's checks with the given roots; a certificate that is itself among the given ones needs no chain, because
/// those of GSMA servers have critical extensions that the web PKI does not know.
#[derive(Debug)]
struct Verifier {
    given: Vec<CertificateDer<'static>>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(trusted: &[Vec<u8>], provider: Arc<CryptoProvider>) -> Self {
        let given: Vec<CertificateDer<'static>> = trusted.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        Self { given, chain, provider }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let error = match &self.chain {
            Some(chain) => match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                Ok(verified) => return Ok(verified),
                Err(error) => error,
            },
            None => Error::InvalidCertificate(CertificateError::UnknownIssuer),
        };
        let itself_given = self.given.iter().any(|given| given == end_entity);
        let wrong_in_itself = matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. }
                    | CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            )
        );
        if itself_given && !wrong_in_itself { Ok(ServerCertVerified::assertion()) } else { Err(error) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
