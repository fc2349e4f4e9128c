//! What the API shows. Field names are those of the API contract; times are RFC 3339 in UTC.

use crate::domain::{OperationError, OperationResult, Refusal};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// What to pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// An eUICC as the eIM knows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EuiccView {
    /// 32 digits.
    pub eid: String,
    /// The operator's own name for it.
    pub label: Option<String>,
    /// The operator's tags, sorted.
    pub tags: Vec<String>,
    /// `verified`, or `lab`: results are taken unverified and marked so.
    pub result_policy: String,
    /// `registered` (never seen), `active`, `counterLost`, `counterExhausted`, `associationLost` (it answers as if it did not know
    /// this eIM; see its associations) or `unmanaged` (this eIM was deleted from it).
    pub state: String,
    /// How this eIM is associated with the eUICC.
    pub association: AssociationView,
    /// The eUICC certificate, base64 of DER.
    pub euicc_certificate: Option<String>,
    /// The EUM certificate, base64 of DER.
    pub eum_certificate: Option<String>,
    /// Whether the two certificates chain to a trusted CI now.
    pub certificates_trusted: bool,
    /// What the IPA reported about itself and the eUICC. Reported unsigned, so never verified.
    pub capabilities: Option<Value>,
    /// When it last polled.
    pub last_seen_at: Option<String>,
    /// When it should poll again, from its own observed interval.
    pub next_poll_expected_at: Option<String>,
    /// The network it last reported: five or six digits.
    pub r_plmn: Option<String>,
    /// The last stateChangeCause by name.
    pub last_state_change_cause: Option<String>,
    /// Whether the profile list is known to be out of date.
    pub profiles_stale: bool,
    /// How many results are held because no certificate is known that could verify them.
    pub held_results: i64,
    /// What deserves attention, for example wrong EID check digits.
    pub warnings: Vec<String>,
    /// The Rules Authorisation Table, as the last verified getRAT result told it.
    #[schema(value_type = Option<Object>)]
    pub rules_authorisation_table: Option<Value>,
    /// When it was registered.
    pub created_at: String,
}

/// The association of this eIM with one eUICC.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssociationView {
    /// The eIM's name on the eUICC.
    pub eim_id: String,
    /// The counter of the last package made.
    pub counter_value: i64,
    /// The token; absent when none is configured.
    pub association_token: Option<i64>,
    /// The id of the signing key of this eIM that the eUICC trusts.
    pub signing_key: Option<String>,
    /// Whether this server can sign with it. While it can't, packages wait.
    pub signing_key_loaded: bool,
    /// The key that the eUICC may trust by now: it was sent and its answer is not known. Until it is, other packages wait.
    pub next_signing_key: Option<String>,
}

/// Every eIM on an eUICC, as far as it is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssociationsView {
    /// The eIMs: this one first, then the others in the order in which they became known.
    pub items: Vec<EimOnEuiccView>,
    /// When the eUICC last listed its eIMs, verified.
    pub eims_listed_at: Option<String>,
}

/// An eIM on an eUICC. Of others, all that stands here comes from verified results.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EimOnEuiccView {
    /// eimId.
    pub eim_id: String,
    /// Whether it is this eIM.
    pub own: bool,
    /// `expected` (told, the eUICC has not answered under it yet), `associated` (a verified result says so, or of another eIM a
    /// portable export: it made the export, or was added by who did), `foreign` (the eUICC lists it, and nobody added it here or
    /// told of it), `lost` (this eIM: the eUICC answers as if it did not know it, unsigned) or `gone`.
    pub state: String,
    /// Whether the state comes from a verified result.
    pub verified: bool,
    /// `oid`, `fqdn` or `proprietary`; absent when nobody told.
    pub eim_id_type: Option<String>,
    /// eimFqdn: this eIM, as configured here, or as the last verified updateEim of ourselves left it; of another eIM, as it was given
    /// to it here.
    pub eim_fqdn: Option<String>,
    /// eimSupportedProtocol by the names of the ASN.1.
    pub supported_protocol: Vec<String>,
    /// This eIM: SHA-256 of the SubjectPublicKeyInfo in trustedPublicKeyDataTls that an updateEim of ourselves set, upper-case
    /// hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key_sha256: Option<String>,
    /// This eIM: euiccCiPKId that an updateEim of ourselves set, upper-case hexadecimal.
    #[serde(rename = "euiccCiPKId", skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_id: Option<String>,
    /// The token; of another eIM, the one that the eUICC gave for it.
    pub association_token: Option<i64>,
    /// This eIM: the counter of the last package made. Another one: the counter that it was given.
    pub counter_value: Option<i64>,
    /// SHA-256 of its SubjectPublicKeyInfo, upper-case hexadecimal; of another eIM, of the key that it was given here.
    pub key_sha256: Option<String>,
    /// How it became known: `registered`, `manufacturing`, `addInitialEim`, `handover`, `reportedToken`, `addEim`,
    /// `updateEim`, `listEim`, or `imported` (a portable export said so; not verified).
    pub learned_by: String,
    /// The eIM that handed the eUICC over, or that made the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
    /// The operation whose result told it, or proved it.
    pub operation: Option<String>,
    /// When it became known, or was renewed.
    pub learned_at: String,
    /// When it last changed.
    pub changed_at: String,
    /// This eIM: when the eUICC first answered a package under this association, verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<String>,
    /// This eIM: since when it seems lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<String>,
    /// This eIM: why it seems lost: `unsignedErrors`, `reset`, `otherToken` or `notListed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_cause: Option<String>,
    /// This eIM: another token, that the eUICC told in an unsigned error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_token: Option<i64>,
    /// This eIM: what is done about such a token: `ask` or `adopt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_policy: Option<String>,
    /// This eIM: what to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// A profile on an eUICC as last reported.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    /// 18 to 20 digits; absent when the octets are no digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iccid: Option<String>,
    /// The 10 octets of EF.ICCID as 20 hexadecimal characters.
    pub raw_iccid: String,
    /// `enabled` or `disabled`; absent when it was not reported.
    pub state: Option<String>,
    /// `test`, `provisioning` or `operational`.
    #[serde(rename = "class")]
    pub profile_class: Option<String>,
    /// profileName.
    pub name: Option<String>,
    /// serviceProviderName.
    pub service_provider: Option<String>,
    /// Whether it is the Fallback Profile; absent when no list told.
    pub fallback: Option<bool>,
    /// The AID of its ISD-P, hexadecimal.
    pub aid: Option<String>,
    /// Whether what stands here comes from verified results alone.
    pub verified: bool,
    /// When it was last reported or changed.
    pub updated_at: String,
    /// `ppr1` (disabling is not allowed) and `ppr2` (deletion is not allowed); absent when no list told of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_rules: Option<Vec<String>>,
    /// MCC and MNC of the profile's owner; absent when no list told of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_mcc_mnc: Option<String>,
}

/// The profile list of an eUICC.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfilesView {
    /// The profiles, by ICCID.
    pub items: Vec<ProfileView>,
    /// Whether the list is known to be out of date.
    pub stale: bool,
    /// Whether the list comes from verified results alone.
    pub verified: bool,
    /// When a full list was last reported.
    pub listed_at: Option<String>,
}

/// Something that happened to an eUICC.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// When.
    pub at: String,
    /// What, for example `stateChange`, `operationSucceeded`, `resultRefused`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The rest of the members, by type.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
}

/// An operation: what a device was asked to do and what became of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationView {
    /// A UUID.
    pub id: String,
    /// The eUICC it is for.
    pub eid: String,
    /// `psmo`, `eco`, `euiccData` or `profileDownload`.
    pub kind: String,
    /// `operator`, or `eim` for what the eIM asks on its own account (refresh, certificates, stored results).
    pub origin: String,
    /// Why the eIM asked on its own account: `refresh`, `certificates`, `storedResults` or `reconcile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The request as it was made; of a download without activation code and confirmation code.
    #[schema(value_type = Object)]
    pub request: Value,
    /// `queued`, `delivered`, `succeeded`, `failed`, `expired`, `cancelled`, `unconfirmed` or `rolledBack`.
    pub state: String,
    /// counterValue of the package; absent until it is made.
    pub counter_value: Option<i64>,
    /// eimTransactionId of the package, upper-case hexadecimal; absent until it is made.
    pub eim_transaction_id: Option<String>,
    /// How many times it was delivered.
    pub attempts: i64,
    /// Whether the results are verified up to the CI; absent until there are results.
    pub verified: Option<bool>,
    /// One entry for each executed operation, in order.
    pub results: Vec<OperationResult>,
    /// Why it failed.
    pub error: Option<OperationError>,
    /// Results that arrived and were not believed.
    pub refusals: Vec<Refusal>,
    /// A result that arrived after the operation had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_result: Option<Value>,
    /// When it was asked for.
    pub created_at: String,
    /// When it was first delivered.
    pub delivered_at: Option<String>,
    /// When it ended.
    pub completed_at: Option<String>,
    /// Not delivered before.
    pub not_before: Option<String>,
    /// Not delivered after.
    pub valid_until: Option<String>,
    /// The operator's own name for it.
    pub label: Option<String>,
}

/// A verified notification on its way to the server that it names.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationView {
    /// A UUID.
    pub id: String,
    /// The eUICC that signed it.
    pub eid: String,
    /// seqNumber.
    pub seq_number: i64,
    /// `install`, `enable`, `disable` or `delete`.
    pub event: String,
    /// The profile that it is about, as people read it.
    pub iccid: Option<String>,
    /// The same as 20 hexadecimal characters.
    pub raw_iccid: Option<String>,
    /// The server that must get it.
    pub notification_address: String,
    /// `pending`, `delivered` or `givenUp`.
    pub state: String,
    /// How often the server did not acknowledge it.
    pub attempts: i64,
    /// Not sent before; only while it is pending.
    pub next_attempt_at: Option<String>,
    /// Why it was not acknowledged.
    pub last_error: Option<String>,
    /// When it arrived.
    pub created_at: String,
    /// When it was acknowledged or given up.
    pub ended_at: Option<String>,
}

/// This eIM as eUICCs know it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EimView {
    /// eimId.
    pub eim_id: String,
    /// eimFqdn.
    pub eim_fqdn: String,
    /// `oid`, `fqdn` or `proprietary`.
    pub eim_id_type: String,
    /// The public key, base64 of DER of a SubjectPublicKeyInfo.
    pub public_key: String,
    /// The signing certificate, base64 of DER, where there is one.
    pub certificate: Option<String>,
    /// EimConfigurationData, base64 of DER.
    pub eim_configuration_data: String,
    /// AddInitialEimRequest, base64 of DER.
    pub add_initial_eim_request: String,
    /// Key identifiers of the trusted CI certificates, upper-case hexadecimal.
    pub trusted_ci_key_ids: Vec<String>,
    /// Whether the lab policy may be used on this server.
    pub lab_enabled: bool,
}

/// An API key, without the key.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    /// A short name for reference.
    pub id: String,
    /// The name given to it.
    pub name: String,
    /// `admin`, `approver`, `operator` or `viewer`.
    pub role: String,
    /// The groups of routes that it opens; empty: all that its role does.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// From when it opens nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// When it was last used, give or take a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// The key itself, only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An owner of profiles.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileOwnerView {
    /// A UUID.
    pub id: String,
    /// The tenant that speaks for it.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// serviceProviderNames of its profiles.
    pub service_providers: Vec<String>,
    /// MCC and MNC of its profiles.
    pub mcc_mnc: Vec<String>,
    /// SM-DP+ at which only its profiles wait.
    pub smdp_addresses: Vec<String>,
    /// When whoever runs the server confirmed it. Before that it counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<String>,
    /// When it was made.
    pub created_at: String,
}

/// What the owner of profiles lets another tenant do.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantView {
    /// A UUID.
    pub id: String,
    /// The owner, by its id.
    pub owner: String,
    /// Who granted it.
    pub grantor: String,
    /// Whom it was granted.
    pub grantee: String,
    /// `test`, `provisioning` or `operational`; absent for every class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_class: Option<String>,
    /// `enable`, `disable`, `delete`, `download`.
    pub actions: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// A decision: who asked for what, on whose authority, and what came of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    /// When.
    pub at: String,
    /// The key that asked, by its id.
    pub key_id: String,
    /// The name given to the key.
    pub key_name: String,
    /// Method and route.
    pub action: String,
    /// The path of what it was about.
    pub subject: String,
    /// The role, and the grants that were used.
    pub authority: String,
    /// `done`, `rehearsed` (a dry run), `refused` or `failed`.
    pub outcome: String,
    /// Why it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Totals of one tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryView {
    /// eUICCs by state; a state without any is left out.
    pub euiccs: std::collections::BTreeMap<String, i64>,
    /// Operations by state; a state without any is left out.
    pub operations: std::collections::BTreeMap<String, i64>,
    /// Notifications that their servers have not acknowledged yet.
    pub pending_notifications: i64,
}

/// A tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantView {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: String,
}

/// A switch as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchView {
    /// A UUID.
    pub id: String,
    /// The eUICC that it is for.
    pub eid: String,
    /// What it is to do: `switch` with the request as it was made, without activation code and confirmation code,
    /// `download`, or `operations`.
    #[schema(value_type = Object)]
    pub plan: Value,
    /// `waiting`, `downloading`, `enabling`, `proving`, `deleting`, `running` or `ended`.
    pub state: String,
    /// `proven`, `unchanged`, `unconfirmed`, `rolledBack`, `fellBack`, `lostAfterSwitch`, `downloadFailed`, `refused`,
    /// `noShow`, `cancelled`, `superseded`; for a download or a list of operations `succeeded` or `failed`. Absent until it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why it ended as it did, or why the old profile stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<OperationError>,
    /// The profile that it enables, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The profiles that were enabled before.
    pub previous: Vec<String>,
    /// Old profiles that it deleted.
    pub deleted: Vec<String>,
    /// The network that the device reported with the new profile, MCC and MNC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r_plmn: Option<String>,
    /// Its operations, in order.
    pub operations: Vec<String>,
    /// When it is decided if nothing happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// When the device is expected to poll next, from the interval that was observed; only of one switch, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_poll_expected_at: Option<String>,
    /// The observed poll interval that deadlines count in, seconds; only of one switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_interval_seconds: Option<i64>,
    /// Whether no interval was observed yet, so that a day is taken for it; only of one switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_interval_assumed: Option<bool>,
    /// The campaign that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// The rules that caused it, one after the other; the last one asked for it.
    pub rules: Vec<String>,
    /// The operator's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was asked for.
    pub created_at: String,
    /// When it begins, or began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// An owner policy as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerPolicyView {
    /// A UUID.
    pub id: String,
    /// serviceProviderName of the profiles that it is for.
    pub service_provider: String,
    /// `test`, `provisioning` or `operational`; absent for every class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_class: Option<String>,
    /// Whether a profile may be disabled, also by enabling another one.
    pub disable_allowed: bool,
    /// Whether a profile may be deleted.
    pub delete_allowed: bool,
    /// Whether a profile is deleted as soon as a proven switch has put another one in its place.
    pub delete_when_disabled: bool,
    /// When it was made.
    pub created_at: String,
}

/// A pool of activation codes.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolView {
    /// A UUID.
    pub id: String,
    /// The name given to it.
    pub name: String,
    /// Below so many free codes the event `poolLow` says so.
    pub low_water: i64,
    /// How many codes are free.
    pub free: i64,
    /// When it was made.
    pub created_at: String,
}

/// A code of a pool, without the code.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodeView {
    /// A UUID.
    pub id: String,
    /// `free`, `reserved`, `used`, or `spent`: it went to a device and no profile came of it.
    pub state: String,
    /// The SM-DP+ that it leads to.
    pub smdp_address: String,
    /// The device that it went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eid: Option<String>,
    /// The switch that it went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// When its state changed.
    pub changed_at: String,
}

/// What became of codes that were put into a pool.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodesImported {
    /// How many are new.
    pub imported: usize,
    /// How many were known already, in this pool or another.
    pub known_already: usize,
    /// How many are free in the pool now.
    pub free: i64,
}

/// A campaign as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignView {
    /// A UUID.
    pub id: String,
    /// The name given to it.
    pub name: String,
    /// `draft`, `submitted`, `approved`, `denied`, `running`, `paused`, `aborting`, `aborted`, `reverting`, `reverted`,
    /// `completed` or `expired`.
    pub state: String,
    /// Which of two campaigns goes first with a device: the higher.
    pub priority: i64,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<OperationError>,
    /// Why it gave itself up (errorAction ABORT, ABORT_AND_REVERT); absent where a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<OperationError>,
    /// What it waits for before more happens; absent when it goes on by itself in a moment, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<CampaignWaitView>,
    /// What deserves a second look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The wave that is under way, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<usize>,
    /// Until when the wave soaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak_until: Option<String>,
    /// Its waves with the counts of their devices.
    pub waves: Vec<CampaignWaveView>,
    /// The same over all waves.
    pub totals: CampaignWaveView,
    /// How many devices wait to be moved back, are being, and how moving back ended: `pending`, `running`, `outcomes`.
    #[schema(value_type = Object)]
    pub reverts: Value,
    /// What was asked for, without activation code and confirmation code.
    #[schema(value_type = Object)]
    pub specification: Value,
    /// Who created, submitted and approved or denied it, and when.
    #[schema(value_type = Object)]
    pub history: Value,
    /// When it was made.
    pub created_at: String,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// What a campaign waits for.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignWaitView {
    /// `submit`, `approve`, `start`, `resume`, `startAt`, `waveStartAt`, `endAt`, `window`, `rate`, `perSmdpMaxConcurrent`, `devices`,
    /// `retry`, `soak`, `reverts` or `joiningDevices`.
    pub name: &'static str,
    /// In a sentence; of a campaign that is given up, also what can't be recalled.
    pub message: String,
    /// Until when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Where the devices of a wave stand.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignWaveView {
    /// Its index, from 0; absent for all waves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many devices it has.
    pub devices: u64,
    /// How many were not begun.
    pub pending: u64,
    /// How many are under way.
    pub running: u64,
    /// How many have ended.
    pub ended: u64,
    /// How they ended, by outcome.
    pub outcomes: std::collections::BTreeMap<String, u64>,
}

/// What a campaign would be.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignPreview {
    /// How many devices it would have.
    pub devices: u64,
    /// Its waves.
    pub waves: Vec<PreviewedWave>,
    /// How many match and are more than `maxDevices`.
    pub over_max: u64,
    /// How many match and no wave takes.
    pub in_no_wave: u64,
    /// What deserves a second look.
    pub warnings: Vec<String>,
}

/// A wave of a campaign that is not made yet.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewedWave {
    /// Its index, from 0.
    pub index: usize,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many devices it would have.
    pub devices: u64,
    /// Some of their EIDs.
    pub sample: Vec<String>,
}

/// A device's part in a campaign.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignDeviceView {
    /// The eUICC.
    pub eid: String,
    /// Its wave, from 0.
    pub wave: i64,
    /// `pending`, `running` or `ended`.
    pub state: String,
    /// How it ended; of a device that is tried again, how it ended before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<OperationError>,
    /// How often it was begun.
    pub attempts: i64,
    /// Not begun before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// The last switch made for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// What became of moving it back: `pending`, `running`, or an outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<String>,
    /// Why moving it back ended so, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert_reason: Option<OperationError>,
}
