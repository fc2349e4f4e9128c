//! Request bodies as the OpenAPI document shows them.
//!
//! These types are the description only. The bodies themselves are read in `eim_core::manage`, where an error can name
//! the member by its JSON pointer.

mod authority;
mod campaign;
mod desired_state;
mod eco;
mod euicc;
mod handover;
mod key_rotation;
mod operation;
mod psmo;
mod rule;
mod switch;
mod webhook;

pub use authority::{KeyRotation, NewApiKey, NewGrant, NewProfileOwner, NewTenant};
pub use campaign::{CampaignMessage, CampaignPlan, CampaignTarget, CampaignWave, NewCampaign};
pub use desired_state::{DesiredInstalled, DesiredProfiles, DesiredStateRetry, NewDesiredState, OwnDesiredState};
pub use eco::{Eco, EimConfiguration, EimConfigurationData, EimPublicKeyData, NamedEim, TrustedPublicKeyDataTls};
pub use euicc::{AssociationPatch, EuiccPatch, NewAssociationOf};
pub use handover::{HandoverConfirmation, HandoverProofs, NewHandover, Statement};
pub use key_rotation::{CounterRecovery, NewKeyRotation};
pub use operation::{EuiccDataRequest, NewOperation, ProfileDownload, Smds};
pub use psmo::{
    ConfigureImmediateEnable, EnableProfile, ListProfileInfo, Profile, ProfileClass, Psmo, SetDefaultDpAddress,
};

pub use rule::{
    RuleAction, RuleCondition, RuleCoolDown, RuleMemory, RuleNetworks, RuleOutcome, RuleSettings, RuleSilence,
    RuleTags, RuleWebhook,
};

pub use switch::{NewCodes, NewOwnerPolicy, NewPool, NewSwitch, SwitchProof, SwitchTarget};

pub use webhook::{NewReplay, SecretRotation, WebhookFilter, WebhookSettings};

use serde::Deserialize;
use utoipa::ToSchema;

/// An operation without parameters: an empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}
