//! Roles of certificates and the policy identifiers that state them (SGP.14; 2.23.146.1.2.1.x).

use super::oid::Oid;
use std::fmt;

/// What a certificate is for. A certificate of one role is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// CERT.CI.ECDSA, a root.
    Ci,
    /// CERT.EUM.ECDSA.
    Eum,
    /// CERT.EUICC.ECDSA.
    Euicc,
    /// A certificate of an SM-DP+ or SM-DS.
    Server(ServerRole),
}

/// What a server certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerRole {
    /// CERT.DPauth.ECDSA: signs serverSigned1.
    DpAuth,
    /// CERT.DPpb.ECDSA: signs smdpSigned2 and binds profile packages.
    DpPb,
    /// CERT.DP.TLS.
    DpTls,
    /// CERT.DSauth.ECDSA: signs serverSigned1.
    DsAuth,
    /// CERT.DS.TLS.
    DsTls,
}

/// The content of 2.23.146.1.2.1; the role follows as one more arc.
const ROLES: [u8; 6] = [0x67, 0x81, 0x12, 0x01, 0x02, 0x01];

impl Role {
    const fn arc(self) -> u8 {
        match self {
            Self::Ci => 0,
            Self::Euicc => 1,
            Self::Eum => 2,
            Self::Server(ServerRole::DpTls) => 3,
            Self::Server(ServerRole::DpAuth) => 4,
            Self::Server(ServerRole::DpPb) => 5,
            Self::Server(ServerRole::DsTls) => 6,
            Self::Server(ServerRole::DsAuth) => 7,
        }
    }

    /// Whether this policy states this role.
    pub(super) fn is_stated_by(self, policy: &Oid) -> bool {
        policy.octets().split_last().is_some_and(|(arc, prefix)| *arc == self.arc() && *prefix == ROLES)
    }

    /// The name of the certificate in the specifications.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ci => "CERT.CI",
            Self::Eum => "CERT.EUM",
            Self::Euicc => "CERT.EUICC",
            Self::Server(ServerRole::DpAuth) => "CERT.DPauth",
            Self::Server(ServerRole::DpPb) => "CERT.DPpb",
            Self::Server(ServerRole::DpTls) => "CERT.DP.TLS",
            Self::Server(ServerRole::DsAuth) => "CERT.DSauth",
            Self::Server(ServerRole::DsTls) => "CERT.DS.TLS",
        }
    }
}

impl ServerRole {
    /// Whether the certificate is for TLS.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::DpTls | Self::DsTls)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
