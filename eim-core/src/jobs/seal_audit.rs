//! Gives records of the audit log their places in the chain, and signs checkpoints.
//!
//! Any number of nodes may do it: the one that moves the end of a chain on has done it, and the others find nothing left.

use super::count;
use crate::Eim;
use crate::domain::audit::{AuditNote, Checkpoint};
use crate::domain::rfc3339;
use crate::domain::statement::{Purpose, digest};
use crate::manage::statement::{own_key_id, sign};
use crate::store::StoreError;
use crate::store::audit::{AuditWaiting, ChainEnd, StoredCheckpoint};
use serde_json::json;

/// How many records get their places in one transaction.
const TOGETHER: i64 = 500;
/// How many transactions before other tenants have their turn.
const PAGES: usize = 20;
/// A checkpoint is made when the last one is so old, or so many records behind.
const CHECKPOINT_EVERY_MS: i64 = 60_000;
const CHECKPOINT_EVERY_RECORDS: i64 = 5_000;
/// After a key could not sign it is tried again, and complained of, so much later.
const SIGN_AGAIN_AFTER_MS: i64 = 30_000;

/// Links what waits, and makes the checkpoints that are due. Gives how many records got their places.
///
/// # Errors
/// When the store fails.
pub async fn seal_audit(eim: &Eim) -> Result<usize, StoreError> {
    seal(eim, false).await
}

/// The same at the end of the process: a checkpoint on everything.
///
/// # Errors
/// When the store fails.
pub async fn close_audit(eim: &Eim) -> Result<usize, StoreError> {
    seal(eim, true).await
}

async fn seal(eim: &Eim, at_once: bool) -> Result<usize, StoreError> {
    let now = eim.clock().now_ms();
    let done = match note_refused_logins(eim, at_once).await {
        Ok(()) => link_all(eim, at_once).await,
        Err(error) => Err(error),
    };
    let (done, waiting) = match done {
        Ok((linked, waiting)) => (Ok(linked), Some(waiting)),
        Err(error) => (Err(error), None),
    };
    eim.note_linking(waiting, now);
    if !matches!(done, Ok(0)) {
        count("seal_audit", &done, eim);
    }
    done
}

/// Links what waits in the logs of all tenants; a log that can't be linked does not hold up those of others. Gives how many records
/// got their places, and what waits on.
async fn link_all(eim: &Eim, at_once: bool) -> Result<(usize, AuditWaiting), StoreError> {
    let (mut linked, mut waiting, mut failed) = (0, AuditWaiting::default(), None);
    for tenant in eim.store().audit_behind(own_keys(eim)).await? {
        match link_one(&eim.of(tenant), at_once).await {
            Ok((some, waits)) => {
                linked += some;
                waiting.records += waits.records;
                waiting.since = waiting.since.into_iter().chain(waits.since).min();
            }
            Err(error) => {
                tracing::error!(%error, tenant = tenant.value(), "the audit log of a tenant could not be linked");
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok((linked, waiting)),
    }
}

async fn link_one(eim: &Eim, at_once: bool) -> Result<(usize, AuditWaiting), StoreError> {
    let mut linked = 0;
    for _ in 0..PAGES {
        let some = eim.store().link_audit(TOGETHER).await?;
        linked += some;
        if i64::try_from(some).unwrap_or(TOGETHER) < TOGETHER {
            break;
        }
    }
    checkpoint(eim, at_once).await?;
    Ok((linked, eim.store().audit_waiting().await?))
}

async fn note_refused_logins(eim: &Eim, at_once: bool) -> Result<(), StoreError> {
    let now = eim.clock().now_ms();
    for refused in eim.refused_logins(now, at_once) {
        let details = json!({
            "key": Some(&refused.key).filter(|key| !key.is_empty()),
            "reason": refused.reason,
            "times": refused.times,
            "first": rfc3339(refused.first),
            "last": rfc3339(refused.last),
        });
        eim.of(refused.tenant).store().insert_audit(AuditNote::new("loginRefused", details), now).await?;
    }
    Ok(())
}

/// Signs a checkpoint on the end of the chain, when one is due.
async fn checkpoint(eim: &Eim, at_once: bool) -> Result<(), StoreError> {
    let now = eim.clock().now_ms();
    let end = eim.store().chain_end().await?;
    if !is_due(&end, now, at_once, eim) {
        return Ok(());
    }
    let (number, before) = match &end.checkpoint {
        Some(last) => (last.number + 1, digest(last.signed.statement.as_bytes())),
        None => (1, String::new()),
    };
    let says = Checkpoint {
        eim_id: eim.identity().eim_id.as_str().to_owned(),
        tenant: end.tenant.clone(),
        number,
        position: end.position,
        link: hex::encode(end.link),
        at: rfc3339(now),
        before,
    };
    if !at_once && eim.checkpoint_failed_at().is_some_and(|failed| (0..SIGN_AGAIN_AFTER_MS).contains(&(now - failed))) {
        return Ok(());
    }
    let signed = match sign(Purpose::AuditCheckpoint, &says, eim).await {
        Ok(signed) => {
            eim.note_checkpoint(None);
            signed
        }
        Err(error) => {
            // Records are linked all the same; a later round tries again.
            eim.note_checkpoint(Some(now));
            tracing::error!(%error, "a checkpoint of the audit log could not be signed");
            return Ok(());
        }
    };
    let stored = StoredCheckpoint { number, position: end.position, at: now, signed };
    if eim.store().insert_checkpoint(stored).await? {
        // A log that is kept elsewhere then holds what an end that was cut off is told by.
        tracing::info!(tenant = says.tenant, number, position = says.position, link = says.link, "audit checkpoint");
    }
    Ok(())
}

fn is_due(end: &ChainEnd, now: i64, at_once: bool, eim: &Eim) -> bool {
    let Some(last) = &end.checkpoint else { return end.position > 0 };
    let is_late = now - last.at >= CHECKPOINT_EVERY_MS;
    if end.position > last.position {
        return at_once
            || is_late
            || end.position - last.position >= CHECKPOINT_EVERY_RECORDS
            || last.signed.key_id().ok() != Some(own_key_id(eim));
    }
    // The key of the last one is not in use any more: the log of a tenant that does nothing more is to verify by those that are.
    is_late && !own_keys(eim).contains(&last.signed.public_key.to_lowercase())
}

/// The public keys that are loaded here, hexadecimal.
fn own_keys(eim: &Eim) -> Vec<String> {
    eim.keys().keys().iter().map(|key| hex::encode(key.signer.public_key())).collect()
}
