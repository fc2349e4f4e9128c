//! Which eIMs an eUICC obeys, as far as this eIM knows (SGP.32 v1.2 2.11.1.1.1, 3.5): its own association, and those of
//! other eIMs.
//!
//! What other eIMs hold comes from verified results alone. Of our own association, too, only what the eUICC signed counts
//! as proof; what nobody signed (an unsigned error) makes it a suspected loss, which the next signed answer undoes. See
//! ADR 19.

mod others;
mod own;

pub(in crate::domain) use others::configured;
pub use own::look_over;
pub(in crate::domain) use own::updated;
pub use own::{NOT_ASSOCIATED, Renewal, ended, list_eims, renew, set_by_hand};
pub(in crate::domain) use own::{UNSIGNED, ask_eims, is_probe, proven, refused, state_changed};

use super::euicc::{EuiccState, words};
use crate::asn1::{EimConfigurationData, EimPublicKeyData, EimSupportedProtocol, TrustedPublicKeyDataTls};
use crate::ids::OperationId;
use crate::pki;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

words!(
    /// How an association became known.
    LearnedBy {
        /// Whoever registered the eUICC said so.
        Registered = "registered",
        /// It stands in the file of the eUICC's manufacturer.
        Manufacturing = "manufacturing",
        /// The device answered an AddInitialEimRequest.
        AddInitialEim = "addInitialEim",
        /// Another eIM added this one and told the token.
        Handover = "handover",
        /// The token that the eUICC told in an unsigned error was adopted.
        ReportedToken = "reportedToken",
        /// An addEim of this eIM.
        AddEim = "addEim",
        /// An updateEim of this eIM.
        UpdateEim = "updateEim",
        /// The eUICC listed it.
        ListEim = "listEim",
        /// A portable export said so; nobody here has verified it.
        Imported = "imported",
    }
);

words!(
    /// How an association stands.
    AssociationState {
        /// Told by somebody; the eUICC has not answered a package of ours yet.
        Expected = "expected",
        /// In force, as a verified result says. Of another eIM: this one added it, or was told of it by who gave the eUICC over.
        Associated = "associated",
        /// In force, as the eUICC listed it, and neither made by this eIM nor told to it.
        Foreign = "foreign",
        /// The eUICC seems not to know it any more; nobody signed that.
        Lost = "lost",
        /// Ended, as a verified result says.
        Gone = "gone",
    }
);

words!(
    /// What is done when an eUICC tells another associationToken in an unsigned error.
    TokenPolicy {
        /// It is shown, and an operator decides.
        Ask = "ask",
        /// It is adopted, in bounds, and the operation is sent again.
        Adopt = "adopt",
    }
);

/// Writes and reads a word in a stored object.
macro_rules! word_as_text {
    ($($name:ident),+) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                let words: Vec<&str> = Self::ALL.iter().map(|known| known.as_str()).collect();
                Self::from_word(&word).ok_or_else(|| D::Error::custom(format!("expected one of {}", words.join(", "))))
            }
        }
    )+ };
}

word_as_text!(LearnedBy, TokenPolicy);

/// What is known of our own association beside counter, token and state of the eUICC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnAssociation {
    /// How it became known; absent for one that was registered before this was noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_by: Option<LearnedBy>,
    /// The eimId of the eIM that handed the eUICC over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
    /// When it was made known or renewed, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<i64>,
    /// When the eUICC first answered a package of ours with a signature, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<i64>,
    /// The operation that it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_by: Option<OperationId>,
    /// How many deliveries in a row were answered by an unsigned error.
    pub refusals: u32,
    /// The delivery that was counted last: the operation and how often it had been delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<(OperationId, i64)>,
    /// The token that the eUICC told in an unsigned error, where it is another than ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_token: Option<i64>,
    /// The highest token that it ever had here; 0 for none. An eUICC never gives a token twice.
    pub highest_token: i64,
    /// The highest counter that was there when the association became another one: under a token that was there before, the
    /// counter does not go below it.
    pub highest_counter: i64,
    /// When the device last said that it was reset, milliseconds since 1970; absent once the eUICC has answered since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<i64>,
    /// Since when the association seems lost, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<i64>,
    /// When the eUICC said that it deleted this eIM, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Whether the eUICC signed that it deleted this eIM.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub end_verified: bool,
    /// Why it seems lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_cause: Option<String>,
    /// How many tokens were adopted since `adopted_at`.
    pub adopted: u32,
    /// When the first of these was adopted, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted_at: Option<i64>,
    /// When the eUICC was last asked for its eIMs on our own account, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eims_asked_at: Option<i64>,
    /// When it last listed them, verified, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eims_listed_at: Option<i64>,
    /// When eIMs and profiles are asked for next on our own account, milliseconds since 1970; absent where that is not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_over_at: Option<i64>,
    /// What is done about a token that the eUICC tells; absent: what the server's configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_policy: Option<TokenPolicy>,
    /// What updateEim of this eIM changed of our own configuration on the eUICC, as verified results tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<OwnUpdates>,
}

/// Members of our own configuration that the eUICC holds because an updateEim set them; each absent one is as it was given to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnUpdates {
    /// eimIdType: oid(1), fqdn(2), proprietary(3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eim_id_type: Option<i64>,
    /// eimFqdn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eim_fqdn: Option<String>,
    /// eimSupportedProtocol by names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_protocol: Option<Vec<String>>,
    /// SHA-256 of the SubjectPublicKeyInfo in trustedPublicKeyDataTls, upper-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key_sha256: Option<String>,
    /// euiccCiPKId, upper-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_id: Option<String>,
}

impl OwnUpdates {
    /// Takes over what a configuration says; what it leaves out stays (SGP.32 v1.2 3.5.1.3).
    fn configure(&mut self, data: &EimConfigurationData) {
        self.eim_id_type = data.eim_id_type.or(self.eim_id_type);
        self.eim_fqdn = data.eim_fqdn.clone().or(self.eim_fqdn.take());
        self.supported_protocol =
            data.eim_supported_protocol.as_ref().map(protocol_names).or(self.supported_protocol.take());
        let tls = data.trusted_public_key_data_tls.as_ref().and_then(tls_key_sha256);
        self.tls_key_sha256 = tls.map(hex::encode_upper).or(self.tls_key_sha256.take());
        self.euicc_ci_pk_id = data.euicc_ci_pk_id.as_deref().map(hex::encode_upper).or(self.euicc_ci_pk_id.take());
    }
}

impl OwnAssociation {
    /// An association that was told and is not proven.
    #[must_use]
    pub fn told(learned_by: LearnedBy, told_by: Option<String>, now: i64) -> Self {
        Self { learned_by: Some(learned_by), told_by, renewed_at: Some(now), ..Self::default() }
    }

    /// Whether somebody else made it, and the eUICC has not answered under it yet.
    #[must_use]
    pub fn waits_for_proof(&self) -> bool {
        self.proven_at.is_none() && self.learned_by.is_some_and(|learned| learned != LearnedBy::Registered)
    }

    /// When it last changed, milliseconds since 1970; `None` for one of a version that noted nothing.
    #[must_use]
    pub fn changed_at(&self) -> Option<i64> {
        [self.renewed_at, self.proven_at, self.lost_at, self.ended_at].into_iter().flatten().max()
    }

    /// Whether this eIM was told by the other one that it was on the eUICC when the eUICC was given over, and the eUICC has not
    /// listed its eIMs since.
    pub(in crate::domain) fn was_told_of(&self, eim_id: &str, listed_at: Option<i64>) -> bool {
        let since = self.renewed_at.unwrap_or(0);
        self.told_by.as_deref() == Some(eim_id) && listed_at.is_none_or(|at| at < since)
    }

    /// How it stands on an eUICC in this state.
    #[must_use]
    pub const fn state(&self, euicc: EuiccState) -> AssociationState {
        match euicc {
            EuiccState::Unmanaged => AssociationState::Gone,
            EuiccState::AssociationLost => AssociationState::Lost,
            _ if self.proven_at.is_some() => AssociationState::Associated,
            _ => AssociationState::Expected,
        }
    }
}

/// The association of another eIM, as verified results tell it, or a portable export ([`LearnedBy::Imported`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherEim {
    /// eimId, 1 to 128 octets.
    pub eim_id: String,
    /// eimIdType: oid(1), fqdn(2), proprietary(3).
    pub eim_id_type: Option<i64>,
    /// eimFqdn.
    pub eim_fqdn: Option<String>,
    /// eimSupportedProtocol by names.
    pub supported_protocol: Vec<String>,
    /// The token that the eUICC gave for it, where we added it.
    pub association_token: Option<i64>,
    /// The initial counterValue, where we gave it.
    pub counter_value: Option<i64>,
    /// SHA-256 of its SubjectPublicKeyInfo, where we gave its key.
    pub key_sha256: Option<[u8; 32]>,
    /// How it became known.
    pub learned_by: LearnedBy,
    /// How it stands: associated, foreign or gone.
    pub state: AssociationState,
    /// The operation whose result told the last change.
    pub operation: Option<OperationId>,
    /// When it became known, milliseconds since 1970.
    pub learned_at: i64,
    /// When it last changed, milliseconds since 1970.
    pub changed_at: i64,
}

impl OtherEim {
    /// Whether it is on the eUICC.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.state != AssociationState::Gone
    }

    fn new(eim_id: &str, learned_by: LearnedBy, state: AssociationState, now: i64) -> Self {
        Self {
            eim_id: eim_id.to_owned(),
            eim_id_type: None,
            eim_fqdn: None,
            supported_protocol: vec![],
            association_token: None,
            counter_value: None,
            key_sha256: None,
            learned_by,
            state,
            operation: None,
            learned_at: now,
            changed_at: now,
        }
    }

    /// Takes over what a configuration says; what it leaves out stays (SGP.32 v1.2 3.5.1.3).
    fn configure(&mut self, data: &EimConfigurationData) {
        self.eim_id_type = data.eim_id_type.or(self.eim_id_type);
        self.eim_fqdn = data.eim_fqdn.clone().or(self.eim_fqdn.take());
        if let Some(protocols) = &data.eim_supported_protocol {
            self.supported_protocol = protocol_names(protocols);
        }
        self.counter_value = data.counter_value.or(self.counter_value);
        // A negative one asks for a token and is none.
        self.association_token = data.association_token.filter(|token| *token >= 0).or(self.association_token);
        self.key_sha256 = data.eim_public_key_data.as_ref().and_then(key_sha256).or(self.key_sha256);
    }
}

/// eimSupportedProtocol by the names of the ASN.1.
#[must_use]
pub fn protocol_names(protocols: &EimSupportedProtocol) -> Vec<String> {
    serde_json::to_value(protocols).and_then(serde_json::from_value).unwrap_or_default()
}

/// SHA-256 of the SubjectPublicKeyInfo in eimPublicKeyData: what tells two keys apart.
#[must_use]
pub fn key_sha256(data: &EimPublicKeyData) -> Option<[u8; 32]> {
    let key = match data {
        EimPublicKeyData::EimPublicKey(key) => pki::PublicKey::from_spki(key.der()).ok()?,
        EimPublicKeyData::EimCertificate(certificate) => {
            pki::Certificate::parse(certificate.der()).ok()?.public_key().clone()
        }
    };
    sha256(&key.to_spki())
}

/// The same of trustedPublicKeyDataTls. TLS may use keys of other kinds than eUICCs verify with.
fn tls_key_sha256(data: &TrustedPublicKeyDataTls) -> Option<[u8; 32]> {
    match data {
        TrustedPublicKeyDataTls::TrustedEimPkTls(key) => sha256(key.der()),
        TrustedPublicKeyDataTls::TrustedCertificateTls(certificate) => {
            sha256(&pki::Certificate::parse(certificate.der()).ok()?.public_key().to_spki())
        }
    }
}

fn sha256(octets: &[u8]) -> Option<[u8; 32]> {
    ring::digest::digest(&ring::digest::SHA256, octets).as_ref().try_into().ok()
}
