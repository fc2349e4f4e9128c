//! What the owner of profiles allows on this server, beside the policy rules that the eUICC enforces itself.

use crate::domain::Profile;
use crate::domain::request::FieldError;
use crate::domain::request::fields::Fields;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest serviceProviderName, characters (SGP.22 v2.5 5.5.3: SIZE(0..32)).
pub const SERVICE_PROVIDER_MAX: usize = 32;

/// Whether a profile can have this serviceProviderName, and says one with it.
#[must_use]
pub fn is_service_provider(text: &str) -> bool {
    (1..=SERVICE_PROVIDER_MAX).contains(&text.chars().count()) && !text.contains('\0')
}

/// The policy of one profile owner for its profiles, all of them or those of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerPolicy {
    /// serviceProviderName of the profiles that it is for, compared without regard to case.
    pub service_provider: String,
    /// profileClass: test(0), provisioning(1), operational(2); `None` for every class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_class: Option<i64>,
    /// Whether a profile may be disabled, also by enabling another one.
    pub disable_allowed: bool,
    /// Whether a profile may be deleted.
    pub delete_allowed: bool,
    /// Whether a profile is deleted as soon as another one has taken its place.
    pub delete_when_disabled: bool,
    /// Whether another tenant has it, as the owner of the profiles: nobody here may set it aside.
    #[serde(skip)]
    pub foreign: bool,
}

impl OwnerPolicy {
    /// Reads a policy of the API.
    ///
    /// # Errors
    /// Every value that can't be taken, with its place.
    pub fn from_api(value: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let read = Fields::of(value, String::new(), &mut errors).map(|mut fields| {
            let expected = format!("a text of 1 to {SERVICE_PROVIDER_MAX} characters, none of them zero,");
            let service_provider =
                fields.parsed("serviceProvider", &expected, |text| is_service_provider(text).then(|| text.to_owned()));
            if service_provider.is_none() {
                fields.missing("serviceProvider");
            }
            let policy = Self {
                service_provider: service_provider.unwrap_or_default(),
                profile_class: fields.one_of("profileClass", &[("test", 0), ("provisioning", 1), ("operational", 2)]),
                disable_allowed: fields.flag_or("disableAllowed", true),
                delete_allowed: fields.flag_or("deleteAllowed", true),
                delete_when_disabled: fields.flag("deleteWhenDisabled"),
                foreign: false,
            };
            if policy.delete_when_disabled && !policy.delete_allowed {
                fields.wrong("deleteWhenDisabled", "what may not be deleted can't be deleted when disabled");
            }
            fields.finish();
            policy
        });
        match read {
            Some(policy) if errors.is_empty() => Ok(policy),
            _ => Err(errors),
        }
    }

    /// Whether the policy is for this profile. A profile whose class or provider was never told counts as of every class and
    /// provider: the stricter reading.
    #[must_use]
    pub fn concerns(&self, profile: &Profile) -> bool {
        let is_theirs = |owner: &str| owner.to_lowercase() == self.service_provider.to_lowercase();
        profile.service_provider.as_deref().is_none_or(is_theirs)
            && match (self.profile_class, profile.profile_class) {
                (Some(wanted), Some(class)) => wanted == class,
                _ => true,
            }
    }
}

/// A policy that forbids to disable this profile, one of another tenant before one's own.
#[must_use]
pub fn forbids_disable<'a>(policies: &'a [OwnerPolicy], profile: &Profile) -> Option<&'a OwnerPolicy> {
    policies
        .iter()
        .filter(|policy| policy.concerns(profile) && !policy.disable_allowed)
        .max_by_key(|policy| policy.foreign)
}

/// The same for deleting it.
#[must_use]
pub fn forbids_delete<'a>(policies: &'a [OwnerPolicy], profile: &Profile) -> Option<&'a OwnerPolicy> {
    policies
        .iter()
        .filter(|policy| policy.concerns(profile) && !policy.delete_allowed)
        .max_by_key(|policy| policy.foreign)
}

/// Whether the owner wants this profile deleted once it is disabled.
#[must_use]
pub fn deletes_when_disabled(policies: &[OwnerPolicy], profile: &Profile) -> bool {
    // A wish needs to be known as theirs; a prohibition holds in doubt.
    profile.service_provider.is_some()
        && forbids_delete(policies, profile).is_none()
        && policies.iter().any(|policy| policy.concerns(profile) && policy.delete_when_disabled)
}
