//! Which devices of the inventory a rotation of keys means.

use super::{ManageError, RotationSpec};
use crate::Eim;
use crate::domain::fleet::filter::DeviceFilter;
use crate::domain::keys::{KeyAge, unreachable};
use crate::domain::{Euicc, EuiccState};
use crate::ids::KeyId;
use crate::ports::RingKey;
use crate::store::StoreError;
use crate::store::keys::{Joining, StoredRotation};

/// How many devices are looked through at once.
const SWEPT_AT_ONCE: i64 = 2_000;
/// How many such pages are looked through before the request that begins a rotation is answered; the job goes on from there.
const SWEPT_WITH_REQUEST: usize = 10;

/// Where a walk through the inventory stands, and whether it came to the end.
struct Walk {
    to: i64,
    ended: bool,
}

/// The devices behind a position that a filter may match.
async fn page(filter: &DeviceFilter, from: i64, eim: &Eim) -> Result<(Vec<Euicc>, Walk), StoreError> {
    match filter.eids() {
        Some(named) => {
            let start = usize::try_from(from).unwrap_or(usize::MAX);
            let size = usize::try_from(SWEPT_AT_ONCE).unwrap_or(usize::MAX);
            let mut found = Vec::new();
            for eid in named.iter().skip(start).take(size) {
                found.extend(eim.store().euicc(*eid).await?.map(|(euicc, _)| euicc));
            }
            let ended = named.len() <= start.saturating_add(size);
            Ok((found, Walk { to: from + SWEPT_AT_ONCE, ended }))
        }
        None => {
            let found = eim.store().scan_euiccs(filter.tag_hint().map(str::to_owned), from, SWEPT_AT_ONCE).await?;
            let ended = i64::try_from(found.len()).unwrap_or(i64::MAX) < SWEPT_AT_ONCE;
            let to = found.last().map_or(from, |(seq, _)| *seq);
            Ok((found.into_iter().map(|(_, euicc)| euicc).collect(), Walk { to, ended }))
        }
    }
}

/// What this server's database knows of the age of a key. One that it does not know is given to nobody.
pub(crate) async fn age_of(key: KeyId, eim: &Eim) -> Result<KeyAge, StoreError> {
    let known = eim.store().known_keys().await?;
    Ok(known.iter().find(|known| known.id == key).map_or(KeyAge { first_seen_at: i64::MIN, withheld: true }, |known| {
        KeyAge { first_seen_at: known.first_seen_at, withheld: known.withheld_at.is_some() }
    }))
}

/// The next page of the inventory: the devices that are meant and trust another key of the same eIM. Those that nobody can give a key
/// join as left out, with the reason.
pub(crate) async fn sweep(
    rotation: &mut StoredRotation,
    filter: &DeviceFilter,
    to: &RingKey,
    now: i64,
    eim: &Eim,
) -> Result<Vec<Joining>, StoreError> {
    // When a device was seen last may decide whether the filter matches it.
    eim.flush_sightings().await?;
    let age = age_of(to.id, eim).await?;
    let (found, walk) = page(filter, rotation.swept_to, eim).await?;
    (rotation.swept_to, rotation.scanned) = (walk.to, walk.ended);
    // A key that the eUICC has already is no remedy for a counter that is used up, and whoever asked for that has to hear it.
    let is_in_vain = |euicc: &Euicc| euicc.signing_key == Some(to.id) && euicc.state == EuiccState::CounterExhausted;
    let meant = |euicc: &&Euicc| {
        filter.matches(euicc, now)
            && eim.eim_id_of(euicc) == &to.eim_id
            && (euicc.signing_key != Some(to.id) || is_in_vain(euicc))
    };
    let joins = |euicc: &Euicc| {
        let in_vain = is_in_vain(euicc).then_some(
            "It has this key already, and its counter for it is used up: name another key (to), generated before where there is none.",
        );
        let withheld = euicc.key_facts.why_withheld(to.id, age);
        Joining { eid: euicc.eid, left_out: unreachable(Some(euicc)).or(in_vain).or(withheld).map(str::to_owned) }
    };
    Ok(found.iter().filter(meant).map(joins).collect())
}

/// Looks through the beginning of the inventory at once, so that the answer to who begins a rotation says who is left out. Where
/// somebody else was faster, the job has begun.
pub(super) async fn sweep_with_request(
    mut rotation: StoredRotation,
    spec: &RotationSpec,
    to: &RingKey,
    eim: &Eim,
) -> Result<(), StoreError> {
    for _ in 0..SWEPT_WITH_REQUEST {
        if rotation.scanned {
            return Ok(());
        }
        let now = eim.clock().now_ms();
        let joining = sweep(&mut rotation, &spec.filter, to, now, eim).await?;
        if !eim.store().save_rotation(rotation.clone(), joining, None, now).await? {
            return Ok(());
        }
        rotation.version += 1;
    }
    Ok(())
}

/// Refuses a rotation of which nobody would be part.
pub(super) async fn refuse_nobody(spec: &RotationSpec, to: &RingKey, eim: &Eim) -> Result<(), ManageError> {
    eim.flush_sightings().await?;
    let (now, mut from) = (eim.clock().now_ms(), 0);
    let (mut matched, mut ours) = (0_u64, 0_u64);
    loop {
        let (found, walk) = page(&spec.filter, from, eim).await?;
        for euicc in found.iter().filter(|euicc| spec.filter.matches(euicc, now)) {
            matched += 1;
            if eim.eim_id_of(euicc) == &to.eim_id {
                ours += 1;
                if euicc.state != EuiccState::Unmanaged {
                    return Ok(());
                }
            }
        }
        if walk.ended {
            break;
        }
        from = walk.to;
    }
    let message = match (matched, ours) {
        (0, _) => "no device matches it".to_owned(),
        (matched, 0) => format!("{matched} devices match it, and none of them knows this eIM as {}", to.eim_id),
        (_, ours) => {
            format!("{ours} devices match it, and none of them is associated with this eIM any more (unmanaged)")
        }
    };
    Err(ManageError::invalid("/filter", message))
}
