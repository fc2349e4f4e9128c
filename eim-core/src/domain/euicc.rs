//! An eUICC and its profiles as the eIM knows them.

use super::association::OwnAssociation;
use super::keys::KeyFacts;
use super::lists::ListFacts;
use crate::ids::{AssociationToken, CounterValue, Eid, EimId, Iccid, KeyId, Plmn};
use serde_json::Value;

/// Declares a plain enumeration with its word in store, API and log.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in store, API and log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use words;

words!(
    /// Whether packages may be sent to an eUICC.
    EuiccState {
        /// Known, never seen.
        Registered = "registered",
        /// Seen.
        Active = "active",
        /// A fresh counter was refused as a replay: nothing is signed until an operator sets the counter.
        CounterLost = "counterLost",
        /// The counter is used up or was refused as out of range: nothing is signed until an operator acts.
        CounterExhausted = "counterExhausted",
        /// This eIM was deleted from the eUICC.
        Unmanaged = "unmanaged",
        /// The eUICC answers as if it did not know this eIM; nobody signed that. What is in flight is delivered on, in
        /// bounds, and nothing else is signed until the eUICC answers or the association is renewed.
        AssociationLost = "associationLost",
    }
);

impl EuiccState {
    /// Whether signed packages may be sent.
    #[must_use]
    pub const fn takes_packages(self) -> bool {
        matches!(self, Self::Registered | Self::Active)
    }
}

words!(
    /// What it takes for a result to be believed.
    ResultPolicy {
        /// A signature that verifies up to a trusted CI.
        Verified = "verified",
        /// Nothing: results are taken and marked unverified. For laboratories, and only where the server allows it.
        Lab = "lab",
    }
);

/// An eUICC.
#[derive(Debug, Clone, PartialEq)]
pub struct Euicc {
    /// Its number.
    pub eid: Eid,
    /// Grows with every saved decision; a decision made on an older one is made again.
    pub version: i64,
    /// The operator's name for it.
    pub label: Option<String>,
    /// The operator's tags, sorted, without duplicates.
    pub tags: Vec<String>,
    /// What it takes to believe its results.
    pub result_policy: ResultPolicy,
    /// Whether packages may be sent.
    pub state: EuiccState,
    /// The counter of the last package made.
    pub counter: CounterValue,
    /// The token of the association; `None` when none is configured.
    pub association_token: Option<AssociationToken>,
    /// The EUM certificate, DER. Its chain is checked at each use.
    pub eum_certificate: Option<Vec<u8>>,
    /// The eUICC certificate, DER. Its chain is checked at each use.
    pub euicc_certificate: Option<Vec<u8>>,
    /// What the IPA reported, unsigned.
    pub capabilities: Option<Value>,
    /// When it last polled, milliseconds since 1970.
    pub last_seen_at: Option<i64>,
    /// The observed poll interval in milliseconds.
    pub poll_interval_ms: Option<i64>,
    /// The network it last reported.
    pub r_plmn: Option<Plmn>,
    /// The last stateChangeCause.
    pub state_change_cause: Option<i64>,
    /// Whether the profile list is known to be out of date.
    pub profiles_stale: bool,
    /// When a full list was last reported.
    pub profiles_listed_at: Option<i64>,
    /// Whether the whole profile list comes from verified results.
    pub profiles_verified: bool,
    /// When the data of IPA and eUICC were last asked for after a state change.
    pub data_refreshed_at: Option<i64>,
    /// What is known of the age of the profile list.
    pub list_facts: ListFacts,
    /// When the certificates were last asked for.
    pub certificates_asked_at: Option<i64>,
    /// What deserves attention.
    pub warnings: Vec<String>,
    /// When it was registered.
    pub created_at: i64,
    /// The Rules Authorisation Table as the last verified getRAT result told it, in JSON.
    pub rules_authorisation_table: Option<Value>,
    /// The eimId by which it knows this eIM; `None` for the usual one.
    pub eim_id: Option<EimId>,
    /// The key of ours that it trusts. Nothing is signed for it with another one.
    pub signing_key: Option<KeyId>,
    /// What is known beside it: a key that it may trust by now, the counters of others, a search for the counter.
    pub key_facts: KeyFacts,
    /// What is known of our own association beside counter and token.
    pub own_association: OwnAssociation,
}

/// A profile as last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its number.
    pub iccid: Iccid,
    /// Whether it is enabled; `None` when it was not reported.
    pub enabled: Option<bool>,
    /// profileClass: test(0), provisioning(1), operational(2).
    pub profile_class: Option<i64>,
    /// profileName.
    pub name: Option<String>,
    /// serviceProviderName.
    pub service_provider: Option<String>,
    /// Whether it is the Fallback Profile; `None` when no list told.
    pub fallback: Option<bool>,
    /// The AID of its ISD-P.
    pub aid: Option<Vec<u8>>,
    /// Whether all of this comes from verified results.
    pub verified: bool,
    /// When it was last reported or changed, milliseconds since 1970.
    pub updated_at: i64,
    /// profilePolicyRules; `None` when a list never told of them.
    pub rules: Option<InstalledRules>,
    /// mccMnc of profileOwner: 5 or 6 digits.
    pub owner_mcc_mnc: Option<String>,
}

/// The policy rules of an installed profile (SGP.22 v2.5 2.9.1.1). The eUICC enforces them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstalledRules {
    /// PPR1: disabling is not allowed.
    pub ppr1: bool,
    /// PPR2: deletion is not allowed.
    pub ppr2: bool,
}
