//! Handing devices over to another eIM, and proving to another one that a device was taken over (SGP.32 v1.2 3.5.1).
//!
//! Consent of both sides: here an admin asks for it; the other side takes the offer in, commands the device and signs that it
//! does. What is believed of the proof is the eUICC's own signature in it.

use super::api_key::Principal;
use super::euicc::eid_of;
use super::operation::conclude_deletion;
use super::register::{earlier, idempotency, key_taken};
use super::statement::sign_with;
use super::views::Page;
use super::{FieldError, ManageError, NewAssociation, NewEuicc, cancel_operation, page};
use crate::Eim;
use crate::asn1::{
    self, Eco, EimConfigurationData, EimPublicKeyData, EuiccPackageResult, EuiccPackageResultDataSigned,
    EuiccResultData, Lenient, ListEimResult,
};
use crate::domain::audit::AuditNote;
use crate::domain::fleet::filter::DeviceFilter;
use crate::domain::handover::{HandoverDeviceState, HandoverProof, HandoverState};
use crate::domain::statement::{Purpose, SignedStatement, digest, key_id};
use crate::domain::{Euicc, EuiccState, Event, LearnedBy, OperationState, Request, rfc3339};
use crate::ids::{AssociationToken, CounterValue, Eid, EimId, KeyId, OperationId};
use crate::pki;
use crate::store::handover::{HandoverDevice, HandoverMade, HandoverRetried, StoredHandover};
use crate::store::switch::SavedOnce;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How many devices a hand-over may have.
const DEVICES_MAX: usize = 100_000;
/// How many proofs or confirmations one request may bring.
const PROVEN_MAX: usize = 1_000;
/// How many rows are read at once.
const PAGE: i64 = 500;
/// How many devices of the inventory are looked through at once.
const SWEPT_AT_ONCE: i64 = 2_000;
/// How many devices are begun within a minute when nobody says, and at most.
const RATE: i64 = 600;
const RATE_MAX: i64 = 100_000;
/// The longest configuration, octets.
const CONFIGURATION_MAX_BYTES: usize = 8 * 1024;

/// A hand-over of devices to another eIM.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandoverView {
    /// Its name. The other side names it in its proofs.
    pub id: String,
    /// The eIM that takes over.
    pub eim_id: String,
    /// `never`, or `afterProof`: this eIM is deleted from a device once the other one has proven that it commands it.
    pub delete_own: String,
    /// The id of the key in its configuration: what its proofs are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
    /// `running`, `paused`, `cancelled` or `ended`.
    pub state: String,
    /// How many devices are begun within a minute at most.
    pub rate_per_minute: i64,
    /// How many devices it has.
    pub devices: i64,
    /// How many devices are in each state; in the list of hand-overs it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<BTreeMap<String, i64>>,
    /// When it was made.
    pub created_at: String,
    /// When it ended or was called off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// A device of a hand-over.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandoverDeviceView {
    /// The device.
    pub eid: String,
    /// `queued`, `adding`, `added`, `proven`, `deleting`, `handedOver`, `failed` or `cancelled`.
    pub state: String,
    /// Whether the point of no return is passed: deleteEim of this eIM was delivered to the device.
    pub past_point_of_no_return: bool,
    /// Whether it failed before that point, so that `retryFailed` tries it again.
    pub may_be_retried: bool,
    /// The operation that it is at, or was at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The associationToken that the eUICC gave to the other eIM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_token: Option<i64>,
    /// What proves that the other eIM commands it: the digest of its statement, or who has confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Why it ended otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it came to where it stands.
    pub changed_at: String,
}

fn view(handover: StoredHandover) -> HandoverView {
    let key = stored_configuration(&handover).and_then(|configuration| public_key(&configuration));
    HandoverView {
        id: handover.id.to_string(),
        signing_key: key.map(|key| key_id(&key)),
        rate_per_minute: handover.rate_per_minute,
        eim_id: handover.eim_id,
        delete_own: if handover.delete_own { "afterProof" } else { "never" }.to_owned(),
        state: handover.state.as_str().to_owned(),
        devices: handover.devices,
        totals: None,
        created_at: rfc3339(handover.created_at),
        ended_at: handover.ended_at.map(rfc3339),
    }
}

fn device_view(device: HandoverDevice) -> HandoverDeviceView {
    let undelivered = matches!(
        device.operation_state,
        None | Some(OperationState::Queued | OperationState::Expired | OperationState::Cancelled)
    );
    let past = match device.state {
        HandoverDeviceState::HandedOver => true,
        HandoverDeviceState::Deleting => !undelivered,
        HandoverDeviceState::Failed => device.retry_to.is_none() && device.proof.is_some(),
        _ => false,
    };
    HandoverDeviceView {
        eid: device.eid.to_string(),
        state: device.state.as_str().to_owned(),
        past_point_of_no_return: past,
        may_be_retried: device.retry_to.is_some(),
        operation: device.operation.map(|id| id.to_string()),
        association_token: device.token,
        proof: device.proof,
        reason: device.reason,
        changed_at: rfc3339(device.changed_at),
    }
}

fn object(body: Value, known: &[&str]) -> Result<Map<String, Value>, ManageError> {
    let Value::Object(members) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    let errors: Vec<FieldError> =
        unknown.map(|name| FieldError::new(format!("/{name}"), "this member is not known here")).collect();
    if errors.is_empty() { Ok(members) } else { Err(ManageError::Invalid(errors)) }
}

/// Begins to hand devices over: `configuration` of the other eIM as in addEim, `eids` or `filter`, `deleteOwn`, `ratePerMinute`.
/// The token is always asked for from the eUICC.
///
/// # Errors
/// What can't be taken; `Conflict` when a device is in another hand-over.
pub async fn create_handover(
    body: Value,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<HandoverView, ManageError> {
    let now = eim.clock().now_ms();
    let once = idempotency_key.map(|key| idempotency(key, "handover", &body, eim)).transpose()?;
    if let Some(id) = earlier(once.as_ref(), eim).await? {
        return handover(&id, eim).await;
    }
    let mut members = object(body, &["configuration", "eids", "filter", "deleteOwn", "ratePerMinute"])?;
    let configuration = configuration(members.remove("configuration"), eim)?;
    let delete_own = match members.get("deleteOwn").map(Value::as_str) {
        None | Some(Some("never")) => false,
        Some(Some("afterProof")) => true,
        Some(_) => return Err(ManageError::invalid("/deleteOwn", "never or afterProof is expected")),
    };
    let rate = match members.get("ratePerMinute") {
        None | Some(Value::Null) => Some(RATE),
        Some(value) => value.as_i64().filter(|rate| (1..=RATE_MAX).contains(rate)),
    };
    let rate = rate
        .ok_or_else(|| ManageError::invalid("/ratePerMinute", format!("a number from 1 to {RATE_MAX} is expected")))?;
    let eids = devices(&members, now, eim).await?;
    let encoded = asn1::encode(&configuration)
        .map_err(|_| ManageError::invalid("/configuration", "the configuration has no encoding"))?;
    if encoded.len() > CONFIGURATION_MAX_BYTES {
        let message = format!("a configuration of at most {CONFIGURATION_MAX_BYTES} octets is expected");
        return Err(ManageError::invalid("/configuration", message));
    }
    let new = StoredHandover {
        seq: 0,
        id: eim.entropy().operation_id(now),
        eim_id: configuration.eim_id.to_string(),
        configuration: hex::encode(encoded),
        delete_own,
        state: HandoverState::Running,
        devices: i64::try_from(eids.len()).unwrap_or(i64::MAX),
        created_at: now,
        ended_at: None,
        rate_per_minute: rate,
    };
    let id = new.id.to_string();
    match eim.store().insert_handover(new, eids, once).await? {
        HandoverMade::Once(SavedOnce::Done) => handover(&id, eim).await,
        HandoverMade::Once(SavedOnce::Before { resource }) => handover(&resource, eim).await,
        HandoverMade::Once(_) => Err(key_taken()),
        HandoverMade::Unknown(eid) => Err(ManageError::invalid("/eids", format!("there is no eUICC {eid}"))),
        HandoverMade::Busy(eid) => Err(ManageError::Conflict {
            slug: "handover-open",
            message: format!("The eUICC {eid} is in a hand-over that runs. Wait for its end, or cancel it."),
        }),
    }
}

/// The other eIM's configuration, with the token -1: the eUICC allocates it.
fn configuration(given: Option<Value>, eim: &Eim) -> Result<EimConfigurationData, ManageError> {
    let Some(given) = given else {
        return Err(ManageError::invalid("/configuration", "the other eIM's configuration is expected, as in addEim"));
    };
    let mut body = Map::new();
    body.insert("eco".to_owned(), json!([{ "addEim": given }]));
    let moved = |error: FieldError| {
        let pointer = error.pointer.replacen("/eco/0/addEim", "/configuration", 1);
        FieldError::new(pointer, error.message)
    };
    let parsed =
        Request::parse(&body).map_err(|errors| ManageError::Invalid(errors.into_iter().map(moved).collect()))?;
    let Request::Eco(mut list) = parsed else { return Err(ManageError::invalid("/configuration", "as in addEim")) };
    let Some(Eco::AddEim(mut configuration)) = list.pop() else {
        return Err(ManageError::invalid("/configuration", "as in addEim"));
    };
    if eim.identity_named(configuration.eim_id.as_str()).is_some() {
        return Err(ManageError::invalid("/configuration/eimId", "another eIM than this one is expected"));
    }
    if public_key(&configuration).is_none() {
        let message = "the other eIM's key or certificate is expected: its proofs are verified with it";
        return Err(ManageError::invalid("/configuration/eimPublicKeyData", message));
    }
    let last = CounterValue::MAX.value();
    if configuration.counter_value == Some(last) {
        let message =
            format!("the other eIM could sign no package with a counter above {last}: a lower one is expected");
        return Err(ManageError::invalid("/configuration/counterValue", message));
    }
    configuration.counter_value = configuration.counter_value.or(Some(0));
    configuration.association_token = Some(-1);
    Ok(configuration)
}

/// The key of an eIM, SubjectPublicKeyInfo in DER.
fn public_key(configuration: &EimConfigurationData) -> Option<Vec<u8>> {
    match configuration.eim_public_key_data.as_ref()? {
        EimPublicKeyData::EimPublicKey(key) => Some(pki::PublicKey::from_spki(key.der()).ok()?.to_spki()),
        EimPublicKeyData::EimCertificate(certificate) => {
            Some(pki::Certificate::parse(certificate.der()).ok()?.public_key().to_spki())
        }
    }
}

/// The devices that `eids` or `filter` names, sorted.
async fn devices(members: &Map<String, Value>, now: i64, eim: &Eim) -> Result<Vec<Eid>, ManageError> {
    match (members.get("eids"), members.get("filter")) {
        (Some(Value::Array(list)), None) if (1..=DEVICES_MAX).contains(&list.len()) => {
            let mut eids = BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                let eid = item
                    .as_str()
                    .and_then(|text| text.parse::<Eid>().ok())
                    .ok_or_else(|| ManageError::invalid(format!("/eids/{index}"), "an EID of 32 digits is expected"))?;
                eids.insert(eid);
            }
            Ok(eids.into_iter().collect())
        }
        (None, Some(filter)) => {
            let mut errors = Vec::new();
            let filter = DeviceFilter::from_api(filter, "/filter", &mut errors);
            let found = matching(&filter.ok_or(ManageError::Invalid(errors))?, now, eim).await?;
            match found.len() {
                0 => Err(ManageError::invalid("/filter", "no device that this eIM commands matches")),
                1..=DEVICES_MAX => Ok(found),
                _ => Err(ManageError::invalid("/filter", format!("more than {DEVICES_MAX} devices match"))),
            }
        }
        _ => {
            let message = format!("either eids, a list of 1 to {DEVICES_MAX} EIDs, or filter is expected");
            Err(ManageError::invalid("", message))
        }
    }
}

/// The devices that match and that this eIM is associated with, sorted; a page beyond what a hand-over may have, at most.
async fn matching(filter: &DeviceFilter, now: i64, eim: &Eim) -> Result<Vec<Eid>, ManageError> {
    if filter.counts_time() {
        eim.flush_sightings().await?;
    }
    let meant = |euicc: &Euicc| filter.matches(euicc, now) && euicc.state != EuiccState::Unmanaged;
    let mut found = Vec::new();
    if let Some(eids) = filter.eids() {
        for eid in eids {
            found.extend(eim.store().euicc(*eid).await?.filter(|(euicc, _)| meant(euicc)).map(|(euicc, _)| euicc.eid));
        }
        return Ok(found);
    }
    let mut after = 0;
    while found.len() <= DEVICES_MAX {
        let page = eim.store().scan_euiccs(filter.tag_hint().map(str::to_owned), after, SWEPT_AT_ONCE).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        found.extend(page.iter().filter(|(_, euicc)| meant(euicc)).map(|(_, euicc)| euicc.eid));
    }
    found.sort_unstable();
    Ok(found)
}

fn no_handover(id: &str) -> ManageError {
    ManageError::NotFound { what: "hand-over", id: id.chars().take(64).collect() }
}

async fn load(id: &str, eim: &Eim) -> Result<StoredHandover, ManageError> {
    let parsed: OperationId = id.parse().map_err(|_| no_handover(id))?;
    eim.store().handover(parsed).await?.ok_or_else(|| no_handover(id))
}

/// Shows a hand-over with its totals.
///
/// # Errors
/// When it is not known.
pub async fn handover(id: &str, eim: &Eim) -> Result<HandoverView, ManageError> {
    let stored = load(id, eim).await?;
    let totals = eim.store().handover_counts(stored.id).await?.into_iter().collect();
    Ok(HandoverView { totals: Some(totals), ..view(stored) })
}

/// Lists hand-overs, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_handovers(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<HandoverView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().handovers(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |handover| handover.seq);
    Ok(Page { items: found.into_iter().map(view).collect(), next_cursor })
}

/// Lists the devices of a hand-over.
///
/// # Errors
/// When it is not known, or a filter can't be taken.
pub async fn list_handover_devices(
    id: &str,
    state: Option<&str>,
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<HandoverDeviceView>, ManageError> {
    let stored = load(id, eim).await?;
    let state = match state {
        None => None,
        Some(word) => Some(HandoverDeviceState::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = HandoverDeviceState::ALL.iter().map(|state| state.as_str()).collect();
            ManageError::invalid("/state", format!("one of {} is expected", words.join(", ")))
        })?),
    };
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().handover_devices(stored.id, state, after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |device| device.seq);
    Ok(Page { items: found.into_iter().map(device_view).collect(), next_cursor })
}

/// An offer under way: the devices to which the other eIM was added, in the notation that its import of eUICCs takes.
#[derive(Debug)]
pub struct HandoverOffer {
    handover: StoredHandover,
    counter: i64,
    key: Option<KeyId>,
    after: i64,
    ended: bool,
}

/// Begins an offer.
///
/// # Errors
/// When the hand-over is not known.
pub async fn offer_handover(id: &str, eim: &Eim) -> Result<HandoverOffer, ManageError> {
    let handover = load(id, eim).await?;
    let configuration = stored_configuration(&handover);
    let counter = configuration.as_ref().and_then(|data| data.counter_value).unwrap_or(0);
    let key = configuration.as_ref().and_then(public_key).map(|spki| KeyId::of_spki(&spki));
    Ok(HandoverOffer { handover, counter, key, after: 0, ended: false })
}

fn stored_configuration(handover: &StoredHandover) -> Option<EimConfigurationData> {
    asn1::decode(&hex::decode(&handover.configuration).ok()?).ok()
}

impl HandoverOffer {
    /// The next part; `None` when all is out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_part(&mut self, eim: &Eim) -> Result<Option<String>, ManageError> {
        use HandoverDeviceState::{Added, Deleting, HandedOver, Proven};
        let mut out = String::new();
        while out.is_empty() && !self.ended {
            let found = eim.store().handover_devices(self.handover.id, None, self.after, PAGE).await?;
            self.ended = i64::try_from(found.len()).unwrap_or(PAGE) < PAGE;
            self.after = found.last().map_or(self.after, |device| device.seq);
            for device in found.into_iter().filter(|it| matches!(it.state, Added | Proven | Deleting | HandedOver)) {
                let Some((euicc, _)) = eim.store().euicc(device.eid).await? else { continue };
                let base64 = |der: &Option<Vec<u8>>| der.as_ref().map(|der| STANDARD.encode(der));
                let row = NewEuicc {
                    eid: device.eid.to_string(),
                    label: None,
                    tags: None,
                    association: Some(NewAssociation {
                        counter_value: Some(self.counter),
                        association_token: device.token,
                        learned_by: Some(LearnedBy::Handover.as_str().to_owned()),
                        told_by: Some(eim.eim_id_of(&euicc).as_str().to_owned()),
                        // As the eUICC was told, whatever the other eIM signs with by now.
                        eim_id: Some(self.handover.eim_id.clone()),
                        signing_key: self.key.map(|key| key.to_string()),
                    }),
                    eum_certificate: base64(&euicc.eum_certificate),
                    euicc_certificate: base64(&euicc.euicc_certificate),
                    result_policy: None,
                };
                // Texts and numbers only: this can't fail.
                out.push_str(&serde_json::to_string(&row).unwrap_or_default());
                out.push('\n');
            }
        }
        Ok(Some(out).filter(|out| !out.is_empty()))
    }
}

/// The side that takes over: its signed word that it commands a device, with a result that the eUICC has signed for it.
/// `signing_key` is the id of the key that signs, where the other eIM was told another one than the eUICC trusts by now.
///
/// # Errors
/// `NotFound` when the eUICC is not known; `Conflict` when it has answered no package of this eIM yet.
pub async fn handover_proof(
    eid: &str,
    handover: &str,
    signing_key: Option<&str>,
    eim: &Eim,
) -> Result<SignedStatement, ManageError> {
    let eid = eid_of(eid)?;
    let known = eim.store().euicc(eid).await?;
    let (euicc, _) = known.ok_or_else(|| ManageError::NotFound { what: "eUICC", id: eid.to_string() })?;
    if handover.is_empty()
        || handover.len() > 64
        || !handover.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    {
        let message = "the name that the other eIM gave to the hand-over is expected: 1 to 64 letters, digits and -";
        return Err(ManageError::invalid("/handover", message));
    }
    let named = signing_key.map(|text| own_key(text, &euicc, eim)).transpose()?;
    let result = eim.store().last_believed_result(eid).await?.ok_or_else(|| ManageError::Conflict {
        slug: "no-proof-yet",
        message:
            "The device has answered no package of this eIM yet. Ask it for its profiles (listProfileInfo) and wait."
                .to_owned(),
    })?;
    let now = eim.clock().now_ms();
    let says = HandoverProof {
        eim_id: eim.eim_id_of(&euicc).as_str().to_owned(),
        handover: handover.to_owned(),
        eid: eid.to_string(),
        at: rfc3339(now),
        result: hex::encode(result),
    };
    // The key that the eUICC trusts is the one that the other eIM was told, unless it was rotated since.
    let key = match (named, euicc.signing_key) {
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => eim.current_key(eim.eim_id_of(&euicc))?.id,
    };
    let signed = sign_with(key, Purpose::HandoverProof, &says, eim).await?;
    let details = json!({
        "key": key,
        "digest": digest(signed.statement.as_bytes()),
        "purpose": "handoverProof",
        "handover": handover,
    });
    eim.store().insert_audit(AuditNote::new("keyUsed", details).of_eid(eid), now).await?;
    Ok(signed)
}

/// A key of the eIM that an eUICC knows.
fn own_key(text: &str, euicc: &Euicc, eim: &Eim) -> Result<KeyId, ManageError> {
    let key = text.parse::<KeyId>().ok().and_then(|id| eim.keys().get(id));
    key.filter(|key| key.eim_id == *eim.eim_id_of(euicc)).map(|key| key.id).ok_or_else(|| {
        let message = "the id of a signing key of this eIM that is loaded is expected; see GET /api/v1/signing-keys";
        ManageError::invalid("/signingKey", message)
    })
}

/// The side that hands over: takes proofs of the other side, all or none.
///
/// # Errors
/// What does not prove anything, by its place; `Conflict` when a device does not wait for it, or the hand-over does not run.
pub async fn prove_handover(
    id: &str,
    body: Value,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<HandoverView, ManageError> {
    let stored = load(id, eim).await?;
    let function = format!("handover {} proofs", stored.id);
    let once = idempotency_key.map(|key| idempotency(key, &function, &body, eim)).transpose()?;
    if earlier(once.as_ref(), eim).await?.is_some() {
        return handover(id, eim).await;
    }
    let mut members = object(body, &["proofs"])?;
    let list = match members.remove("proofs") {
        Some(Value::Array(list)) if (1..=PROVEN_MAX).contains(&list.len()) => list,
        _ => return Err(ManageError::invalid("/proofs", format!("a list of 1 to {PROVEN_MAX} proofs is expected"))),
    };
    let Some(configuration) = stored_configuration(&stored) else { return Err(no_handover(id)) };
    let mut proven = BTreeMap::new();
    let mut errors = Vec::new();
    for (index, item) in list.into_iter().enumerate() {
        match proof(item, &stored, &configuration, eim).await? {
            Ok((eid, proof)) => {
                proven.insert(eid, proof);
            }
            Err(message) => errors.push(FieldError::new(format!("/proofs/{index}"), message)),
        }
    }
    if !errors.is_empty() {
        return Err(ManageError::Invalid(errors));
    }
    settle(stored.id, proven.into_iter().collect(), true, once, eim).await
}

/// Verifies a proof; the inner error says what does not fit.
async fn proof(
    item: Value,
    handover: &StoredHandover,
    configuration: &EimConfigurationData,
    eim: &Eim,
) -> Result<Result<(Eid, String), String>, ManageError> {
    let wrong = |message: &str| Ok(Err(message.to_owned()));
    let Ok(signed) = serde_json::from_value::<SignedStatement>(item) else {
        return wrong("a proof as the other eIM gives it is expected: statement, publicKey, signature");
    };
    // The key that the eUICC was given for the other eIM, and no other one.
    if public_key(configuration).map(hex::encode) != Some(signed.public_key.to_lowercase()) {
        return wrong(
            "it is not signed with the key in the configuration of the other eIM; where that has rotated the key, it gives the \
             proof with signingKey",
        );
    }
    let says: HandoverProof = match signed.open(Purpose::HandoverProof) {
        Ok(says) => says,
        Err(error) => return wrong(&error.to_string()),
    };
    if says.eim_id != handover.eim_id || says.handover != handover.id.to_string() {
        return wrong("it is of another eIM, or about another hand-over");
    }
    let Ok(eid) = says.eid.parse::<Eid>() else { return wrong("the EID in it can't be read") };
    let Some(device) = eim.store().handover_device(handover.id, eid).await? else {
        return wrong("the device is not in this hand-over");
    };
    if !matches!(device.state, HandoverDeviceState::Added | HandoverDeviceState::Deleting) {
        return wrong("the device does not wait for a proof");
    }
    let Some((euicc, _)) = eim.store().euicc(eid).await? else { return wrong("the device is not known") };
    let (Some(eum), Some(certificate)) = (&euicc.eum_certificate, &euicc.euicc_certificate) else {
        return wrong("the certificates of the eUICC are not known here, so its word can't be verified");
    };
    let chain = match pki::verify_euicc_chain(eim.trust(), eum, certificate, eim.clock().now(), &eid) {
        Ok(chain) => chain,
        Err(error) => return Ok(Err(format!("the certificates of the eUICC are not trusted: {error}"))),
    };
    let result = hex::decode(&says.result).ok().and_then(|raw| asn1::decode::<EuiccPackageResult>(&raw).ok());
    let Some(EuiccPackageResult::EuiccPackageResultSigned(result)) = result else {
        return wrong("the result in it can't be read");
    };
    // The token was given to the other eIM by this addEim, so no older result verifies with it.
    let token = device.token.map(AssociationToken::new);
    let verified = match pki::verify_package_result(&chain, &result, token) {
        Ok(verified) => verified,
        Err(error) => return Ok(Err(format!("the eUICC did not sign the result in it: {error}"))),
    };
    if verified.value().eim_id.as_str() != handover.eim_id {
        return wrong("the eUICC has signed the result for another eIM");
    }
    if device.state == HandoverDeviceState::Deleting && !lists_without(verified.value(), eim.eim_id_of(&euicc)) {
        return wrong(
            "the device is to delete this eIM, so a result is expected that lists the eIMs of the eUICC without this one: have the other \
             eIM ask for them (eco listEim)",
        );
    }
    Ok(Ok((eid, format!("statement {}", digest(signed.statement.as_bytes())))))
}

/// Whether a result lists the eIMs of the eUICC, and this one is not among them.
fn lists_without(result: &EuiccPackageResultDataSigned, own: &EimId) -> bool {
    result.euicc_result.iter().any(|entry| match entry {
        Lenient::Known(EuiccResultData::ListEimResult(ListEimResult::EimIdList(list))) => {
            list.iter().all(|listed| listed.eim_id.as_str() != own.as_str())
        }
        _ => false,
    })
}

/// The side that hands over: an operator says that the other eIM commands devices, on their own word; of a device that was told to delete
/// this eIM and did not say that it has, that it is so.
///
/// # Errors
/// What can't be taken; `Conflict` when a device does not wait for it, or the hand-over does not run.
pub async fn confirm_handover(
    id: &str,
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<HandoverView, ManageError> {
    let stored = load(id, eim).await?;
    let function = format!("handover {} confirm", stored.id);
    let once = idempotency_key.map(|key| idempotency(key, &function, &body, eim)).transpose()?;
    if earlier(once.as_ref(), eim).await?.is_some() {
        return handover(id, eim).await;
    }
    let members = object(body, &["eids"])?;
    let list = members.get("eids").and_then(Value::as_array).filter(|list| (1..=PROVEN_MAX).contains(&list.len()));
    let Some(list) = list else {
        return Err(ManageError::invalid("/eids", format!("a list of 1 to {PROVEN_MAX} EIDs is expected")));
    };
    let mut proven = BTreeMap::new();
    for (index, item) in list.iter().enumerate() {
        let eid = item.as_str().and_then(|text| text.parse::<Eid>().ok());
        let Some(eid) = eid else {
            return Err(ManageError::invalid(format!("/eids/{index}"), "an EID of 32 digits is expected"));
        };
        proven.insert(eid, format!("confirmed by key {} ({})", principal.key_id, principal.name));
    }
    settle(stored.id, proven.into_iter().collect(), false, once, eim).await
}

/// Takes proofs of devices that wait for them, or that were told to delete this eIM and did not say that they have. `signed`: the eUICC
/// has said it, and not an operator.
async fn settle(
    id: OperationId,
    proven: Vec<(Eid, String)>,
    signed: bool,
    once: Option<crate::store::IdempotencyKey>,
    eim: &Eim,
) -> Result<HandoverView, ManageError> {
    let now = eim.clock().now_ms();
    let (mut waiting, mut deleting) = (vec![], vec![]);
    for (eid, proof) in proven {
        let device = eim.store().handover_device(id, eid).await?;
        let operation =
            device.filter(|device| device.state == HandoverDeviceState::Deleting).and_then(|it| it.operation);
        match operation {
            Some(operation) => deleting.push((operation, proof)),
            None => waiting.push((eid, proof)),
        }
    }
    match eim.store().prove_handover(id, waiting, once, now).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => {}
        SavedOnce::KeyTaken => return Err(key_taken()),
        SavedOnce::Conflict => {
            return Err(ManageError::Conflict {
                slug: "handover-not-waiting",
                message: "The hand-over does not run, or one of the devices does not wait for a proof.".to_owned(),
            });
        }
    }
    for (operation, proof) in deleting {
        conclude_deletion(&operation.to_string(), &proof, signed, eim).await?;
    }
    eim.store().end_handover(id, now).await?;
    handover(&id.to_string(), eim).await
}

/// Calls a hand-over off. Nothing more is begun, and what was not delivered yet is withdrawn. The point of no return of a device
/// is the delivery of deleteEim of this eIM: behind it the device goes on to its end.
///
/// # Errors
/// `Conflict` when it does not run.
pub async fn cancel_handover(id: &str, idempotency_key: Option<&str>, eim: &Eim) -> Result<HandoverView, ManageError> {
    let stored = load(id, eim).await?;
    let function = format!("handover {} cancel", stored.id);
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    let called_off = eim.store().call_off_handover(stored.id, once, eim.clock().now_ms()).await?;
    match called_off.saved {
        SavedOnce::Done | SavedOnce::Before { .. } => {}
        SavedOnce::KeyTaken => return Err(key_taken()),
        SavedOnce::Conflict => {
            return Err(ManageError::Conflict {
                slug: "handover-ended",
                message: "The hand-over has ended or was called off.".to_owned(),
            });
        }
    }
    for operation in called_off.operations {
        match cancel_operation(&operation, None, eim).await {
            // Delivered: the device may have carried it out, so its result is waited for.
            Ok(_) | Err(ManageError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    handover(id, eim).await
}

/// Pauses a hand-over, so that nothing more is begun, or resumes it. What was begun goes on, and proofs are taken meanwhile.
///
/// # Errors
/// `Conflict` when its state does not allow it.
pub async fn act_on_handover(
    id: &str,
    verb: HandoverVerb,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<HandoverView, ManageError> {
    let stored = load(id, eim).await?;
    let by = json!({ "by": { "key": principal.key_id, "name": principal.name } });
    let (word, to, event) = match verb {
        HandoverVerb::Pause => ("pause", HandoverState::Paused, Event::new("handoverPaused", by)),
        HandoverVerb::Resume => ("resume", HandoverState::Running, Event::new("handoverResumed", by)),
    };
    let function = format!("handover {} {word}", stored.id);
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    let now = eim.clock().now_ms();
    match eim.store().move_handover(stored.id, to, event, once, now).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => {}
        SavedOnce::KeyTaken => return Err(key_taken()),
        SavedOnce::Conflict => {
            return Err(ManageError::Conflict {
                slug: "handover-state",
                message: format!("The hand-over is {}: {word} is not possible.", stored.state.as_str()),
            });
        }
    }
    // Its last device may have come to its end meanwhile.
    eim.store().end_handover(stored.id, now).await?;
    handover(id, eim).await
}

/// What can be done to a hand-over that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoverVerb {
    /// Begin nothing more.
    Pause,
    /// Go on.
    Resume,
}

/// Tries the devices of a hand-over again that failed before the point of no return. One that had ended runs again.
///
/// # Errors
/// `Conflict` when none did, one of them is in another hand-over, or this one was called off.
pub async fn retry_handover(id: &str, idempotency_key: Option<&str>, eim: &Eim) -> Result<HandoverView, ManageError> {
    let stored = load(id, eim).await?;
    let function = format!("handover {} retryFailed", stored.id);
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    let conflict = |slug, message: String| Err(ManageError::Conflict { slug, message });
    match eim.store().retry_handover(stored.id, once, eim.clock().now_ms()).await? {
        HandoverRetried::Once(SavedOnce::Done | SavedOnce::Before { .. }) => handover(id, eim).await,
        HandoverRetried::Once(SavedOnce::KeyTaken) => Err(key_taken()),
        HandoverRetried::Once(SavedOnce::Conflict) => {
            conflict("handover-ended", "The hand-over was called off.".to_owned())
        }
        HandoverRetried::Nothing => conflict(
            "nothing-to-retry",
            "No device of the hand-over has failed before the point of no return.".to_owned(),
        ),
        HandoverRetried::Busy(eid) => conflict(
            "handover-open",
            format!("The eUICC {eid} is in another hand-over meanwhile. Wait for its end, or cancel that one."),
        ),
    }
}
