//! Rows of the tables, and the way between them and the domain's types.

use super::StoreError;
use super::StoredNotification;
use super::schema::{download_sessions, euiccs, events, notifications, operations, other_eims, profiles, received};
use crate::domain::keys::KeyFacts;
use crate::domain::lists::ListFacts;
use crate::domain::{
    AssociationState, DownloadSession, Euicc, EuiccState, InstalledRules, Kind, LearnedBy, NewNotification,
    NewOperation, NotificationState, Operation, OperationState, Origin, OtherEim, OwnAssociation, Phase, Profile,
    Purpose, Received, ReceivedKind, ReceivedStatus, ResultPolicy,
};
use crate::ids::{
    AssociationToken, CounterValue, Eid, EimTransactionId, Iccid, KeyId, OperationId, Plmn, SeqNumber, TenantId,
};
use diesel::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Gives what a column holds, or says which column can't be read.
fn column<T>(column: &'static str, value: Option<T>) -> Result<T, StoreError> {
    value.ok_or(StoreError::Corrupt { column })
}

fn json<T: DeserializeOwned>(name: &'static str, text: &str) -> Result<T, StoreError> {
    column(name, serde_json::from_str(text).ok())
}

pub(super) fn text_of<T: Serialize>(value: &T) -> String {
    // Serializing the project's own plain values into a string can't fail; an empty text would be found on reading.
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = euiccs, treat_none_as_default_value = false)]
pub(super) struct EuiccRow {
    tenant_id: i64,
    eid: String,
    version: i64,
    label: Option<String>,
    tags: String,
    result_policy: String,
    state: String,
    counter_value: i64,
    association_token: Option<i64>,
    eum_certificate: Option<Vec<u8>>,
    euicc_certificate: Option<Vec<u8>>,
    capabilities: Option<String>,
    last_seen_at: Option<i64>,
    poll_interval_ms: Option<i64>,
    r_plmn: Option<Vec<u8>>,
    state_change_cause: Option<i64>,
    profiles_stale: bool,
    profiles_listed_at: Option<i64>,
    profiles_verified: bool,
    data_refreshed_at: Option<i64>,
    certificates_asked_at: Option<i64>,
    warnings: String,
    created_at: i64,
    rules_authorisation_table: Option<String>,
    eim_id: Option<String>,
    signing_key: Option<String>,
    key_facts: Option<String>,
    own_association: Option<String>,
    list_facts: Option<String>,
}

/// The columns that a decision may change; `last_seen_at` and the interval belong to the sightings.
#[derive(AsChangeset)]
#[diesel(table_name = euiccs, treat_none_as_null = true)]
pub(super) struct EuiccChange {
    version: i64,
    label: Option<String>,
    tags: String,
    result_policy: String,
    state: String,
    counter_value: i64,
    association_token: Option<i64>,
    eum_certificate: Option<Vec<u8>>,
    euicc_certificate: Option<Vec<u8>>,
    capabilities: Option<String>,
    r_plmn: Option<Vec<u8>>,
    state_change_cause: Option<i64>,
    profiles_stale: bool,
    profiles_listed_at: Option<i64>,
    profiles_verified: bool,
    data_refreshed_at: Option<i64>,
    certificates_asked_at: Option<i64>,
    warnings: String,
    rules_authorisation_table: Option<String>,
    eim_id: Option<String>,
    signing_key: Option<String>,
    key_facts: Option<String>,
    own_association: Option<String>,
    list_facts: Option<String>,
}

impl EuiccRow {
    pub(super) fn new(euicc: &Euicc, tenant: TenantId) -> Self {
        Self {
            tenant_id: tenant.value(),
            eid: euicc.eid.to_string(),
            version: euicc.version,
            label: euicc.label.clone(),
            tags: text_of(&euicc.tags),
            result_policy: euicc.result_policy.as_str().to_owned(),
            state: euicc.state.as_str().to_owned(),
            counter_value: euicc.counter.value(),
            association_token: euicc.association_token.map(AssociationToken::value),
            eum_certificate: euicc.eum_certificate.clone(),
            euicc_certificate: euicc.euicc_certificate.clone(),
            capabilities: euicc.capabilities.as_ref().map(text_of),
            last_seen_at: euicc.last_seen_at,
            poll_interval_ms: euicc.poll_interval_ms,
            r_plmn: euicc.r_plmn.map(|plmn| plmn.octets().to_vec()),
            state_change_cause: euicc.state_change_cause,
            profiles_stale: euicc.profiles_stale,
            profiles_listed_at: euicc.profiles_listed_at,
            profiles_verified: euicc.profiles_verified,
            data_refreshed_at: euicc.data_refreshed_at,
            certificates_asked_at: euicc.certificates_asked_at,
            warnings: text_of(&euicc.warnings),
            created_at: euicc.created_at,
            rules_authorisation_table: euicc.rules_authorisation_table.as_ref().map(text_of),
            eim_id: euicc.eim_id.as_ref().map(ToString::to_string),
            signing_key: euicc.signing_key.as_ref().map(KeyId::to_string),
            key_facts: (euicc.key_facts != KeyFacts::default()).then(|| text_of(&euicc.key_facts)),
            own_association: (euicc.own_association != OwnAssociation::default())
                .then(|| text_of(&euicc.own_association)),
            list_facts: (euicc.list_facts != ListFacts::default()).then(|| text_of(&euicc.list_facts)),
        }
    }

    pub(super) fn euicc(self) -> Result<Euicc, StoreError> {
        Ok(Euicc {
            eid: column("euiccs.eid", self.eid.parse().ok())?,
            version: self.version,
            label: self.label,
            tags: json("euiccs.tags", &self.tags)?,
            result_policy: column("euiccs.result_policy", ResultPolicy::from_word(&self.result_policy))?,
            state: column("euiccs.state", EuiccState::from_word(&self.state))?,
            counter: column("euiccs.counter_value", CounterValue::try_from(self.counter_value).ok())?,
            association_token: self.association_token.map(AssociationToken::new),
            eum_certificate: self.eum_certificate,
            euicc_certificate: self.euicc_certificate,
            capabilities: self.capabilities.map(|text| json("euiccs.capabilities", &text)).transpose()?,
            last_seen_at: self.last_seen_at,
            poll_interval_ms: self.poll_interval_ms,
            r_plmn: self.r_plmn.map(|octets| column("euiccs.r_plmn", Plmn::from_octets(&octets).ok())).transpose()?,
            state_change_cause: self.state_change_cause,
            profiles_stale: self.profiles_stale,
            profiles_listed_at: self.profiles_listed_at,
            profiles_verified: self.profiles_verified,
            data_refreshed_at: self.data_refreshed_at,
            certificates_asked_at: self.certificates_asked_at,
            warnings: json("euiccs.warnings", &self.warnings)?,
            created_at: self.created_at,
            rules_authorisation_table: self
                .rules_authorisation_table
                .map(|text| json("euiccs.rules_authorisation_table", &text))
                .transpose()?,
            eim_id: self.eim_id.map(|text| column("euiccs.eim_id", text.parse().ok())).transpose()?,
            signing_key: self.signing_key.map(|text| column("euiccs.signing_key", text.parse().ok())).transpose()?,
            key_facts: self.key_facts.map(|text| json("euiccs.key_facts", &text)).transpose()?.unwrap_or_default(),
            list_facts: self.list_facts.map(|text| json("euiccs.list_facts", &text)).transpose()?.unwrap_or_default(),
            own_association: self
                .own_association
                .map(|text| json("euiccs.own_association", &text))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

impl EuiccChange {
    pub(super) fn new(euicc: &Euicc, version: i64) -> Self {
        let row = EuiccRow::new(euicc, TenantId::DEFAULT);
        Self {
            version,
            label: row.label,
            tags: row.tags,
            result_policy: row.result_policy,
            state: row.state,
            counter_value: row.counter_value,
            association_token: row.association_token,
            eum_certificate: row.eum_certificate,
            euicc_certificate: row.euicc_certificate,
            capabilities: row.capabilities,
            r_plmn: row.r_plmn,
            state_change_cause: row.state_change_cause,
            profiles_stale: row.profiles_stale,
            profiles_listed_at: row.profiles_listed_at,
            profiles_verified: row.profiles_verified,
            data_refreshed_at: row.data_refreshed_at,
            certificates_asked_at: row.certificates_asked_at,
            warnings: row.warnings,
            rules_authorisation_table: row.rules_authorisation_table,
            eim_id: row.eim_id,
            signing_key: row.signing_key,
            key_facts: row.key_facts,
            own_association: row.own_association,
            list_facts: row.list_facts,
        }
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = other_eims, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(super) struct OtherEimRow {
    tenant_id: i64,
    eid: String,
    eim_id: String,
    eim_id_type: Option<i64>,
    eim_fqdn: Option<String>,
    supported_protocol: String,
    association_token: Option<i64>,
    counter_value: Option<i64>,
    key_sha256: Option<Vec<u8>>,
    learned_by: String,
    state: String,
    operation_id: Option<String>,
    learned_at: i64,
    changed_at: i64,
}

impl OtherEimRow {
    pub(super) fn new(eim: &OtherEim, eid: &Eid, tenant: TenantId) -> Self {
        Self {
            tenant_id: tenant.value(),
            eid: eid.to_string(),
            eim_id: eim.eim_id.clone(),
            eim_id_type: eim.eim_id_type,
            eim_fqdn: eim.eim_fqdn.clone(),
            supported_protocol: text_of(&eim.supported_protocol),
            association_token: eim.association_token,
            counter_value: eim.counter_value,
            key_sha256: eim.key_sha256.map(|digest| digest.to_vec()),
            learned_by: eim.learned_by.as_str().to_owned(),
            state: eim.state.as_str().to_owned(),
            operation_id: eim.operation.map(|id| id.to_string()),
            learned_at: eim.learned_at,
            changed_at: eim.changed_at,
        }
    }

    pub(super) fn other_eim(self) -> Result<OtherEim, StoreError> {
        let digest = |octets: Vec<u8>| column("other_eims.key_sha256", octets.try_into().ok());
        Ok(OtherEim {
            eim_id: self.eim_id,
            eim_id_type: self.eim_id_type,
            eim_fqdn: self.eim_fqdn,
            supported_protocol: json("other_eims.supported_protocol", &self.supported_protocol)?,
            association_token: self.association_token,
            counter_value: self.counter_value,
            key_sha256: self.key_sha256.map(digest).transpose()?,
            learned_by: column("other_eims.learned_by", LearnedBy::from_word(&self.learned_by))?,
            state: column("other_eims.state", AssociationState::from_word(&self.state))?,
            operation: self.operation_id.map(|id| column("other_eims.operation_id", id.parse().ok())).transpose()?,
            learned_at: self.learned_at,
            changed_at: self.changed_at,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations)]
pub(super) struct OperationRow {
    seq: i64,
    id: String,
    eid: String,
    kind: String,
    origin: String,
    purpose: Option<String>,
    subject_id: Option<String>,
    request: String,
    state: String,
    label: Option<String>,
    not_before: Option<i64>,
    valid_until: Option<i64>,
    created_at: i64,
    delivered_at: Option<i64>,
    completed_at: Option<i64>,
    attempts: i64,
    retries: i64,
    again_after: Option<i64>,
    counter_value: Option<i64>,
    eim_transaction_id: Option<String>,
    association_token: Option<i64>,
    package: Option<Vec<u8>>,
    verified: Option<bool>,
    results: String,
    error: Option<String>,
    refusals: String,
    late_result: Option<String>,
    facts: String,
    results_asked: bool,
    replayed: bool,
    secret: Option<Vec<u8>>,
}

/// What is kept of an operation as one object.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OperationFacts {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enabled_before: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overridden: Vec<String>,
}

/// A new operation: everything else starts empty.
#[derive(Insertable)]
#[diesel(table_name = operations, treat_none_as_default_value = false)]
pub(super) struct NewOperationRow {
    id: String,
    tenant_id: i64,
    eid: String,
    kind: &'static str,
    origin: &'static str,
    purpose: Option<&'static str>,
    subject_id: Option<String>,
    request: String,
    state: &'static str,
    label: Option<String>,
    not_before: Option<i64>,
    valid_until: Option<i64>,
    created_at: i64,
    attempts: i64,
    retries: i64,
    results: &'static str,
    refusals: &'static str,
    facts: String,
    results_asked: bool,
    replayed: bool,
    secret: Option<Vec<u8>>,
}

/// The columns of an operation that change in its life.
#[derive(AsChangeset)]
#[diesel(table_name = operations, treat_none_as_null = true)]
pub(super) struct OperationChange {
    state: &'static str,
    not_before: Option<i64>,
    delivered_at: Option<i64>,
    completed_at: Option<i64>,
    attempts: i64,
    retries: i64,
    again_after: Option<i64>,
    counter_value: Option<i64>,
    eim_transaction_id: Option<String>,
    association_token: Option<i64>,
    package: Option<Vec<u8>>,
    verified: Option<bool>,
    results: String,
    error: Option<String>,
    refusals: String,
    late_result: Option<String>,
    facts: String,
    results_asked: bool,
    replayed: bool,
    secret: Option<Vec<u8>>,
}

impl OperationRow {
    pub(super) fn operation(self) -> Result<Operation, StoreError> {
        let facts: OperationFacts = json("operations.facts", &self.facts)?;
        Ok(Operation {
            seq: self.seq,
            id: column("operations.id", self.id.parse().ok())?,
            eid: column("operations.eid", self.eid.parse().ok())?,
            kind: column("operations.kind", Kind::from_word(&self.kind))?,
            origin: column("operations.origin", Origin::from_word(&self.origin))?,
            purpose: self.purpose.map(|word| column("operations.purpose", Purpose::from_word(&word))).transpose()?,
            subject: self.subject_id.map(|id| operation_id("operations.subject_id", &id)).transpose()?,
            request: json("operations.request", &self.request)?,
            state: column("operations.state", OperationState::from_word(&self.state))?,
            label: self.label,
            not_before: self.not_before,
            valid_until: self.valid_until,
            created_at: self.created_at,
            delivered_at: self.delivered_at,
            completed_at: self.completed_at,
            attempts: self.attempts,
            retries: self.retries,
            again_after: self.again_after,
            counter: self
                .counter_value
                .map(|value| column("operations.counter_value", CounterValue::try_from(value).ok()))
                .transpose()?,
            eim_transaction_id: self
                .eim_transaction_id
                .map(|text| column("operations.eim_transaction_id", text.parse::<EimTransactionId>().ok()))
                .transpose()?,
            association_token: self.association_token.map(AssociationToken::new),
            package: self.package,
            verified: self.verified,
            results: json("operations.results", &self.results)?,
            error: self.error.map(|text| json("operations.error", &text)).transpose()?,
            refusals: json("operations.refusals", &self.refusals)?,
            late_result: self.late_result.map(|text| json("operations.late_result", &text)).transpose()?,
            enabled_before: facts
                .enabled_before
                .iter()
                .map(|hex| column("operations.facts", Iccid::from_raw_hex(hex).ok()))
                .collect::<Result<_, _>>()?,
            epoch: facts.epoch,
            overridden: facts.overridden,
            results_asked: self.results_asked,
            replayed: self.replayed,
            secret: self.secret,
        })
    }
}

fn operation_id(name: &'static str, text: &str) -> Result<OperationId, StoreError> {
    column(name, text.parse().ok())
}

impl NewOperationRow {
    pub(super) fn new(operation: &NewOperation, eid: &Eid, tenant: TenantId, now: i64) -> Self {
        Self {
            id: operation.id.to_string(),
            tenant_id: tenant.value(),
            eid: eid.to_string(),
            kind: operation.kind.as_str(),
            origin: operation.origin.as_str(),
            purpose: operation.purpose.map(Purpose::as_str),
            subject_id: operation.subject.map(|id| id.to_string()),
            request: text_of(&operation.request),
            state: OperationState::Queued.as_str(),
            label: operation.label.clone(),
            not_before: operation.not_before,
            valid_until: operation.valid_until,
            created_at: now,
            attempts: 0,
            retries: 0,
            results: "[]",
            refusals: "[]",
            facts: text_of(&OperationFacts { overridden: operation.overridden.clone(), ..OperationFacts::default() }),
            results_asked: false,
            replayed: false,
            secret: operation.secret.clone(),
        }
    }
}

impl OperationChange {
    pub(super) fn new(operation: &Operation) -> Self {
        Self {
            state: operation.state.as_str(),
            not_before: operation.not_before,
            delivered_at: operation.delivered_at,
            completed_at: operation.completed_at,
            attempts: operation.attempts,
            retries: operation.retries,
            again_after: operation.again_after,
            counter_value: operation.counter.map(CounterValue::value),
            eim_transaction_id: operation.eim_transaction_id.as_ref().map(ToString::to_string),
            association_token: operation.association_token.map(AssociationToken::value),
            package: operation.package.clone(),
            verified: operation.verified,
            results: text_of(&operation.results),
            error: operation.error.as_ref().map(text_of),
            refusals: text_of(&operation.refusals),
            late_result: operation.late_result.as_ref().map(text_of),
            facts: text_of(&OperationFacts {
                enabled_before: operation.enabled_before.iter().map(Iccid::raw_hex).collect(),
                epoch: operation.epoch,
                overridden: operation.overridden.clone(),
            }),
            results_asked: operation.results_asked,
            replayed: operation.replayed,
            secret: operation.secret.clone(),
        }
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = profiles, treat_none_as_default_value = false, primary_key(tenant_id, eid, iccid), treat_none_as_null = true)]
pub(super) struct ProfileRow {
    tenant_id: i64,
    eid: String,
    iccid: Vec<u8>,
    enabled: Option<bool>,
    profile_class: Option<i64>,
    name: Option<String>,
    service_provider: Option<String>,
    fallback: bool,
    aid: Option<Vec<u8>>,
    verified: bool,
    updated_at: i64,
    ppr1: Option<bool>,
    ppr2: Option<bool>,
    owner_mcc_mnc: Option<String>,
    fallback_told: bool,
}

impl ProfileRow {
    pub(super) fn new(profile: &Profile, eid: &Eid, tenant: TenantId) -> Self {
        Self {
            tenant_id: tenant.value(),
            eid: eid.to_string(),
            iccid: profile.iccid.octets().to_vec(),
            enabled: profile.enabled,
            profile_class: profile.profile_class,
            name: profile.name.clone(),
            service_provider: profile.service_provider.clone(),
            fallback: profile.fallback == Some(true),
            aid: profile.aid.clone(),
            verified: profile.verified,
            updated_at: profile.updated_at,
            ppr1: profile.rules.map(|rules| rules.ppr1),
            ppr2: profile.rules.map(|rules| rules.ppr2),
            owner_mcc_mnc: profile.owner_mcc_mnc.clone(),
            fallback_told: profile.fallback.is_some(),
        }
    }

    pub(super) fn profile(self) -> Result<Profile, StoreError> {
        Ok(Profile {
            iccid: column("profiles.iccid", Iccid::from_octets(&self.iccid).ok())?,
            enabled: self.enabled,
            profile_class: self.profile_class,
            name: self.name,
            service_provider: self.service_provider,
            fallback: self.fallback_told.then_some(self.fallback),
            aid: self.aid,
            verified: self.verified,
            updated_at: self.updated_at,
            rules: self.ppr1.zip(self.ppr2).map(|(ppr1, ppr2)| InstalledRules { ppr1, ppr2 }),
            owner_mcc_mnc: self.owner_mcc_mnc,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = received)]
pub(super) struct ReceivedRow {
    seq: i64,
    kind: String,
    seq_number: Option<i64>,
    identity: Vec<u8>,
    raw: Vec<u8>,
    status: String,
    reason: Option<String>,
    operation_id: Option<String>,
    at: i64,
}

#[derive(Insertable)]
#[diesel(table_name = received, treat_none_as_default_value = false)]
pub(super) struct NewReceivedRow {
    tenant_id: i64,
    eid: String,
    kind: &'static str,
    seq_number: Option<i64>,
    pub(super) digest: Vec<u8>,
    identity: Vec<u8>,
    raw: Vec<u8>,
    status: &'static str,
    reason: Option<String>,
    operation_id: Option<String>,
    at: i64,
}

impl ReceivedRow {
    pub(super) fn received(self) -> Result<Received, StoreError> {
        Ok(Received {
            seq: self.seq,
            kind: column("received.kind", ReceivedKind::from_word(&self.kind))?,
            seq_number: self.seq_number.map(SeqNumber::new),
            identity: self.identity,
            raw: self.raw,
            status: column("received.status", ReceivedStatus::from_word(&self.status))?,
            reason: self.reason,
            operation: self.operation_id.map(|id| operation_id("received.operation_id", &id)).transpose()?,
            at: self.at,
        })
    }
}

impl NewReceivedRow {
    pub(super) fn new(received: &Received, eid: &str, tenant: TenantId) -> Self {
        Self {
            tenant_id: tenant.value(),
            eid: eid.to_owned(),
            kind: received.kind.as_str(),
            seq_number: received.seq_number.map(SeqNumber::value),
            digest: digest(&received.raw),
            identity: received.identity.clone(),
            raw: received.raw.clone(),
            status: received.status.as_str(),
            reason: received.reason.clone(),
            operation_id: received.operation.map(|id| id.to_string()),
            at: received.at,
        }
    }
}

/// What tells received octets apart: their SHA-256.
pub(super) fn digest(octets: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, octets).as_ref().to_vec()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub(super) struct EventRow {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) event_type: String,
    pub(super) details: String,
}

#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(super) struct NewEventRow {
    pub(super) tenant_id: i64,
    pub(super) eid: String,
    pub(super) at: i64,
    pub(super) event_type: &'static str,
    pub(super) details: String,
    pub(super) subject: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = download_sessions)]
pub(super) struct SessionRow {
    seq: i64,
    operation_id: String,
    transaction_id: String,
    address: String,
    phase: String,
    facts: String,
    created_at: i64,
    touched_at: i64,
}

#[derive(Insertable)]
#[diesel(table_name = download_sessions, treat_none_as_default_value = false)]
pub(super) struct NewSessionRow {
    tenant_id: i64,
    eid: String,
    operation_id: String,
    transaction_id: String,
    address: String,
    phase: &'static str,
    facts: String,
    created_at: i64,
    touched_at: i64,
}

impl SessionRow {
    pub(super) fn session(self) -> Result<DownloadSession, StoreError> {
        Ok(DownloadSession {
            seq: self.seq,
            operation: operation_id("download_sessions.operation_id", &self.operation_id)?,
            transaction_id: column("download_sessions.transaction_id", self.transaction_id.parse().ok())?,
            address: column("download_sessions.address", self.address.parse().ok())?,
            phase: column("download_sessions.phase", Phase::from_word(&self.phase))?,
            facts: json("download_sessions.facts", &self.facts)?,
            created_at: self.created_at,
            touched_at: self.touched_at,
        })
    }
}

impl NewSessionRow {
    pub(super) fn new(session: &DownloadSession, eid: &Eid, tenant: TenantId) -> Self {
        Self {
            tenant_id: tenant.value(),
            eid: eid.to_string(),
            operation_id: session.operation.to_string(),
            transaction_id: session.transaction_id.to_string(),
            address: session.address.as_str().to_owned(),
            phase: session.phase.as_str(),
            facts: text_of(&session.facts),
            created_at: session.created_at,
            touched_at: session.touched_at,
        }
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = notifications)]
pub(super) struct NotificationRow {
    seq: i64,
    id: String,
    eid: String,
    seq_number: i64,
    event: String,
    iccid: Option<Vec<u8>>,
    address: String,
    octets: Vec<u8>,
    state: String,
    attempts: i64,
    next_attempt_at: i64,
    last_error: Option<String>,
    created_at: i64,
    ended_at: Option<i64>,
}

#[derive(Insertable)]
#[diesel(table_name = notifications, treat_none_as_default_value = false)]
pub(super) struct NewNotificationRow {
    id: String,
    tenant_id: i64,
    eid: String,
    identity: Vec<u8>,
    seq_number: i64,
    event: String,
    iccid: Option<Vec<u8>>,
    address: String,
    octets: Vec<u8>,
    state: &'static str,
    attempts: i64,
    next_attempt_at: i64,
    created_at: i64,
}

impl NotificationRow {
    pub(super) fn notification(self) -> Result<StoredNotification, StoreError> {
        Ok(StoredNotification {
            seq: self.seq,
            id: operation_id("notifications.id", &self.id)?,
            eid: column("notifications.eid", self.eid.parse().ok())?,
            seq_number: SeqNumber::new(self.seq_number),
            event: self.event,
            iccid: self
                .iccid
                .map(|octets| column("notifications.iccid", Iccid::from_octets(&octets).ok()))
                .transpose()?,
            address: column("notifications.address", self.address.parse().ok())?,
            octets: self.octets,
            state: column("notifications.state", NotificationState::from_word(&self.state))?,
            attempts: self.attempts,
            next_attempt_at: self.next_attempt_at,
            last_error: self.last_error,
            created_at: self.created_at,
            ended_at: self.ended_at,
        })
    }
}

impl NewNotificationRow {
    pub(super) fn new(notification: &NewNotification, eid: &Eid, tenant: TenantId, now: i64, not_before: i64) -> Self {
        Self {
            id: notification.id.to_string(),
            tenant_id: tenant.value(),
            eid: eid.to_string(),
            identity: notification.identity.clone(),
            seq_number: notification.seq_number.value(),
            event: notification.event.clone(),
            iccid: notification.iccid.map(|iccid| iccid.octets().to_vec()),
            address: notification.address.key(),
            octets: notification.octets.clone(),
            state: NotificationState::Pending.as_str(),
            attempts: 0,
            next_attempt_at: not_before,
            created_at: now,
        }
    }
}
