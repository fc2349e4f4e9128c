//! On whose authority something is done to a profile: its owner's, or a grant of its owner's (as SGP.02 authorises service
//! providers). What the owner's policy forbids is not granted away by anything here.

use super::Profile;
use super::euicc::words;
use crate::ids::{RspAddress, TenantId};
use serde::{Deserialize, Serialize};

words!(
    /// What a grant may allow.
    Action {
        /// Enabling a profile.
        Enable = "enable",
        /// Disabling it, also by enabling another one.
        Disable = "disable",
        /// Deleting it.
        Delete = "delete",
        /// Downloading it.
        Download = "download",
    }
);

/// By what the profiles of an owner are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// serviceProviderNames, compared without regard to case.
    pub service_providers: Vec<String>,
    /// MCC and MNC in 5 or 6 digits.
    pub mcc_mnc: Vec<String>,
    /// SM-DP+ at which only this owner's profiles wait, in lower case.
    pub smdp_addresses: Vec<String>,
}

/// The form in which servers are compared: the host alone, whatever port it is asked at.
#[must_use]
pub fn server_key(address: &str) -> String {
    address.parse::<RspAddress>().map_or_else(|_| address.to_lowercase(), |address| address.host().to_lowercase())
}

impl Claims {
    /// Every value with its kind, in the form in which two owners' claims are compared.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let kind = |kind: &'static str, list: &'_ [String]| {
            list.iter().map(|value| (kind, value.to_lowercase())).collect::<Vec<_>>()
        };
        kind("serviceProviders", &self.service_providers)
            .into_iter()
            .chain(kind("mccMnc", &self.mcc_mnc))
            .chain(kind("smdpAddresses", &self.smdp_addresses))
    }

    fn hold(&self, subject: &Subject<'_>) -> bool {
        let among = |list: &[String], value: Option<&str>| {
            value.is_some_and(|value| list.iter().any(|claimed| claimed.to_lowercase() == value.to_lowercase()))
        };
        let server = |value: &str| self.smdp_addresses.iter().any(|claimed| server_key(claimed) == server_key(value));
        among(&self.service_providers, subject.service_provider)
            || among(&self.mcc_mnc, subject.mcc_mnc)
            || subject.smdp_address.is_some_and(server)
    }
}

/// An owner of profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name for reference.
    pub id: String,
    /// The tenant that speaks for it.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// What it owns.
    pub claims: Claims,
}

/// What an owner lets another tenant do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name for reference.
    pub id: String,
    /// The owner, by its name for reference.
    pub owner: String,
    /// Only profiles of this class: test(0), provisioning(1), operational(2).
    pub profile_class: Option<i64>,
    /// What may be done.
    pub actions: Vec<Action>,
}

/// What decides for one tenant: confirmed owners of the whole server, and the grants to this tenant that are not revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Who asks.
    pub tenant: TenantId,
    /// Whoever owns profiles.
    pub owners: Vec<Owner>,
    /// What the tenant was granted.
    pub grants: Vec<Grant>,
}

/// A profile, as far as its owner matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// Whether it is on an eUICC, so that it could be asked what is not known of it.
    pub installed: bool,
    /// serviceProviderName; empty where it has none.
    pub service_provider: Option<&'a str>,
    /// MCC and MNC of its owner; empty where it has none.
    pub mcc_mnc: Option<&'a str>,
    /// profileClass.
    pub profile_class: Option<i64>,
    /// The SM-DP+ that it comes from.
    pub smdp_address: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// An installed profile.
    #[must_use]
    pub fn of(profile: &'a Profile) -> Self {
        let service_provider = profile.service_provider.as_deref();
        let mcc_mnc = profile.owner_mcc_mnc.as_deref();
        Self { installed: true, service_provider, mcc_mnc, profile_class: profile.profile_class, smdp_address: None }
    }
}

/// Why something may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Nobody has said that the profile is theirs.
    Free,
    /// The tenant owns it.
    Own,
    /// Its owners have granted it; the grants' names.
    Granted(Vec<String>),
}

/// Why something may not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its owner does not allow it.
    #[error("the profile belongs to {owner}, who has not granted {} to this tenant", .action.as_str())]
    NotGranted {
        /// The owner's name.
        owner: String,
        /// What was asked for.
        action: Action,
    },
    /// What owners are known by was never told of it.
    #[error(
        "it is not known whose the profile is, since no profile list has told its serviceProviderName and profileOwner \
         (tags 91 and B7)"
    )]
    Unknown,
}

impl Rights {
    /// Whether profiles of other tenants are on this server at all.
    #[must_use]
    pub fn has_foreign_owners(&self) -> bool {
        self.owners.iter().any(|owner| owner.tenant != self.tenant)
    }

    /// Whether an SM-DP+ may be one at which only another tenant's profiles wait.
    #[must_use]
    pub fn foreign_addresses(&self) -> bool {
        self.owners.iter().any(|owner| owner.tenant != self.tenant && !owner.claims.smdp_addresses.is_empty())
    }

    /// Whether the tenant may do this to a profile. Of several owners each one must have granted it. A grant for one class
    /// does not cover a profile whose class is not known.
    ///
    /// # Errors
    /// The first owner that has not granted it; `Unknown` when it may belong to another tenant's owner and that can't be told.
    pub fn permits(&self, action: Action, subject: &Subject<'_>) -> Result<Authority, Refusal> {
        let foreign = || self.owners.iter().filter(|owner| owner.tenant != self.tenant).map(|owner| &owner.claims);
        let untold = subject.service_provider.is_none() && foreign().any(|claims| !claims.service_providers.is_empty())
            || subject.mcc_mnc.is_none() && foreign().any(|claims| !claims.mcc_mnc.is_empty());
        if subject.installed && untold {
            return Err(Refusal::Unknown);
        }
        let mut owners = self.owners.iter().filter(|owner| owner.claims.hold(subject)).peekable();
        if owners.peek().is_none() {
            return Ok(Authority::Free);
        }
        let mut grants = Vec::new();
        for owner in owners.filter(|owner| owner.tenant != self.tenant) {
            let covers = |grant: &&Grant| {
                grant.owner == owner.id
                    && grant.actions.contains(&action)
                    && grant.profile_class.is_none_or(|class| subject.profile_class == Some(class))
            };
            let grant = self.grants.iter().find(covers);
            let refusal = || Refusal::NotGranted { owner: owner.name.clone(), action };
            grants.push(grant.ok_or_else(refusal)?.id.clone());
        }
        Ok(if grants.is_empty() { Authority::Own } else { Authority::Granted(grants) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: TenantId = TenantId::from_value(7);
    const THEIRS: TenantId = TenantId::from_value(8);

    fn rights(grants: Vec<Grant>) -> Rights {
        let claims = Claims {
            service_providers: vec!["Acme Mobile".into()],
            mcc_mnc: vec!["26201".into()],
            smdp_addresses: vec!["smdp.acme.example".into()],
        };
        let own = Claims { service_providers: vec!["Mine".into()], ..Claims::default() };
        let owners = vec![
            Owner { id: "o1".into(), tenant: THEIRS, name: "Acme".into(), claims },
            Owner { id: "o2".into(), tenant: MINE, name: "We".into(), claims: own },
        ];
        Rights { tenant: MINE, owners, grants }
    }

    fn grant(class: Option<i64>, actions: &[Action]) -> Grant {
        Grant { id: "g1".into(), owner: "o1".into(), profile_class: class, actions: actions.to_vec() }
    }

    fn provider(name: &str, class: Option<i64>) -> Subject<'_> {
        Subject { service_provider: Some(name), profile_class: class, ..Subject::default() }
    }

    #[test]
    fn what_nobody_owns_is_free_and_what_is_owned_is_its_owners() {
        let rights = rights(vec![]);
        assert_eq!(rights.permits(Action::Delete, &provider("Other", None)), Ok(Authority::Free));
        assert_eq!(rights.permits(Action::Delete, &provider("mine", None)), Ok(Authority::Own));
        let refusal = Refusal::NotGranted { owner: "Acme".into(), action: Action::Enable };
        assert_eq!(rights.permits(Action::Enable, &provider("ACME mobile", Some(2))), Err(refusal.clone()));
        for subject in [
            Subject { mcc_mnc: Some("26201"), ..Subject::default() },
            Subject { smdp_address: Some("SMDP.acme.example"), ..Subject::default() },
        ] {
            assert_eq!(rights.permits(Action::Enable, &subject), Err(refusal.clone()));
        }
    }

    #[test]
    fn an_installed_profile_of_which_nothing_was_told_is_nobodys_to_touch() {
        let rights = rights(vec![]);
        let told = Subject { installed: true, mcc_mnc: Some(""), ..provider("Other", None) };
        assert_eq!(rights.permits(Action::Delete, &told), Ok(Authority::Free));
        for untold in [Subject { service_provider: None, ..told }, Subject { mcc_mnc: None, ..told }] {
            assert_eq!(rights.permits(Action::Delete, &untold), Err(Refusal::Unknown));
        }
    }

    #[test]
    fn a_grant_covers_its_actions_and_its_class_alone() {
        let rights = rights(vec![grant(Some(2), &[Action::Enable])]);
        let granted = Ok(Authority::Granted(vec!["g1".into()]));
        assert_eq!(rights.permits(Action::Enable, &provider("Acme Mobile", Some(2))), granted);
        assert!(rights.permits(Action::Enable, &provider("Acme Mobile", Some(1))).is_err());
        assert!(rights.permits(Action::Enable, &provider("Acme Mobile", None)).is_err());
        assert!(rights.permits(Action::Delete, &provider("Acme Mobile", Some(2))).is_err());
    }
}
