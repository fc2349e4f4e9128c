//! Signing keys, and giving devices another one (SGP.32 v1.2 3.5.1.3).

mod inventory;

pub(crate) use inventory::{age_of, sweep};

use super::register::{idempotency, key_taken};
use super::views::Page;
use super::{FieldError, ManageError, Principal, page};
use crate::Eim;
use crate::domain::audit::AuditNote;
use crate::domain::fleet::filter::DeviceFilter;
use crate::domain::keys::{KEY_WITHHELD, RotatingState, RotationState, lags_behind};
use crate::domain::statement;
use crate::domain::{Euicc, Event, OperationState, rfc3339};
use crate::ids::{CounterValue, KeyId, OperationId};
use crate::pki;
use crate::ports::RingKey;
use crate::store::OperationFilter;
use crate::store::keys::{RotatingDevice, RotatingFilter, StoredRotation};
use crate::store::switch::SavedOnce;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

const ATTEMPTS: usize = 8;
/// How many devices are begun within a minute when nobody says, and at most.
const RATE: i64 = 600;
const RATE_MAX: i64 = 100_000;
/// How many devices that are not reachable are named with the rotation; the list of devices has all.
const NOT_REACHABLE_SHOWN: i64 = 100;
/// Among how many delivered operations of a device the package is looked for that is under way.
const DELIVERED_LOOKED_AT: i64 = 16;

/// A signing key of this eIM.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyView {
    /// SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
    pub id: String,
    /// The eIM that signs with it.
    pub eim_id: String,
    /// The public key: base64 of a SubjectPublicKeyInfo.
    pub public_key: String,
    /// Whether this server can sign with it. Packages for devices that trust a key that is not loaded wait.
    pub loaded: bool,
    /// Whether new associations get it.
    pub current: bool,
    /// Where it is kept, if it is loaded: `file` or `pkcs11`.
    pub custody: Option<String>,
    /// How many devices trust it.
    pub devices: i64,
    /// When the server first saw it.
    pub first_seen_at: String,
    /// Since when no rotation gives it to a device any more, as a backup was restored (`eim-server note-restore`). Devices that trust it stay
    /// with it.
    pub withheld_since: Option<String>,
}

/// A rotation: devices are given another signing key, one after the other.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotationView {
    /// A UUID.
    pub id: String,
    /// The key that devices are given.
    pub to: String,
    /// `running`, `paused`, `cancelling`, `cancelled`, `closing`, `closed` or `completed`.
    pub state: String,
    /// Which devices, as they were when it began.
    #[schema(value_type = Object)]
    pub filter: Value,
    /// How many devices are begun within a minute at most.
    pub rate_per_minute: i64,
    /// The operator's name for it.
    pub label: Option<String>,
    /// Whether all devices are found already.
    pub scanned: bool,
    /// How many devices stand how: `pending`, `running`, `rotated`, `failed`, `notReachable`, `cancelled`.
    #[schema(value_type = Object)]
    pub devices: Value,
    /// The first 100 devices that are `notReachable`, each with the reason: not given the key by this rotation, or it could not be found
    /// out whether they took it.
    pub not_reachable: Vec<NotReachableView>,
    /// Who asked for it: `keyId` and `name` of the API key.
    #[schema(value_type = Object)]
    pub created_by: Value,
    /// When it was asked for.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// A device that a rotation does not reach.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotReachableView {
    /// Its eUICC.
    pub eid: String,
    /// Why.
    pub reason: String,
}

/// A device of a rotation.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatingDeviceView {
    /// Its eUICC.
    pub eid: String,
    /// `pending`: not begun. `running`: asked for, the old key counts. `rotated`: the eUICC has said that it trusts the new key.
    /// `failed`: it keeps the old one. `notReachable`: it can't be given the key, or nobody knows whether it took it; it does not count as
    /// rotated. `cancelled`: withdrawn.
    pub state: String,
    /// How often it was begun.
    pub attempts: i64,
    /// The operation that gives it the key.
    pub operation: Option<String>,
    /// Why it stands so; of one that is `pending` or `running`, what it waits for now.
    pub reason: Option<String>,
    /// When it was last begun.
    pub begun_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// When the device last polled: who lags behind is often away.
    pub last_seen_at: Option<String>,
}

/// What a rotation is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct RotationSpec {
    pub(crate) filter: DeviceFilter,
    pub(crate) rate_per_minute: i64,
    label: Option<String>,
}

impl RotationSpec {
    fn from_api(body: &Value) -> Result<(Self, Option<KeyId>), Vec<FieldError>> {
        let mut errors = Vec::new();
        let Value::Object(members) = body else { return Err(vec![FieldError::new("", "an object is expected")]) };
        for name in members.keys().filter(|name| !["filter", "to", "ratePerMinute", "label"].contains(&name.as_str())) {
            errors.push(FieldError::new(format!("/{name}"), "this member is not known here"));
        }
        let filter = match members.get("filter") {
            Some(filter) => DeviceFilter::from_api(filter, "/filter", &mut errors),
            None => {
                errors.push(FieldError::new("/filter", "which devices are meant is expected"));
                None
            }
        };
        let given = |name: &str| members.get(name).filter(|value| !value.is_null());
        let to = given("to").map(|value| value.as_str().and_then(|text| text.parse::<KeyId>().ok()));
        if to == Some(None) {
            errors.push(FieldError::new("/to", "the id of a signing key is expected"));
        }
        let rate =
            given("ratePerMinute").map_or(Some(RATE), Value::as_i64).filter(|rate| (1..=RATE_MAX).contains(rate));
        if rate.is_none() {
            errors.push(FieldError::new("/ratePerMinute", format!("a number from 1 to {RATE_MAX} is expected")));
        }
        let label = given("label").map(|value| value.as_str().filter(|text| text.len() <= 128 && !text.contains('\0')));
        if label == Some(None) {
            errors.push(FieldError::new("/label", "a text of at most 128 octets, none of them zero, is expected"));
        }
        match (filter, rate) {
            (Some(filter), Some(rate_per_minute)) if errors.is_empty() => {
                let label = label.flatten().map(str::to_owned);
                Ok((Self { filter, rate_per_minute, label }, to.flatten()))
            }
            _ => Err(errors),
        }
    }

    pub(crate) fn from_stored(spec: &Value) -> Option<Self> {
        Self::from_api(spec).ok().map(|(spec, _)| spec)
    }

    fn to_value(&self) -> Value {
        json!({ "filter": self.filter.to_value(), "ratePerMinute": self.rate_per_minute, "label": self.label })
    }
}

/// The configuration of an updateEim that gives an eUICC a key of ours.
pub(crate) fn key_configuration(key: &RingKey, counter: CounterValue) -> Value {
    let data = match &key.certificate {
        Some(certificate) => json!({ "eimCertificate": STANDARD.encode(certificate) }),
        None => json!({ "eimPublicKey": STANDARD.encode(key.signer.public_key()) }),
    };
    json!({ "eimId": key.eim_id, "counterValue": counter.value(), "eimPublicKeyData": data })
}

/// Lists the signing keys that this server has seen, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list_signing_keys(eim: &Eim) -> Result<Page<SigningKeyView>, ManageError> {
    let used = eim.store().own_key_usage().await?;
    let shown = |known: crate::store::keys::KnownKey| {
        let loaded = eim.keys().get(known.id);
        SigningKeyView {
            id: known.id.to_string(),
            eim_id: known.eim_id.to_string(),
            public_key: STANDARD.encode(&known.public_key),
            loaded: loaded.is_some(),
            current: loaded.is_some_and(|key| key.current),
            custody: loaded.map(|key| key.custody.to_owned()),
            devices: used.iter().find(|(id, _)| *id == known.id).map_or(0, |(_, devices)| *devices),
            first_seen_at: rfc3339(known.first_seen_at),
            withheld_since: known.withheld_at.map(rfc3339),
        }
    };
    let items = eim.store().known_keys().await?.into_iter().map(shown).collect();
    Ok(Page { items, next_cursor: None })
}

/// Notes that the database is a backup that was restored: whatever was signed after the backup is not known here, so none of the keys
/// that are known now is given to a device any more. Gives their names, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn note_restore(eim: &Eim) -> Result<Vec<KeyId>, ManageError> {
    Ok(eim.store().withhold_keys(eim.clock().now_ms()).await?)
}

/// Begins to give devices another signing key. Without `to` it is the key that new associations get.
///
/// # Errors
/// What can't be taken; `Conflict` when a rotation is under way, or the key can't sign.
pub async fn create_key_rotation(
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<KeyRotationView, ManageError> {
    let key = idempotency_key.map(|key| idempotency(key, "key rotation", &body, eim)).transpose()?;
    if let Some(key) = &key {
        match eim.store().earlier_request(key.clone()).await? {
            Some(SavedOnce::Before { resource }) => return key_rotation(&resource, eim).await,
            Some(_) => return Err(key_taken()),
            None => {}
        }
    }
    let (spec, to) = RotationSpec::from_api(&body).map_err(ManageError::Invalid)?;
    let to = match to {
        Some(id) => eim.keys().get(id),
        None => eim.keys().current(&eim.identity().eim_id),
    };
    let key_given = to.ok_or_else(|| ManageError::invalid("/to", "this signing key is not loaded here"))?;
    let to = key_given.id;
    if age_of(to, eim).await?.withheld {
        return Err(ManageError::Conflict { slug: "signing-key-withheld", message: KEY_WITHHELD.to_owned() });
    }
    inventory::refuse_nobody(&spec, key_given, eim).await?;
    prove(to, eim).await?;
    let now = eim.clock().now_ms();
    let rotation = StoredRotation {
        seq: 0,
        id: eim.entropy().operation_id(now),
        to,
        state: RotationState::Running,
        version: 0,
        spec: spec.to_value(),
        swept_to: 0,
        scanned: false,
        look_at: Some(now),
        created_by: json!({ "keyId": principal.key_id, "name": principal.name }),
        created_at: now,
        ended_at: None,
    };
    let id = rotation.id;
    let event = told("keyRotationStarted", &rotation, principal);
    match eim.store().insert_rotation(rotation.clone(), event, key).await? {
        Some(SavedOnce::Done | SavedOnce::Conflict) => {
            inventory::sweep_with_request(rotation, &spec, key_given, eim).await?;
            key_rotation(&id.to_string(), eim).await
        }
        Some(SavedOnce::Before { resource }) => key_rotation(&resource, eim).await,
        Some(SavedOnce::KeyTaken) => Err(key_taken()),
        None => Err(ManageError::Conflict {
            slug: "key-rotation-open",
            message: "A rotation is under way already. Wait for its end, or cancel it.".to_owned(),
        }),
    }
}

/// A fleet is not moved to a key that does not sign.
async fn prove(id: KeyId, eim: &Eim) -> Result<(), ManageError> {
    // No package begins like this, so the value is of no use for anything else.
    let octets = b"eim signing key check".to_vec();
    let public = eim.keys().get(id).and_then(|key| pki::PublicKey::from_spki(key.signer.public_key()).ok());
    let unusable = |why: String| ManageError::Conflict { slug: "signing-key-unusable", message: why };
    let signature = eim.sign(id, octets.clone()).await.map_err(|error| unusable(error.to_string()))?;
    let details = json!({ "key": id, "digest": statement::digest(&octets), "purpose": "keyRotationCheck" });
    eim.store().insert_audit(AuditNote::new("keyUsed", details), eim.clock().now_ms()).await?;
    match public.map(|public| public.verify(&octets, &signature)) {
        Some(Ok(_)) => Ok(()),
        _ => Err(unusable("What this key signs does not verify with its public half.".to_owned())),
    }
}

/// Shows a rotation with its progress.
///
/// # Errors
/// When it is not known.
pub async fn key_rotation(id: &str, eim: &Eim) -> Result<KeyRotationView, ManageError> {
    view(load(id, eim).await?, eim).await
}

/// Lists rotations, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_key_rotations(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<KeyRotationView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().rotations(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |rotation| rotation.seq);
    let mut items = Vec::with_capacity(found.len());
    for rotation in found {
        items.push(view(rotation, eim).await?);
    }
    Ok(Page { items, next_cursor })
}

/// Lists the devices of a rotation; with `state` only those that stand so. Those that are `running` or `failed` lag behind.
///
/// # Errors
/// When a filter can't be taken; `NotFound`.
pub async fn list_rotating_devices(
    id: &str,
    state: Option<&str>,
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<RotatingDeviceView>, ManageError> {
    let StoredRotation { id: rotation, to, .. } = load(id, eim).await?;
    let (after, limit) = page::bounds(cursor, limit)?;
    let state = match state {
        None => None,
        Some(word) => Some(RotatingState::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = RotatingState::ALL.iter().map(|state| state.as_str()).collect();
            ManageError::invalid("/state", format!("one of {} is expected", words.join(", ")))
        })?),
    };
    eim.flush_sightings().await?;
    let filter = RotatingFilter { rotation, state, after, limit: limit + 1 };
    let mut found = eim.store().rotating_devices(filter).await?;
    let next_cursor = page::cut(&mut found, limit, |device| device.seq);
    let mut items = Vec::with_capacity(found.len());
    for mut device in found {
        let euicc = eim.store().euicc(device.eid).await?.map(|(euicc, _)| euicc);
        if matches!(device.state, RotatingState::Pending | RotatingState::Running) {
            device.reason = Some(why_not_yet(&device, euicc.as_ref(), to, eim).await?);
        }
        items.push(device_view(device, euicc.and_then(|euicc| euicc.last_seen_at)));
    }
    Ok(Page { items, next_cursor })
}

/// What a device of a rotation waits for.
pub(crate) async fn why_not_yet(
    device: &RotatingDevice,
    euicc: Option<&Euicc>,
    to: KeyId,
    eim: &Eim,
) -> Result<String, crate::store::StoreError> {
    if device.state == RotatingState::Pending && device.not_before > eim.clock().now_ms() {
        let before = device.reason.clone().unwrap_or_default();
        return Ok(format!("{before} It is tried again after {}.", rfc3339(device.not_before)).trim_start().to_owned());
    }
    let operation = match device.operation.filter(|_| device.state == RotatingState::Running) {
        Some(id) => eim.store().operation(id).await?,
        None => None,
    };
    let waits = operation.as_ref().is_some_and(|operation| operation.state == OperationState::Queued);
    let filter = OperationFilter {
        eid: Some(device.eid),
        state: Some(OperationState::Delivered),
        after: 0,
        newest: false,
        limit: DELIVERED_LOOKED_AT,
    };
    let delivered = if waits { eim.store().operations(filter).await? } else { vec![] };
    let in_flight = delivered.iter().find(|operation| operation.in_flight());
    Ok(lags_behind(euicc, operation.as_ref(), in_flight, to, |key| eim.keys().get(key).is_some()))
}

/// Pauses, resumes, cancels or closes a rotation. What was delivered to a device can't be called back: after `cancel` it is waited
/// for, after `close` it is not, and the device counts as not reachable.
///
/// # Errors
/// `Conflict` when its state does not allow it; `NotFound`.
pub async fn act_on_key_rotation(
    id: &str,
    verb: &str,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<KeyRotationView, ManageError> {
    let id = load(id, eim).await?.id;
    let function = format!("key rotation {id} {verb}");
    let key = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    for _ in 0..ATTEMPTS {
        let mut rotation = load(&id.to_string(), eim).await?;
        if super::register::earlier(key.as_ref(), eim).await?.is_some() {
            return view(rotation, eim).await;
        }
        let now = eim.clock().now_ms();
        let (state, event_type) = match (verb, rotation.state) {
            ("pause", RotationState::Running) => (RotationState::Paused, "keyRotationPaused"),
            ("resume", RotationState::Paused) => (RotationState::Running, "keyRotationResumed"),
            ("cancel", RotationState::Running | RotationState::Paused) => {
                (RotationState::Cancelling, "keyRotationCancelling")
            }
            ("close", RotationState::Running | RotationState::Paused | RotationState::Cancelling) => {
                (RotationState::Closing, "keyRotationClosing")
            }
            (_, state) => {
                return Err(ManageError::Conflict {
                    slug: "key-rotation-state",
                    message: format!("The rotation is {}: {verb} is not possible.", state.as_str()),
                });
            }
        };
        rotation.state = state;
        rotation.look_at = Some(now);
        let event = told(event_type, &rotation, principal);
        match eim.store().act_on_rotation(rotation, event, key.clone(), now).await? {
            SavedOnce::Done | SavedOnce::Before { .. } => return key_rotation(&id.to_string(), eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(ManageError::Conflict {
        slug: "key-rotation-busy",
        message: "the rotation was changed by others meanwhile; try again".to_owned(),
    })
}

fn told(event_type: &'static str, rotation: &StoredRotation, by: &Principal) -> Event {
    let details = json!({
        "keyRotation": rotation.id,
        "signingKey": rotation.to,
        "state": rotation.state.as_str(),
        "by": { "key": by.key_id, "name": by.name },
    });
    Event::new(event_type, details)
}

async fn load(id: &str, eim: &Eim) -> Result<StoredRotation, ManageError> {
    let not_found = || ManageError::NotFound { what: "key rotation", id: id.chars().take(64).collect() };
    let parsed: OperationId = id.parse().map_err(|_| not_found())?;
    eim.store().rotation(parsed).await?.ok_or_else(not_found)
}

async fn view(rotation: StoredRotation, eim: &Eim) -> Result<KeyRotationView, ManageError> {
    let counts = eim.store().rotation_counts(rotation.id).await?;
    let count = |state: RotatingState| counts.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
    let devices: serde_json::Map<_, _> =
        RotatingState::ALL.iter().map(|state| (state.as_str().to_owned(), count(*state).into())).collect();
    let filter = RotatingFilter {
        rotation: rotation.id,
        state: Some(RotatingState::NotReachable),
        after: 0,
        limit: NOT_REACHABLE_SHOWN,
    };
    let not_reachable = eim.store().rotating_devices(filter).await?;
    let shown = |device: RotatingDevice| NotReachableView {
        eid: device.eid.to_string(),
        reason: device.reason.unwrap_or_default(),
    };
    let spec = RotationSpec::from_stored(&rotation.spec)
        .ok_or(ManageError::Store(crate::store::StoreError::Corrupt { column: "key_rotations.spec" }))?;
    Ok(KeyRotationView {
        id: rotation.id.to_string(),
        to: rotation.to.to_string(),
        state: rotation.state.as_str().to_owned(),
        filter: spec.filter.to_value(),
        rate_per_minute: spec.rate_per_minute,
        label: spec.label,
        scanned: rotation.scanned,
        devices: devices.into(),
        not_reachable: not_reachable.into_iter().map(shown).collect(),
        created_by: rotation.created_by,
        created_at: rfc3339(rotation.created_at),
        ended_at: rotation.ended_at.map(rfc3339),
    })
}

fn device_view(device: RotatingDevice, seen: Option<i64>) -> RotatingDeviceView {
    RotatingDeviceView {
        eid: device.eid.to_string(),
        state: device.state.as_str().to_owned(),
        attempts: device.attempts,
        operation: device.operation.map(|id| id.to_string()),
        reason: device.reason,
        begun_at: device.begun_at.map(rfc3339),
        ended_at: device.ended_at.map(rfc3339),
        last_seen_at: seen.map(rfc3339),
    }
}
