//! The composed application: what every function needs at hand.

use crate::domain::fleet::guard::OwnAddress;
use crate::domain::{Changes, Euicc, Snapshot, TokenPolicy, Work};
use crate::ids::{Eid, EimId, KeyId, TenantId};
use crate::metrics::Metrics;
use crate::pki::{KnownChains, LabPolicy, SealingKey, TrustStore};
use crate::ports::{Clock, Entropy, KEY_CHECK, KeyRing, RingKey, RspTransport, SignerError, WebhookTransport};
use crate::rsp::initiate_authentication::AddressField;
use crate::store::audit::AuditWaiting;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// How this eIM is named to eUICCs.
#[derive(Debug, Clone)]
pub struct EimIdentity {
    /// eimId.
    pub eim_id: EimId,
    /// eimFqdn: the host that IPAs contact.
    pub eim_fqdn: String,
    /// eimIdType.
    pub eim_id_type: EimIdType,
    /// The signing certificate, DER; then eUICCs get it instead of the bare key.
    pub signing_certificate: Option<Vec<u8>>,
    /// The certificate that IPAs should trust for TLS, DER.
    pub tls_trust: Option<Vec<u8>>,
    /// The CI key that eUICCs must use for results, as a key identifier.
    pub euicc_ci_pk_id: Option<Vec<u8>>,
}

/// eimIdType (SGP.32 v1.2 2.11.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EimIdType {
    /// The eimId is a dotted OID.
    Oid,
    /// The eimId is a host name.
    Fqdn,
    /// Anything else.
    Proprietary,
}

impl EimIdType {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Oid => 1,
            Self::Fqdn => 2,
            Self::Proprietary => 3,
        }
    }
}

impl fmt::Display for EimIdType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oid => "oid",
            Self::Fqdn => "fqdn",
            Self::Proprietary => "proprietary",
        })
    }
}

impl FromStr for EimIdType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "oid" => Ok(Self::Oid),
            "fqdn" => Ok(Self::Fqdn),
            "proprietary" => Ok(Self::Proprietary),
            _ => Err("oid, fqdn or proprietary is expected"),
        }
    }
}

/// What an eIM is composed of.
pub struct EimParts {
    /// How it is named to eUICCs: the first one counts where nothing else is said. At least one.
    pub identities: Vec<EimIdentity>,
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The signing keys of all identities.
    pub keys: KeyRing,
    /// Those that are given to no eUICC any more, as a backup was restored.
    pub withheld: Arc<HashSet<KeyId>>,
    /// The trusted CI certificates.
    pub trust: TrustStore,
    /// The permission to take unverified results of eUICCs marked so; `None` where the configuration gives none.
    pub lab: Option<LabPolicy>,
    /// The metrics.
    pub metrics: Metrics,
    /// What calls SM-DP+ and SM-DS for a device.
    pub rsp: Arc<dyn RspTransport>,
    /// What calls webhooks.
    pub webhooks: Arc<dyn WebhookTransport>,
    /// What keeps activation codes and confirmation codes from being read in the store.
    pub sealing: SealingKey,
    /// The name of the member that carries an SM-DS's address.
    pub smds_address_field: AddressField,
    /// What is done when an eUICC tells another associationToken in an unsigned error, unless the eUICC has its own policy.
    pub reported_token: TokenPolicy,
    /// Every how many milliseconds an eUICC is asked for its eIMs and profiles on our own account; `None` for never.
    pub look_over_ms: Option<i64>,
}

/// The composed application, as one tenant has it. Cheap to clone.
#[derive(Clone)]
pub struct Eim {
    inner: Arc<Inner>,
    /// Sees the rows of one tenant.
    store: Store,
}

struct Inner {
    parts: EimParts,
    /// Chains of eUICCs that were verified before, with the roots of the parts.
    chains: KnownChains,
    /// How devices reach each of the identities.
    addresses: Vec<Arc<OwnAddress>>,
    started_at: i64,
    /// When devices were last seen, until that is written to the store.
    sightings: Mutex<HashMap<Eid, i64>>,
    /// Told after a commit that may have made a job due.
    jobs: Notify,
    /// Keys that eUICCs trust and that are not loaded, with how many eUICCs, as last looked.
    missing_keys: Mutex<Vec<(KeyId, i64)>>,
    /// Keys that are loaded and could not be used, and since when, milliseconds since 1970.
    keys_away: Mutex<BTreeMap<KeyId, i64>>,
    /// How the audit log is linked here.
    linking: Mutex<AuditLinking>,
    /// When a checkpoint of the audit log could not be signed last.
    unsigned_at: Mutex<Option<i64>>,
    /// Refused logins, until they are written to the audit log.
    refused: Mutex<HashMap<(TenantId, String, &'static str), RefusedLogins>>,
    /// The second in which a line about something signed wrongly was last logged, and how many were left out since.
    disbelieved: Mutex<(i64, u64)>,
}

/// How the audit log was linked when this process last tried. All is empty where it does not link, as in a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditLinking {
    /// Since when every try failed, milliseconds since 1970; `None` when the last one did not.
    pub failing_since: Option<i64>,
    /// What waited for its place after the last try that did not fail, over all tenants.
    pub waiting: AuditWaiting,
}

/// How many verified chains are kept: some hundred octets each.
const CHAINS_KEPT: usize = 8_192;
/// How long refusals of the same kind are gathered before they are written: a stranger can cause any number.
const REFUSALS_GATHERED_MS: i64 = 60_000;
/// How many kinds of them are told apart at once.
const REFUSALS_MAX: usize = 1_024;

/// Refusals of a kind.
#[derive(Debug, Clone)]
pub(crate) struct RefusedLogins {
    pub(crate) tenant: TenantId,
    /// The name of the key for reference, or empty.
    pub(crate) key: String,
    pub(crate) reason: &'static str,
    pub(crate) times: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    written: Option<i64>,
}

impl Eim {
    /// Composes it.
    #[must_use]
    pub fn new(parts: EimParts) -> Self {
        let store = parts.store.clone();
        let started_at = parts.clock.now_ms();
        let ci_key_ids: Vec<Vec<u8>> = parts.trust.key_ids().map(|id| id.octets().to_vec()).collect();
        let address = |identity: &EimIdentity| {
            Arc::new(OwnAddress {
                eim_fqdn: identity.eim_fqdn.clone(),
                tls_certificate: identity.tls_trust.clone(),
                ci_key_ids: ci_key_ids.clone(),
            })
        };
        let addresses = parts.identities.iter().map(address).collect();
        let chains = KnownChains::new(parts.trust.clone(), CHAINS_KEPT);
        let inner = Inner {
            parts,
            chains,
            addresses,
            started_at,
            sightings: Mutex::default(),
            jobs: Notify::new(),
            missing_keys: Mutex::default(),
            keys_away: Mutex::default(),
            linking: Mutex::default(),
            unsigned_at: Mutex::default(),
            refused: Mutex::default(),
            disbelieved: Mutex::default(),
        };
        Self { inner: Arc::new(inner), store }
    }

    /// The same application as another tenant has it.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> Self {
        Self { inner: Arc::clone(&self.inner), store: self.store.of(tenant) }
    }

    /// How this eIM is named to eUICCs, where nothing else is said.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "there is at least one, see EimParts")]
    pub fn identity(&self) -> &EimIdentity {
        &self.inner.parts.identities[0]
    }

    /// All names of this eIM, the usual one first.
    #[must_use]
    pub fn identities(&self) -> &[EimIdentity] {
        &self.inner.parts.identities
    }

    /// The identity with this eimId.
    #[must_use]
    pub fn identity_named(&self, eim_id: &str) -> Option<&EimIdentity> {
        self.identities().iter().find(|identity| identity.eim_id.as_str() == eim_id)
    }

    /// How devices reach this eIM by this name, and by the usual one where there is no such name.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "there is one for each identity, and at least one of these")]
    pub(crate) fn address_of(&self, eim_id: &EimId) -> &Arc<OwnAddress> {
        let place = self.identities().iter().position(|identity| identity.eim_id == *eim_id);
        &self.inner.addresses[place.unwrap_or(0)]
    }

    /// The eimId by which an eUICC knows this eIM.
    #[must_use]
    pub fn eim_id_of<'a>(&'a self, euicc: &'a Euicc) -> &'a EimId {
        euicc.eim_id.as_ref().unwrap_or(&self.identity().eim_id)
    }

    /// Begins a decision about an eUICC: with who we are for it, and the keys at hand.
    pub(crate) fn work(&self, snapshot: Snapshot, now: i64) -> Work {
        let eim_id = self.eim_id_of(&snapshot.euicc).clone();
        let names = self.identities().iter().map(|identity| identity.eim_id.as_str().to_owned()).collect();
        let work = Work::new(snapshot, now, self.entropy().octets());
        work.of_eim(&eim_id)
            .reached_at(Arc::clone(self.address_of(&eim_id)))
            .with_names(names)
            .with_keys(self.keys().ids())
            .with_withheld(Arc::clone(&self.inner.parts.withheld))
    }

    /// The store, of one tenant.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Since when this process is there, milliseconds since 1970. What devices did before it need not know.
    #[must_use]
    pub fn started_at(&self) -> i64 {
        self.inner.started_at
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.parts.clock
    }

    /// The source of randomness.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.inner.parts.entropy
    }

    /// The signing keys.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.inner.parts.keys
    }

    /// Whether there are keys that are given to no eUICC any more, as a backup was restored.
    pub(crate) fn withholds_keys(&self) -> bool {
        !self.inner.parts.withheld.is_empty()
    }

    /// Those among them that new associations get nevertheless.
    #[must_use]
    pub fn withheld_current_keys(&self) -> Vec<KeyId> {
        let withheld = &self.inner.parts.withheld;
        self.keys().keys().iter().filter(|key| key.current && withheld.contains(&key.id)).map(|key| key.id).collect()
    }

    /// The key that new associations of an identity get.
    ///
    /// # Errors
    /// When there is none, which a ring for these identities does not cause.
    pub fn current_key(&self, eim_id: &EimId) -> Result<&RingKey, SignerError> {
        self.keys().current(eim_id).ok_or_else(|| SignerError(format!("the eIM {eim_id} has no signing key")))
    }

    /// Signs with one key and no other.
    ///
    /// # Errors
    /// When it is not loaded or could not be used.
    pub(crate) async fn sign(&self, key: KeyId, octets: Vec<u8>) -> Result<[u8; 64], SignerError> {
        let found = self.keys().get(key).ok_or_else(|| SignerError(format!("the key {key} is not loaded")))?;
        if !found.signer.blocks() {
            return found.signer.sign(&octets);
        }
        let signer = Arc::clone(&found.signer);
        let signed = tokio::task::spawn_blocking(move || signer.sign(&octets)).await;
        let signed = signed.map_err(|_| SignerError("signing was cut off".to_owned()))?;
        self.note_key(key, signed.as_ref().err());
        signed
    }

    /// Notes whether a key could be used.
    fn note_key(&self, key: KeyId, fault: Option<&SignerError>) {
        let mut away = self.inner.keys_away.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(error) if !away.contains_key(&key) => {
                away.insert(key, self.clock().now_ms());
                tracing::error!(%key, %error, "a signing key is away: packages of eUICCs that trust it wait");
            }
            None if away.remove(&key).is_some() => tracing::info!(%key, "a signing key is back"),
            _ => return,
        }
        self.metrics().signing_keys_away.set(i64::try_from(away.len()).unwrap_or(i64::MAX));
    }

    /// Keys that are loaded and could not be used when that was last tried, and since when, milliseconds since 1970.
    #[must_use]
    pub fn keys_away(&self) -> Vec<(KeyId, i64)> {
        let away = self.inner.keys_away.lock().unwrap_or_else(PoisonError::into_inner);
        away.iter().map(|(key, since)| (*key, *since)).collect()
    }

    /// Looks whether keys in hardware modules are there, without signing; one that failed has to sign a fixed text. Gives those that
    /// are away, as [`Self::keys_away`].
    pub async fn look_for_keys_away(&self) -> Vec<(KeyId, i64)> {
        for key in self.keys().keys().iter().filter(|key| key.signer.blocks()) {
            let has_failed = self.keys_away().iter().any(|(away, _)| *away == key.id);
            let signer = Arc::clone(&key.signer);
            let look = move || if has_failed { signer.sign(KEY_CHECK).map(drop) } else { signer.look() };
            if let Ok(looked) = tokio::task::spawn_blocking(look).await {
                self.note_key(key.id, looked.err().as_ref());
            }
        }
        self.keys_away()
    }

    /// How the audit log was linked when this process last tried.
    #[must_use]
    pub fn audit_linking(&self) -> AuditLinking {
        *self.inner.linking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a try to link the audit log at `now`, and what waits after it; `None` when it failed.
    pub(crate) fn note_linking(&self, waiting: Option<AuditWaiting>, now: i64) {
        let mut linking = self.inner.linking.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting {
            Some(waiting) => *linking = AuditLinking { failing_since: None, waiting },
            None => linking.failing_since = linking.failing_since.or(Some(now)),
        }
        let since = linking.waiting.since.into_iter().chain(linking.failing_since).min();
        self.metrics().audit_unlinked_seconds.set(since.map_or(0, |since| (now - since).max(0) / 1_000));
    }

    /// When a checkpoint of the audit log could not be signed last, in milliseconds since 1970; `None` where the last one was.
    pub(crate) fn checkpoint_failed_at(&self) -> Option<i64> {
        *self.inner.unsigned_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a checkpoint could not be signed at this time, or with `None` that one was.
    pub(crate) fn note_checkpoint(&self, failed_at: Option<i64>) {
        *self.inner.unsigned_at.lock().unwrap_or_else(PoisonError::into_inner) = failed_at;
    }

    /// Keys that eUICCs trust and that are not loaded, with the number of eUICCs, as [`Self::look_for_missing_keys`] last found.
    #[must_use]
    pub fn missing_keys(&self) -> Vec<(KeyId, i64)> {
        self.inner.missing_keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks which keys eUICCs trust that are not loaded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look_for_missing_keys(&self) -> Result<Vec<(KeyId, i64)>, StoreError> {
        let used = self.store().key_usage().await?;
        let missing: Vec<(KeyId, i64)> = used.into_iter().filter(|(key, _)| self.keys().get(*key).is_none()).collect();
        self.inner.missing_keys.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&missing);
        let euiccs = missing.iter().map(|(_, euiccs)| euiccs).sum();
        self.metrics().euiccs_without_key.set(euiccs);
        Ok(missing)
    }

    /// The trusted CI certificates.
    #[must_use]
    pub fn trust(&self) -> &TrustStore {
        &self.inner.parts.trust
    }

    /// Verifies chains of eUICCs below the trusted CI certificates.
    #[must_use]
    pub fn chains(&self) -> &KnownChains {
        &self.inner.chains
    }

    /// The permission to take unverified results, where there is one.
    #[must_use]
    pub fn lab(&self) -> Option<&LabPolicy> {
        self.inner.parts.lab.as_ref()
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.parts.metrics
    }

    /// What calls SM-DP+ and SM-DS for a device.
    #[must_use]
    pub fn rsp(&self) -> &dyn RspTransport {
        &*self.inner.parts.rsp
    }

    /// What calls webhooks.
    #[must_use]
    pub fn webhooks(&self) -> &dyn WebhookTransport {
        &*self.inner.parts.webhooks
    }

    /// What keeps activation codes and confirmation codes from being read in the store.
    #[must_use]
    pub fn sealing(&self) -> &SealingKey {
        &self.inner.parts.sealing
    }

    /// The name of the member that carries an SM-DS's address.
    #[must_use]
    pub fn smds_address_field(&self) -> AddressField {
        self.inner.parts.smds_address_field
    }

    /// What is done when an eUICC tells another associationToken in an unsigned error.
    #[must_use]
    pub fn reported_token(&self) -> TokenPolicy {
        self.inner.parts.reported_token
    }

    /// Every how many milliseconds an eUICC is asked for its eIMs and profiles on our own account; `None` for never.
    #[must_use]
    pub fn look_over_ms(&self) -> Option<i64> {
        self.inner.parts.look_over_ms
    }

    /// Resolves when a job may have become due. Told to one waiter at a time; a hint, the rows are the truth.
    pub async fn jobs_woken(&self) {
        self.inner.jobs.notified().await;
    }

    pub(crate) fn wake_jobs(&self) {
        self.inner.jobs.notify_one();
    }

    /// Whether a line may be logged about something that is not believed: one in a second, since anybody can cause them. Gives how many
    /// were left out since the last one.
    pub(crate) fn may_log_disbelief(&self) -> Option<u64> {
        let second = self.clock().now_ms().div_euclid(1_000);
        let mut last = self.inner.disbelieved.lock().unwrap_or_else(PoisonError::into_inner);
        let (told_in, left_out) = &mut *last;
        if *told_in == second {
            *left_out = left_out.saturating_add(1);
            return None;
        }
        *told_in = second;
        Some(std::mem::take(left_out))
    }

    /// Notes that a login was refused. Written to the audit log a little later; a crash may lose it.
    pub(crate) fn refuse_login(&self, tenant: TenantId, key: &str, reason: &'static str) {
        let now = self.clock().now_ms();
        let mut refused = self.inner.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (tenant, key.to_owned(), reason);
        if refused.len() >= REFUSALS_MAX && !refused.contains_key(&name) {
            return;
        }
        let fresh =
            || RefusedLogins { tenant, key: key.to_owned(), reason, times: 0, first: now, last: now, written: None };
        let kind = refused.entry(name).or_insert_with(fresh);
        if kind.times == 0 {
            kind.first = now;
        }
        kind.times = kind.times.saturating_add(1);
        kind.last = now;
    }

    /// The refusals that are to be written now: of each kind at most once a minute, unless it is the end.
    pub(crate) fn refused_logins(&self, now: i64, at_once: bool) -> Vec<RefusedLogins> {
        let mut refused = self.inner.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |kind: &RefusedLogins| kind.written.is_none_or(|written| now - written >= REFUSALS_GATHERED_MS);
        refused.retain(|_, kind| kind.times > 0 || !over(kind));
        let due = refused.values_mut().filter(|kind| kind.times > 0 && (at_once || over(kind)));
        due.map(|kind| {
            let told = kind.clone();
            (kind.times, kind.written) = (0, Some(now));
            told
        })
        .collect()
    }

    /// Notes that a device was seen. Written to the store a little later; a crash may lose it.
    pub(crate) fn saw(&self, eid: Eid, now: i64) {
        self.inner.sightings.lock().unwrap_or_else(PoisonError::into_inner).insert(eid, now);
    }

    /// Writes the sightings that wait.
    ///
    /// # Errors
    /// When the store fails; then they wait on.
    pub async fn flush_sightings(&self) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut *self.inner.sightings.lock().unwrap_or_else(PoisonError::into_inner));
        self.write_sightings(waiting.into_iter().collect()).await
    }

    /// Writes the sightings of these devices, if they wait: somebody is about to decide on them.
    ///
    /// # Errors
    /// When the store fails; then they wait on.
    pub(crate) async fn flush_sightings_of(&self, eids: &[Eid]) -> Result<(), StoreError> {
        let waiting = {
            let mut sightings = self.inner.sightings.lock().unwrap_or_else(PoisonError::into_inner);
            eids.iter().filter_map(|eid| sightings.remove_entry(eid)).collect()
        };
        self.write_sightings(waiting).await
    }

    async fn write_sightings(&self, mut waiting: Vec<(Eid, i64)>) -> Result<(), StoreError> {
        // Nodes that write the same rows do it in the same order, or they would wait for each other.
        waiting.sort_unstable();
        for chunk in waiting.chunks(200) {
            if let Err(error) = self.store().record_sightings(chunk.to_vec()).await {
                let mut sightings = self.inner.sightings.lock().unwrap_or_else(PoisonError::into_inner);
                for (eid, at) in &waiting {
                    sightings.entry(*eid).or_insert(*at);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Saves a decision that somebody asked for, and counts what it did. See [`Store::save_once`].
    pub(crate) async fn save_once(
        &self,
        eid: Eid,
        version: i64,
        changes: Changes,
        once: (Option<crate::store::IdempotencyKey>, String),
        now: i64,
    ) -> Result<crate::store::switch::SavedOnce, StoreError> {
        let changes = Arc::new(changes);
        let saved = self.store().save_once(eid, version, Arc::clone(&changes), once, now).await?;
        if saved == crate::store::switch::SavedOnce::Done {
            self.metrics().count_changes(&changes);
        }
        Ok(saved)
    }

    /// Saves a decision and counts what it did. See [`Store::save_decision`].
    pub(crate) async fn save(
        &self,
        eid: Eid,
        version: i64,
        changes: Changes,
        now: i64,
    ) -> Result<crate::store::Saved, StoreError> {
        let changes = Arc::new(changes);
        let saved = self.store().save_decision(eid, version, Arc::clone(&changes), now).await?;
        if saved == crate::store::Saved::Done {
            self.metrics().count_changes(&changes);
            if !changes.notifications.is_empty() {
                self.wake_jobs();
            }
        }
        Ok(saved)
    }
}
