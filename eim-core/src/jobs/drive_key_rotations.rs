//! Gives devices another signing key: begins them at their pace, and follows what became of each.
//!
//! A device counts as rotated when its eUICC has said so in a signed word, and not before; until then it is signed for with the old
//! key. Everything stands in rows, so a crash goes on where it was and of several nodes one begins a device.

use super::count;
use crate::Eim;
use crate::domain::keys::{
    KEY_WITHHELD, KeyChange, LAST_USUAL, RotatingState, RotationState, rotation_request, unreachable,
};
use crate::domain::{Event, Kind, NewOperation, OperationState, Origin};
use crate::ids::{Eid, OperationId};
use crate::manage::key_rotation::{RotationSpec, age_of, key_configuration, sweep, why_not_yet};
use crate::ports::RingKey;
use crate::store::keys::{RotatingDevice, RotatingFilter, StoredRotation};
use crate::store::{ResultKeys, Saved, StoreError};
use serde_json::json;

/// How many rotations are looked at together.
const ROTATIONS: i64 = 20;
/// How many devices are followed up and begun at once.
const FOLLOWED_AT_ONCE: i64 = 200;
const BEGUN_AT_ONCE: i64 = 200;
/// How often a device is begun that kept its key without refusing the new one.
const ATTEMPTS: i64 = 3;
/// The wait before the next time, for each time before.
const AGAIN_AFTER_MS: i64 = 600_000;
/// The span in which the rate is counted.
const MINUTE_MS: i64 = 60_000;
/// When a rotation is looked at again in which nothing happened.
const IDLE_MS: i64 = 10_000;
/// How many devices that were not reached the event of the end names.
const NAMED_AT_END: i64 = 100;

/// Looks at rotations of keys that are due, and gives how many there were.
///
/// # Errors
/// When the store fails.
pub async fn drive_key_rotations(eim: &Eim) -> Result<usize, StoreError> {
    let done = drive(eim).await;
    if !matches!(done, Ok(0)) {
        count("drive_key_rotations", &done, eim);
    }
    done
}

async fn drive(eim: &Eim) -> Result<usize, StoreError> {
    let due = eim.store().due_rotations(eim.clock().now_ms(), ROTATIONS).await?;
    let found = due.len();
    for (tenant, id) in due {
        match look(id, &eim.of(tenant)).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, rotation = %id, "a key rotation can't be read");
            }
            done => done?,
        }
    }
    Ok(found)
}

async fn look(id: OperationId, eim: &Eim) -> Result<(), StoreError> {
    let now = eim.clock().now_ms();
    let Some(mut rotation) = eim.store().rotation(id).await? else { return Ok(()) };
    let spec = RotationSpec::from_stored(&rotation.spec).ok_or(StoreError::Corrupt { column: "key_rotations.spec" })?;
    let mut joining = Vec::new();
    let mut moved = 0;
    let to = eim.keys().get(rotation.to);
    if to.is_none() && rotation.state == RotationState::Running {
        // Another server has the key; this one leaves the rotation to it.
        return Ok(());
    }
    if let Some(to) = to.filter(|_| rotation.state == RotationState::Running && !rotation.scanned) {
        joining = sweep(&mut rotation, &spec.filter, to, now, eim).await?;
        moved += 1;
    }
    moved += follow_all(&rotation, now, eim).await?;
    moved += leave_stranded(&rotation, now, eim).await?;
    match rotation.state {
        RotationState::Running => {
            if let Some(to) = to {
                moved += begin(&rotation, &spec, to, now, eim).await?;
            }
        }
        RotationState::Cancelling => {
            eim.store().withdraw_rotating(id, now).await?;
            moved += withdraw(&rotation, now, eim).await?;
        }
        RotationState::Closing => {
            eim.store().withdraw_rotating(id, now).await?;
            moved += withdraw(&rotation, now, eim).await?;
            moved += follow_all(&rotation, now, eim).await?;
            moved += leave_the_rest(&rotation, now, eim).await?;
        }
        _ => {}
    }
    let event = end(&mut rotation, joining.is_empty(), now, eim).await?;
    rotation.look_at = rotation.state.is_open().then_some(now + if moved > 0 { 0 } else { IDLE_MS });
    // Somebody who was faster has looked, too.
    eim.store().save_rotation(rotation, joining, event, now).await?;
    Ok(())
}

/// Follows up the devices whose operation is not open any more.
async fn follow_all(rotation: &StoredRotation, now: i64, eim: &Eim) -> Result<i64, StoreError> {
    let (mut moved, mut after) = (0, 0);
    loop {
        let page = eim.store().answered_rotating(rotation.id, after, FOLLOWED_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        after = last.seq;
        for device in page {
            moved += i64::from(follow(device, rotation, now, eim).await?);
        }
    }
}

/// Gives up devices that were begun and that nobody can give a key any more, as that of which this eIM was deleted.
async fn leave_stranded(rotation: &StoredRotation, now: i64, eim: &Eim) -> Result<i64, StoreError> {
    let (mut moved, mut after) = (0, 0);
    loop {
        let page = eim.store().stranded_rotating(rotation.id, after, FOLLOWED_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        after = last.seq;
        for device in page {
            let euicc = eim.store().euicc(device.eid).await?.map(|(euicc, _)| euicc);
            if euicc.as_ref().is_some_and(|euicc| euicc.signing_key == Some(rotation.to)) {
                continue;
            }
            let Some(reason) = unreachable(euicc.as_ref()) else { continue };
            withdraw_one(&device, now, eim).await?;
            moved += i64::from(leave(device, reason.to_owned(), rotation, now, eim).await?);
        }
    }
}

/// Gives up whatever is still waited for. What was delivered may still be answered: then the key of the device changes, by the
/// eUICC's own word, and this rotation has ended without it.
async fn leave_the_rest(rotation: &StoredRotation, now: i64, eim: &Eim) -> Result<i64, StoreError> {
    let (mut moved, mut after) = (0, 0);
    loop {
        let page = eim.store().rotating_devices(running(rotation.id, after)).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        after = last.seq;
        // Whether a device has polled is told as the reason.
        eim.flush_sightings_of(&page.iter().map(|device| device.eid).collect::<Vec<_>>()).await?;
        for device in page {
            let euicc = eim.store().euicc(device.eid).await?.map(|(euicc, _)| euicc);
            if withdraw_one(&device, now, eim).await? {
                // It is followed up at the next look.
                moved += 1;
                continue;
            }
            let reason = why_not_yet(&device, euicc.as_ref(), rotation.to, eim).await?;
            moved += i64::from(leave(device, reason, rotation, now, eim).await?);
        }
    }
}

async fn leave(
    mut device: RotatingDevice,
    reason: String,
    rotation: &StoredRotation,
    now: i64,
    eim: &Eim,
) -> Result<bool, StoreError> {
    let was = device.state;
    device.state = RotatingState::NotReachable;
    device.reason = Some(reason);
    device.ended_at = Some(now);
    eim.store().move_rotating(rotation.id, was, device).await
}

fn running(rotation: OperationId, after: i64) -> RotatingFilter {
    RotatingFilter { rotation, state: Some(RotatingState::Running), after, limit: FOLLOWED_AT_ONCE }
}

/// Follows up a device whose operation is not open any more; `false` while it has to be waited for.
async fn follow(
    mut device: RotatingDevice,
    rotation: &StoredRotation,
    now: i64,
    eim: &Eim,
) -> Result<bool, StoreError> {
    let (state, reason) = match eim.store().euicc(device.eid).await? {
        None => (RotatingState::NotReachable, unreachable(None).map(str::to_owned)),
        Some((euicc, _)) if euicc.signing_key == Some(rotation.to) => (RotatingState::Rotated, None),
        // Whether it took the key is being found out.
        Some((euicc, _)) if euicc.key_facts.next == Some(rotation.to) => return Ok(false),
        Some(_) => judge(&device, eim).await?,
    };
    // Another try could not succeed.
    let again = state == RotatingState::Pending;
    let withheld = again && age_of(rotation.to, eim).await?.withheld;
    let (state, reason) =
        if withheld { (RotatingState::NotReachable, Some(KEY_WITHHELD.to_owned())) } else { (state, reason) };
    device.state = state;
    device.reason = reason;
    match state {
        RotatingState::Pending
            if rotation.state != RotationState::Running && rotation.state != RotationState::Paused =>
        {
            device.state = RotatingState::Cancelled
        }
        RotatingState::Pending => device.not_before = now + AGAIN_AFTER_MS * device.attempts,
        _ => {}
    }
    device.ended_at = (device.state != RotatingState::Pending).then_some(now);
    eim.store().move_rotating(rotation.id, RotatingState::Running, device).await
}

/// What the end of an operation means for a device that does not trust the new key.
async fn judge(device: &RotatingDevice, eim: &Eim) -> Result<(RotatingState, Option<String>), StoreError> {
    let operation = match device.operation {
        Some(id) => eim.store().operation(id).await?,
        None => None,
    };
    let Some(operation) = operation else {
        return Ok((RotatingState::Failed, Some("Its operation is gone.".to_owned())));
    };
    let error = operation.error.as_ref();
    let reason = error.map(|error| format!("{}: {}", error.name, error.message));
    let unclear = ["keyNotChanged", "outcomeUnknown", "keyRotationOutdated"];
    let again = error.is_some_and(|error| unclear.contains(&error.name.as_str())) && device.attempts < ATTEMPTS;
    Ok(match operation.state {
        OperationState::Cancelled | OperationState::Expired => {
            (RotatingState::Cancelled, Some("Its operation was withdrawn.".to_owned()))
        }
        _ if again => (RotatingState::Pending, reason),
        _ => (RotatingState::Failed, reason.or_else(|| Some("It was given yet another key.".to_owned()))),
    })
}

/// Begins as many devices as the rate allows.
async fn begin(
    rotation: &StoredRotation,
    spec: &RotationSpec,
    to: &RingKey,
    now: i64,
    eim: &Eim,
) -> Result<i64, StoreError> {
    let begun = eim.store().rotating_since(rotation.id, now - MINUTE_MS).await?;
    let allowed = (spec.rate_per_minute - begun).clamp(0, BEGUN_AT_ONCE);
    if allowed == 0 {
        return Ok(0);
    }
    let mut moved = 0;
    let age = age_of(to.id, eim).await?;
    for mut device in eim.store().pending_rotating(rotation.id, now, allowed).await? {
        let euicc = eim.store().euicc(device.eid).await?.map(|(euicc, _)| euicc);
        if euicc.as_ref().is_some_and(|euicc| euicc.signing_key == Some(to.id)) {
            device.state = RotatingState::Rotated;
            device.reason = None;
            device.ended_at = Some(now);
            moved += i64::from(eim.store().move_rotating(rotation.id, RotatingState::Pending, device).await?);
            continue;
        }
        if let Some(reason) = unreachable(euicc.as_ref()) {
            moved += i64::from(leave(device, reason.to_owned(), rotation, now, eim).await?);
            continue;
        }
        let Some(euicc) = euicc else { continue };
        if let Some(reason) = euicc.key_facts.why_withheld(to.id, age) {
            moved += i64::from(leave(device, reason.to_owned(), rotation, now, eim).await?);
            continue;
        }
        let change = KeyChange { to: to.id, counter: euicc.key_facts.counter_for(to.id) };
        if change.counter.value() >= LAST_USUAL {
            let reason = "That key has no counters left for this device: name another one.".to_owned();
            moved += i64::from(leave(device, reason, rotation, now, eim).await?);
            continue;
        }
        let configuration = key_configuration(to, change.counter);
        let id = eim.entropy().operation_id(now);
        let operation = NewOperation {
            id,
            kind: Kind::Eco,
            origin: Origin::Eim,
            purpose: None,
            subject: None,
            request: rotation_request(configuration, &rotation.id.to_string(), euicc.signing_key, change),
            label: None,
            not_before: None,
            valid_until: None,
            secret: None,
            overridden: vec![],
        };
        let told = json!({ "operation": id, "kind": Kind::Eco.as_str(), "keyRotation": rotation.id });
        let event = Event::new("operationQueued", told);
        let pace = (spec.rate_per_minute, now - MINUTE_MS);
        moved += i64::from(eim.store().begin_rotating(rotation.id, device.eid, operation, event, pace, now).await?);
    }
    Ok(moved)
}

/// Withdraws operations that were not delivered yet.
async fn withdraw(rotation: &StoredRotation, now: i64, eim: &Eim) -> Result<i64, StoreError> {
    let (mut moved, mut after) = (0, 0);
    loop {
        let page = eim.store().rotating_devices(running(rotation.id, after)).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        after = last.seq;
        for device in page {
            moved += i64::from(withdraw_one(&device, now, eim).await?);
        }
    }
}

/// Withdraws the operation of a device, if nothing of it was delivered.
async fn withdraw_one(device: &RotatingDevice, now: i64, eim: &Eim) -> Result<bool, StoreError> {
    let Some(id) = device.operation else { return Ok(false) };
    let keys = ResultKeys { operations: vec![id], without_held: true, ..ResultKeys::default() };
    let Some((snapshot, _)) = eim.store().result_snapshot(device.eid, keys, now).await? else { return Ok(false) };
    let version = snapshot.euicc.version;
    let mut work = eim.work(snapshot, now);
    let queued = work.operation(id).filter(|operation| operation.state == OperationState::Queued);
    let Some(operation) = queued.filter(|operation| operation.counter.is_none()) else { return Ok(false) };
    operation.end(OperationState::Cancelled, now);
    work.announce(id);
    Ok(eim.save(device.eid, version, work.finish(), now).await? == Saved::Done)
}

/// Ends a rotation of which nothing is left to do.
async fn end(
    rotation: &mut StoredRotation,
    nobody_joins: bool,
    now: i64,
    eim: &Eim,
) -> Result<Option<Event>, StoreError> {
    let may_end = match rotation.state {
        RotationState::Running => rotation.scanned && nobody_joins,
        RotationState::Cancelling | RotationState::Closing => true,
        _ => false,
    };
    if !may_end {
        return Ok(None);
    }
    let counts = eim.store().rotation_counts(rotation.id).await?;
    let open = |state: &RotatingState| matches!(state, RotatingState::Pending | RotatingState::Running);
    if counts.iter().any(|(state, count)| open(state) && *count > 0) {
        return Ok(None);
    }
    rotation.ended_at = Some(now);
    let devices: serde_json::Map<_, _> =
        counts.iter().map(|(state, count)| (state.as_str().to_owned(), (*count).into())).collect();
    let filter = RotatingFilter {
        rotation: rotation.id,
        state: Some(RotatingState::NotReachable),
        after: 0,
        limit: NAMED_AT_END,
    };
    let left: Vec<Eid> = eim.store().rotating_devices(filter).await?.iter().map(|device| device.eid).collect();
    let told =
        json!({ "keyRotation": rotation.id, "signingKey": rotation.to, "devices": devices, "notReachable": left });
    let (state, event_type) = match rotation.state {
        RotationState::Cancelling => (RotationState::Cancelled, "keyRotationCancelled"),
        RotationState::Closing => (RotationState::Closed, "keyRotationClosed"),
        _ => (RotationState::Completed, "keyRotationCompleted"),
    };
    rotation.state = state;
    Ok(Some(Event::new(event_type, told)))
}
