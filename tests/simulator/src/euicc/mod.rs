//! A software eUICC (SGP.32 v1.2 3.3, 3.4, 5.9): it verifies packages, executes them, signs results and keeps them.
//!
//! All state is in memory, all signatures are deterministic: the same identity and the same calls give the same octets.
//! It is written from the specification alone and shares no decision with the eIM. Profiles hold no data, there is no
//! APDU level; a download installs what its metadata says.

mod association;
mod data;
mod eco;
mod error;
mod fault;
mod history;
mod info;
mod install;
mod local;
mod notification;
mod package;
mod profile;
mod psmo;
mod request;
mod result;
mod rsp;
mod rules;

pub use association::Association;
pub use data::DeviceDescription;
pub(crate) use data::data_error;
pub use error::EuiccError;
pub use fault::{Faults, UnsignedError};
pub use history::{History, Loaded};
pub use local::MemoryReset;
pub use notification::{Notification, NotificationKind};
pub use profile::{NotificationTarget, Profile, ProfileClass};
pub use result::StoredResult;
pub(crate) use rsp::NOW;

use crate::pki::EuiccIdentity;
use eim_core::asn1::{PprIds, ProfilePolicyAuthorisationRule};
use eim_core::ids::{AssociationToken, Eid, Iccid};
use std::sync::Arc;

/// What an eUICC has room for, and what it is able to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest eUICC Package Request, octets; larger ones are refused with sizeOverflow(15).
    pub package_bytes: usize,
    /// The largest list of results in one package result, octets; what exceeds it ends in processingTerminated(1).
    pub result_bytes: usize,
    /// How many eIMs may be associated; one more gives insufficientMemory(1).
    pub eims: usize,
    /// Whether rollback is there; otherwise enabling with rollbackFlag gives rollbackNotAvailable(20).
    pub rollback: bool,
    /// Whether immediate enabling is there; otherwise configuring it gives commandError(7).
    pub immediate_enable: bool,
    /// Room for the elements of all profiles together, octets; what exceeds it is refused with errorReason
    /// installFailedDueToInsufficientMemoryForProfile(10).
    pub profile_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            package_bytes: 64 * 1024,
            result_bytes: 64 * 1024,
            eims: 4,
            rollback: true,
            immediate_enable: true,
            profile_bytes: 1024 * 1024,
        }
    }
}

/// The configuration of immediate enabling, as the last configureImmediateEnable left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImmediateEnable {
    /// immediateEnableFlag.
    pub flag: bool,
    /// defaultSmdpOid, dotted.
    pub smdp_oid: Option<String>,
    /// defaultSmdpAddress.
    pub smdp_address: Option<String>,
}

/// What ES10b.ProfileRollback would go back to.
#[derive(Debug, Clone)]
struct Rollback {
    /// The profile that was enabled before.
    target: Iccid,
    /// Where the result that it replaces is kept.
    seq_number: i64,
    /// What the new result says again.
    header: result::Header,
}

/// One eUICC.
#[derive(Debug, Clone)]
pub struct Euicc {
    identity: EuiccIdentity,
    profiles: Vec<Profile>,
    associations: Vec<Association>,
    /// The last token that was allocated; it never goes back, so a token is never given twice.
    last_token: i64,
    last_seq_number: i64,
    stored_results: Vec<StoredResult>,
    notifications: Vec<Notification>,
    rollback: Option<Rollback>,
    /// The profile that ReturnFromFallback would enable again, while the Fallback Profile is enabled.
    return_from_fallback: Option<Option<Iccid>>,
    last_answer: Option<Vec<u8>>,
    ecall_active: bool,
    trusted_cis: Vec<Arc<[u8]>>,
    /// How many sessions were begun.
    sessions: u64,
    session: Option<rsp::RspSession>,
    /// Keys that a server may have bound a package to that was not installed.
    one_time_keys: Vec<rsp::OneTimeKey>,
    history: Option<History>,
    /// Default SM-DP+ address.
    pub default_dp_address: Option<String>,
    /// Root SM-DS address.
    pub root_smds_address: Option<String>,
    /// Immediate enabling.
    pub immediate_enable: ImmediateEnable,
    /// Rules Authorisation Table.
    pub rules_authorisation_table: Vec<ProfilePolicyAuthorisationRule>,
    /// Policy rules that this eUICC refuses (EUICCInfo2).
    pub forbidden_profile_policy_rules: PprIds,
    /// A proactive session is going on: enable and disable give catBusy(5).
    pub cat_busy: bool,
    /// A profile change is not finished: listProfileInfo gives profileChangeOngoing(11).
    pub profile_change_ongoing: bool,
    /// Room and abilities.
    pub limits: Limits,
    /// Misbehaviour, for tests.
    pub faults: Faults,
}

impl Euicc {
    /// A fresh eUICC: no profiles, no eIM.
    #[must_use]
    pub fn new(identity: EuiccIdentity) -> Self {
        Self {
            identity,
            profiles: Vec::new(),
            associations: Vec::new(),
            last_token: 0,
            last_seq_number: 0,
            stored_results: Vec::new(),
            notifications: Vec::new(),
            rollback: None,
            return_from_fallback: None,
            last_answer: None,
            ecall_active: false,
            trusted_cis: Vec::new(),
            sessions: 0,
            session: None,
            one_time_keys: Vec::new(),
            history: None,
            default_dp_address: None,
            root_smds_address: Some("rootsmds.example".to_owned()),
            immediate_enable: ImmediateEnable::default(),
            rules_authorisation_table: Vec::new(),
            forbidden_profile_policy_rules: PprIds::none(),
            cat_busy: false,
            profile_change_ongoing: false,
            limits: Limits::default(),
            faults: Faults::default(),
        }
    }

    /// Puts a profile on it, as a download would have; builder form.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profiles.push(profile);
        self
    }

    /// Puts an association on it, as AddInitialEim would have, token and counter included; builder form.
    #[must_use]
    pub fn with_association(mut self, association: Association) -> Self {
        self.last_token = self.last_token.max(association.token.map_or(0, AssociationToken::value));
        self.associations.push(association);
        self
    }

    /// The EID.
    #[must_use]
    pub fn eid(&self) -> Eid {
        self.identity.eid
    }

    /// EID, key and certificates.
    #[must_use]
    pub const fn identity(&self) -> &EuiccIdentity {
        &self.identity
    }

    /// The profiles, in order of installation.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The profile with this ICCID, to look at or to change behind the eIM's back.
    pub fn profile_mut(&mut self, iccid: &Iccid) -> Option<&mut Profile> {
        self.profiles.iter_mut().find(|profile| profile.iccid == *iccid)
    }

    /// The profile with this ICCID.
    #[must_use]
    pub fn profile(&self, iccid: &Iccid) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.iccid == *iccid)
    }

    /// The ICCID of the enabled profile, if there is one.
    #[must_use]
    pub fn enabled_iccid(&self) -> Option<Iccid> {
        self.profiles.iter().find(|profile| profile.enabled).map(|profile| profile.iccid)
    }

    /// The associated eIMs, oldest first.
    #[must_use]
    pub fn associations(&self) -> &[Association] {
        &self.associations
    }

    /// The association with this eIM.
    #[must_use]
    pub fn association(&self, eim_id: &str) -> Option<&Association> {
        self.associations.iter().find(|association| association.eim_id == eim_id)
    }

    /// The association with this eIM, to change it behind the eIM's back.
    pub fn association_mut(&mut self, eim_id: &str) -> Option<&mut Association> {
        self.associations.iter_mut().find(|association| association.eim_id == eim_id)
    }

    /// Adds an association behind the eIM's back, as another eIM would.
    pub fn associate(&mut self, association: Association) {
        self.last_token = self.last_token.max(association.token.map_or(0, AssociationToken::value));
        self.associations.push(association);
    }

    /// Removes an association behind the eIM's back. Whether there was one.
    pub fn dissociate(&mut self, eim_id: &str) -> bool {
        let before = self.associations.len();
        self.associations.retain(|association| association.eim_id != eim_id);
        self.associations.len() < before
    }

    /// The package results that were not yet acknowledged, oldest first.
    #[must_use]
    pub fn stored_results(&self) -> &[StoredResult] {
        &self.stored_results
    }

    /// The notifications that were not yet acknowledged, oldest first.
    #[must_use]
    pub fn notifications(&self) -> &[Notification] {
        &self.notifications
    }

    /// The last answer to a package, whatever it was: what a replay would send again.
    #[must_use]
    pub fn last_answer(&self) -> Option<&[u8]> {
        self.last_answer.as_deref()
    }

    /// Whether the Fallback Profile is enabled because of ExecuteFallbackMechanism.
    #[must_use]
    pub const fn in_fallback(&self) -> bool {
        self.return_from_fallback.is_some()
    }

    /// Whether ProfileRollback would be possible now.
    #[must_use]
    pub const fn rollback_available(&self) -> bool {
        self.rollback.is_some()
    }

    fn next_seq_number(&mut self) -> i64 {
        self.last_seq_number += 1;
        self.last_seq_number
    }

    fn next_token(&mut self) -> i64 {
        self.last_token += 1;
        self.last_token
    }
}
