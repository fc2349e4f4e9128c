//! What both servers have: who they are, their sessions, their faults, and what they were asked.

use super::faults::{SmdpFaults, TlsFault};
use super::http::CallRecord;
use super::json::RspFunction;
use super::options::SmdpOptions;
use crate::pki::{FleetPki, PkiError, ServerCertificateFault, ServerCertificateRole, ServerIdentity};
use eim_core::ids::Eid;
use eim_core::pki::{TrustStore, VerifiedChain};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// SM-DP+ or SM-DS: their codes and certificates differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Smdp,
    Smds,
}

/// subjectCode and reasonCode of an answer that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub subject: Cow<'static, str>,
    pub reason: Cow<'static, str>,
}

impl Refusal {
    pub const MISSING: Self = Self::new("1.2.1", "2.2");
    pub const INVALID: Self = Self::new("1.2.1", "2.1");
    pub const UNKNOWN_TRANSACTION: Self = Self::new("8.10.1", "3.9");
    pub const SIGNATURE: Self = Self::new("8.1", "6.1");
    pub const EXECUTION: Self = Self::new("8.8", "4.2");

    pub const fn new(subject: &'static str, reason: &'static str) -> Self {
        Self { subject: Cow::Borrowed(subject), reason: Cow::Borrowed(reason) }
    }
}

/// An RSP session. It outlives its end, so that notifications about it can be checked.
pub(super) struct Session {
    /// Position among all sessions, for what is made up.
    pub number: u64,
    pub server_challenge: [u8; 16],
    /// Once the eUICC has authenticated itself.
    pub euicc: Option<SessionEuicc>,
    pub is_closed: bool,
}

/// What is known of the eUICC of a session.
pub(super) struct SessionEuicc {
    pub eid: Eid,
    pub chain: VerifiedChain,
    /// Position of its download order; `usize::MAX` at an SM-DS, which has none.
    pub order: usize,
    pub smdp_signature2: [u8; 64],
    /// otPK.EUICC.ECKA and the package that was bound to it.
    pub bound: Option<(Vec<u8>, Vec<u8>)>,
}

pub(super) struct Core {
    pub kind: Kind,
    pub pki: FleetPki,
    pub trust: TrustStore,
    pub host: String,
    pub address: String,
    pub oid: String,
    pub seed: u64,
    pub now: String,
    pub faults: SmdpFaults,
    pub sessions: HashMap<Vec<u8>, Session>,
    pub sessions_begun: u64,
    pub calls: Vec<CallRecord>,
}

impl Core {
    pub fn new(kind: Kind, pki: &FleetPki, options: &SmdpOptions, port: u16) -> anyhow::Result<Self> {
        let address = options.address.clone().unwrap_or_else(|| format!("{}:{port}", options.host));
        Ok(Self {
            kind,
            pki: pki.clone(),
            trust: TrustStore::from_certificates([pki.ci_certificate()])?,
            host: options.host.clone(),
            address,
            oid: options.oid.clone(),
            seed: options.seed,
            now: options.now.clone(),
            faults: SmdpFaults::none(),
            sessions: HashMap::new(),
            sessions_begun: 0,
            calls: Vec::new(),
        })
    }

    /// The refusal that was asked for, if one was for this function.
    pub fn asked_refusal(&self, function: RspFunction) -> Result<(), Refusal> {
        match self.faults.refuse.iter().find(|refuse| refuse.function == function) {
            Some(refuse) => {
                Err(Refusal { subject: Cow::Owned(refuse.subject.clone()), reason: Cow::Owned(refuse.reason.clone()) })
            }
            None => Ok(()),
        }
    }

    /// Key and certificate in a role, with a fault where one was asked for.
    pub fn identity(
        &self,
        role: ServerCertificateRole,
        fault: Option<ServerCertificateFault>,
    ) -> Result<ServerIdentity, Refusal> {
        identity(&self.pki, role, &self.host, &self.oid, fault).map_err(|_| Refusal::EXECUTION)
    }

    /// The role in which serverSigned1 is signed.
    pub const fn auth_role(&self) -> ServerCertificateRole {
        match self.kind {
            Kind::Smdp => ServerCertificateRole::DpAuth,
            Kind::Smds => ServerCertificateRole::DsAuth,
        }
    }

    /// Octets that follow from the seed, the session and a label.
    pub fn made_up(&self, session: u64, label: &str) -> [u8; 32] {
        Sha256::new_with_prefix(b"simulated server")
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.oid.as_bytes())
            .chain_update(session.to_be_bytes())
            .chain_update(label)
            .finalize()
            .into()
    }

    /// The open session with this transactionId.
    pub fn open_session(&mut self, transaction_id: &[u8]) -> Result<&mut Session, Refusal> {
        let session = self.sessions.get_mut(transaction_id).filter(|session| !session.is_closed);
        session.ok_or(Refusal::UNKNOWN_TRANSACTION)
    }

    /// transactionId as an answer shows it: upper-case hexadecimal, another one where that was asked for.
    pub fn shown_transaction_id(&self, function: RspFunction, transaction_id: &[u8]) -> String {
        if self.faults.wrong_transaction_id == Some(function) {
            hex::encode_upper(other_octets(transaction_id))
        } else {
            hex::encode_upper(transaction_id)
        }
    }
}

fn identity(
    pki: &FleetPki,
    role: ServerCertificateRole,
    host: &str,
    oid: &str,
    fault: Option<ServerCertificateFault>,
) -> Result<ServerIdentity, PkiError> {
    match fault {
        Some(fault) => pki.faulty_server(role, host, oid, fault),
        None => pki.server(role, host, oid),
    }
}

/// As many octets, all of them others.
pub(super) fn other_octets(octets: &[u8]) -> Vec<u8> {
    octets.iter().map(|octet| !octet).collect()
}

/// TLS with the server's certificate (1.2 and, unless the options say otherwise, 1.3; ring).
pub(super) fn tls_config(kind: Kind, pki: &FleetPki, options: &SmdpOptions) -> anyhow::Result<rustls::ServerConfig> {
    let role = match kind {
        Kind::Smdp => ServerCertificateRole::DpTls,
        Kind::Smds => ServerCertificateRole::DsTls,
    };
    let (host, fault) = match options.tls_fault {
        None => (options.host.as_str(), None),
        Some(TlsFault::WrongName) => ("wrong-name.example", None),
        Some(TlsFault::Expired) => (options.host.as_str(), Some(ServerCertificateFault::Expired)),
        Some(TlsFault::UntrustedCi) => (options.host.as_str(), Some(ServerCertificateFault::UntrustedCi)),
    };
    let tls = identity(pki, role, host, &options.oid, fault)?;
    let private = PrivateKeyDer::from_pem_slice(tls.key.to_pkcs8_pem()?.as_bytes())?;
    let versions: &[_] = match options.only_tls12 {
        true => &[&rustls::version::TLS12],
        false => &[&rustls::version::TLS12, &rustls::version::TLS13],
    };
    Ok(rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(tls.certificate)], private)?)
}
