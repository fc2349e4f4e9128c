//! Why something was not believed, with the culprit, the cause and a stable word for metrics and API.

use super::certificate::CertificateError;
use super::key_id::KeyId;
use super::oid::Oid;
use super::public_key::KeyError;
use super::role::Role;
use super::signature::SignatureError;
use crate::ids::Eid;
use chrono::{DateTime, Utc};

/// A refusal. Everything that is not proven ends here; there is no switch that turns it off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A certificate can't be read or judged.
    #[error("{role}: {cause}")]
    Certificate {
        /// Which one.
        role: Role,
        /// Why.
        cause: CertificateError,
    },
    /// No configured CI has the key that a certificate names as its issuer's. May change when a root is added.
    #[error("{role}: no trusted CI has the key {}", .authority_key_id.as_ref().map_or("(none named)".to_owned(), KeyId::to_string))]
    UntrustedCi {
        /// The certificate whose issuer is missing.
        role: Role,
        /// The key that it names.
        authority_key_id: Option<KeyId>,
    },
    /// A certificate was not issued by the one above it.
    #[error("{role}: {fault}")]
    Chain {
        /// The issued certificate.
        role: Role,
        /// What does not fit.
        fault: ChainFault,
    },
    /// A certificate that issued another is no CA, or may not issue this far down.
    #[error("{role} may not issue certificates")]
    NotACa {
        /// Which one.
        role: Role,
    },
    /// A certificate is no longer valid.
    #[error("{role} expired on {not_after}")]
    CertificateExpired {
        /// Which one.
        role: Role,
        /// Its last moment.
        not_after: DateTime<Utc>,
    },
    /// A certificate is not valid yet.
    #[error("{role} is not valid before {not_before}")]
    CertificateNotYetValid {
        /// Which one.
        role: Role,
        /// Its first moment.
        not_before: DateTime<Utc>,
    },
    /// The policies of a certificate don't state the role in which it was presented.
    #[error("the policies of {role} do not state this role")]
    CertificatePolicy {
        /// The role.
        role: Role,
    },
    /// The key of a certificate may not be used in this way.
    #[error("{role} lacks the key usage {missing}")]
    KeyUsage {
        /// Which one.
        role: Role,
        /// The usage, as RFC 5280 writes it.
        missing: &'static str,
    },
    /// The eUICC is not one that its EUM may issue for.
    #[error("EID {eid} is outside what CERT.EUM permits: {fault}")]
    NameConstraint {
        /// The EID in the certificate.
        eid: Eid,
        /// What does not fit.
        fault: &'static str,
    },
    /// The certificate is another eUICC's.
    #[error("CERT.EUICC is of EID {found}, not {expected}")]
    EidMismatch {
        /// The EID of the exchange.
        expected: Eid,
        /// The EID in the certificate.
        found: Eid,
    },
    /// A signature was refused.
    #[error("{signature}: {cause}")]
    Signature {
        /// The field that holds it, as the specification names it.
        signature: &'static str,
        /// Why.
        cause: SignatureError,
    },
    /// serverSigned1 names another address than the one contacted.
    #[error("serverAddress is not the address that was contacted")]
    ServerAddress,
    /// The server's certificate has another object identifier than the activation code.
    #[error("the server's object identifier is {}, not {expected}", .found.as_ref().map_or("absent".to_owned(), Oid::to_string))]
    ServerOid {
        /// The one that was expected.
        expected: Oid,
        /// The one in the certificate.
        found: Option<Oid>,
    },
    /// CERT.DPauth and CERT.DPpb are of different servers.
    #[error("CERT.DPauth and CERT.DPpb have different object identifiers")]
    OidMismatch,
    /// A value that was to be echoed is another one.
    #[error("{field} is not the one of this session")]
    Session {
        /// The field, as the specification names it.
        field: SessionField,
    },
}

/// What does not fit between a certificate and its issuer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// The issuer name is not the subject name of the issuer.
    #[error("the issuer name differs from the issuer's subject")]
    Name,
    /// The authority key identifier is not the subject key identifier of the issuer.
    #[error("the authority key identifier is absent or not the issuer's")]
    KeyId,
    /// The issuer did not sign it.
    #[error("not signed by the issuer: {0}")]
    Signature(SignatureError),
}

/// A value that binds a signed object to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionField {
    /// serverChallenge of euiccSigned1.
    ServerChallenge,
    /// euiccChallenge of serverSigned1.
    EuiccChallenge,
    /// transactionId.
    TransactionId,
    /// serverAddress of euiccSigned1.
    ServerAddress,
}

impl SessionField {
    const fn name(self) -> &'static str {
        match self {
            Self::ServerChallenge => "serverChallenge",
            Self::EuiccChallenge => "euiccChallenge",
            Self::TransactionId => "transactionId",
            Self::ServerAddress => "serverAddress",
        }
    }
}

impl std::fmt::Display for SessionField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl TrustError {
    /// A stable word for metric labels and API texts. Field names and SGP.22 result names stay as the specifications
    /// write them.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Certificate { cause, .. } => cause.reason(),
            Self::UntrustedCi { .. } | Self::Chain { .. } => "chain",
            Self::NotACa { .. } => "chain-not-a-ca",
            Self::CertificateExpired { .. } => "certificate-expired",
            Self::CertificateNotYetValid { .. } => "certificate-not-yet-valid",
            Self::CertificatePolicy { .. } => "certificate-policy",
            Self::KeyUsage { .. } => "key-usage",
            Self::NameConstraint { .. } => "name-constraint",
            Self::EidMismatch { .. } => "eid-mismatch",
            Self::Signature { cause: SignatureError::Format { .. }, .. } => "signature-format",
            Self::Signature { cause: SignatureError::Mismatch, .. } => "signature",
            Self::ServerAddress => "smdpAddressMismatch",
            Self::ServerOid { .. } => "smdpOidMismatch",
            Self::OidMismatch => "oid-mismatch",
            Self::Session { field } => field.name(),
        }
    }
}

impl CertificateError {
    /// A stable word, see [`TrustError::reason`].
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Structure { .. } | Self::NoEid => "structure",
            Self::Algorithm => "certificate-algorithm",
            Self::Key(KeyError::UnsupportedCurve) => "certificate-curve",
            Self::Key(_) => "certificate-key",
            Self::CriticalExtension { .. } => "critical-extension",
        }
    }
}
