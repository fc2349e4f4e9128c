//! Pools of activation codes.

use super::Connection;
use super::decision::{claim_once, free_once, set_claimed};
use super::event::insert_tenant_event;
use crate::domain::Event;
use crate::domain::fleet::{Outcome, Switch};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::kept;
use crate::store::pool::{CodeState, FreeCode, NewCode, StoredCode, StoredPool};
use crate::store::schema::{pool_codes as codes, pools};
use crate::store::switch::SavedOnce;
use crate::store::{IdempotencyKey, StoreError};
use diesel::prelude::*;
use serde_json::json;

type PoolRow = (i64, String, String, i64, i64, i64);

fn stored((seq, id, name, low_water, free, created_at): PoolRow) -> StoredPool {
    StoredPool { seq, id, name, low_water, free, created_at }
}

const POOL: (pools::seq, pools::id, pools::name, pools::low_water, pools::free, pools::created_at) =
    (pools::seq, pools::id, pools::name, pools::low_water, pools::free, pools::created_at);

pub(in crate::store) fn insert_pool(
    conn: &mut Connection,
    pool: &StoredPool,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, &pool.id, tenant, pool.created_at)? {
        return Ok(earlier);
    }
    let inserted = diesel::insert_into(pools::table)
        .values((
            pools::id.eq(&pool.id),
            pools::tenant_id.eq(tenant.value()),
            pools::name.eq(&pool.name),
            pools::low_water.eq(pool.low_water),
            pools::free.eq(0),
            pools::created_at.eq(pool.created_at),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        free_once(conn, key, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn pool_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredPool>, StoreError> {
    let rows: Vec<PoolRow> = pools::table
        .filter(pools::tenant_id.eq(tenant.value()).and(pools::seq.gt(after)))
        .order(pools::seq)
        .limit(limit)
        .select(POOL)
        .load(conn)?;
    Ok(rows.into_iter().map(stored).collect())
}

pub(in crate::store) fn pool_named(
    conn: &mut Connection,
    name: &str,
    tenant: TenantId,
) -> Result<Option<StoredPool>, StoreError> {
    let row: Option<PoolRow> = pools::table
        .filter(pools::tenant_id.eq(tenant.value()))
        .filter(pools::id.eq(name).or(pools::name.eq(name)))
        .select(POOL)
        .first(conn)
        .optional()?;
    Ok(row.map(stored))
}

pub(in crate::store) fn insert_codes(
    conn: &mut Connection,
    pool: &str,
    new: &[NewCode],
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Option<usize>, StoreError> {
    // What the key stands for is how many were new.
    match claim_once(conn, key, "0", tenant, now)? {
        None => {}
        Some(SavedOnce::Before { resource }) => {
            let imported = resource.parse().map_err(|_| StoreError::Corrupt { column: "idempotency.resource" })?;
            return Ok(Some(imported));
        }
        Some(_) => return Ok(None),
    }
    let mut inserted = 0;
    for code in new {
        inserted += diesel::insert_into(codes::table)
            .values((
                codes::id.eq(&code.id),
                codes::pool_id.eq(pool),
                codes::tenant_id.eq(tenant.value()),
                codes::state.eq(CodeState::Free.as_str()),
                codes::address.eq(&code.address),
                codes::digest.eq(&code.digest),
                codes::secret.eq(&code.secret),
                codes::changed_at.eq(now),
            ))
            .on_conflict_do_nothing()
            .execute(conn)?;
    }
    add_free(conn, pool, i64::try_from(inserted).unwrap_or(0), tenant, now)?;
    if let Some(key) = key {
        set_claimed(conn, key, &inserted.to_string(), tenant)?;
    }
    Ok(Some(inserted))
}

/// Counts free codes up or down, and says when they have become few.
fn add_free(conn: &mut Connection, pool: &str, by: i64, tenant: TenantId, now: i64) -> Result<(), StoreError> {
    let mine = || pools::table.filter(pools::tenant_id.eq(tenant.value()).and(pools::id.eq(pool)));
    kept::update(mine()).set(pools::free.eq(pools::free + by)).execute(conn)?;
    let (name, low_water, free): (String, i64, i64) =
        mine().select((pools::name, pools::low_water, pools::free)).first(conn)?;
    // Also one that never had so many tells when its last code is gone.
    if by < 0 && free < low_water && (free - by >= low_water || free == 0) {
        let event = Event::new("poolLow", json!({ "pool": pool, "name": name, "free": free, "lowWater": low_water }));
        insert_tenant_event(conn, &event, &format!("pools/{pool}"), tenant, now)?;
    }
    Ok(())
}

pub(in crate::store) fn code_page(
    conn: &mut Connection,
    pool: &str,
    state: Option<CodeState>,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredCode>, StoreError> {
    type Row = (i64, String, String, String, Option<String>, Option<String>, i64);
    let mut query = codes::table
        .filter(codes::tenant_id.eq(tenant.value()).and(codes::pool_id.eq(pool)))
        .filter(codes::seq.gt(after))
        .order(codes::seq)
        .limit(limit)
        .select((codes::seq, codes::id, codes::state, codes::address, codes::eid, codes::switch_id, codes::changed_at))
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(codes::state.eq(state.as_str()));
    }
    let rows: Vec<Row> = query.load(conn)?;
    rows.into_iter()
        .map(|(seq, id, state, address, eid, switch, changed_at)| {
            let corrupt = |column: &'static str| StoreError::Corrupt { column };
            let state = CodeState::from_word(&state).ok_or_else(|| corrupt("pool_codes.state"))?;
            let eid = eid.map(|eid| eid.parse::<Eid>()).transpose().map_err(|_| corrupt("pool_codes.eid"))?;
            Ok(StoredCode { seq, id, state, address, eid, switch, changed_at })
        })
        .collect()
}

pub(in crate::store) fn free_codes(
    conn: &mut Connection,
    pool: &str,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<FreeCode>, StoreError> {
    let rows: Vec<(String, Vec<u8>)> = codes::table
        .filter(codes::tenant_id.eq(tenant.value()).and(codes::pool_id.eq(pool)))
        .filter(codes::state.eq(CodeState::Free.as_str()))
        .order(codes::seq)
        .limit(limit)
        .select((codes::id, codes::secret))
        .load(conn)?;
    Ok(rows.into_iter().map(|(id, secret)| FreeCode { id, secret }).collect())
}

pub(in crate::store) fn release_code(
    conn: &mut Connection,
    pool: &str,
    id: &str,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, pool, tenant, now)? {
        return Ok(earlier);
    }
    let spent = codes::table
        .filter(codes::tenant_id.eq(tenant.value()).and(codes::pool_id.eq(pool)))
        .filter(codes::id.eq(id).and(codes::state.eq(CodeState::Spent.as_str())));
    if kept::update(spent).set(free_again(now)).execute(conn)? == 0 {
        free_once(conn, key, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    add_free(conn, pool, 1, tenant, now)?;
    Ok(SavedOnce::Done)
}

type FreeAgain = (
    diesel::dsl::Eq<codes::state, &'static str>,
    diesel::dsl::Eq<codes::eid, Option<String>>,
    diesel::dsl::Eq<codes::switch_id, Option<String>>,
    diesel::dsl::Eq<codes::changed_at, i64>,
);

fn free_again(now: i64) -> FreeAgain {
    (
        codes::state.eq(CodeState::Free.as_str()),
        codes::eid.eq(None),
        codes::switch_id.eq(None),
        codes::changed_at.eq(now),
    )
}

/// Takes a code for a switch that is being made; `false` when it is not free any more.
pub(super) fn reserve_code(
    conn: &mut Connection,
    code: &str,
    switch: OperationId,
    eid: &Eid,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let free = || {
        codes::table
            .filter(codes::tenant_id.eq(tenant.value()).and(codes::id.eq(code)))
            .filter(codes::state.eq(CodeState::Free.as_str()))
    };
    let pool: Option<String> = free().select(codes::pool_id).first(conn).optional()?;
    let Some(pool) = pool else { return Ok(false) };
    let taken = kept::update(free())
        .set((
            codes::state.eq(CodeState::Reserved.as_str()),
            codes::eid.eq(eid.to_string()),
            codes::switch_id.eq(switch.to_string()),
            codes::changed_at.eq(now),
        ))
        .execute(conn)?;
    if taken == 0 {
        return Ok(false);
    }
    add_free(conn, &pool, -1, tenant, now)?;
    Ok(true)
}

/// Gives back what [`reserve_code`] took, in the same transaction.
pub(super) fn unreserve_code(conn: &mut Connection, code: &str, tenant: TenantId, now: i64) -> Result<(), StoreError> {
    let mine = || codes::table.filter(codes::tenant_id.eq(tenant.value()).and(codes::id.eq(code)));
    let pool: String = mine().select(codes::pool_id).first(conn)?;
    kept::update(mine()).set(free_again(now)).execute(conn)?;
    add_free(conn, &pool, 1, tenant, now)
}

/// What becomes of the code of a switch that has ended: used, back in its pool when it went to nobody, or spent.
pub(super) fn settle_code(
    conn: &mut Connection,
    switch: &Switch,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let mine = || {
        codes::table
            .filter(codes::tenant_id.eq(tenant.value()).and(codes::switch_id.eq(switch.id.to_string())))
            .filter(codes::state.eq(CodeState::Reserved.as_str()))
    };
    let pool: Option<String> = mine().select(codes::pool_id).first(conn).optional()?;
    let Some(pool) = pool else { return Ok(()) };
    let installed = switch.facts.target.is_some() || switch.outcome.is_some_and(Outcome::is_success);
    if !installed && !switch.facts.code_delivered {
        kept::update(mine()).set(free_again(now)).execute(conn)?;
        return add_free(conn, &pool, 1, tenant, now);
    }
    let state = if installed { CodeState::Used } else { CodeState::Spent };
    kept::update(mine()).set((codes::state.eq(state.as_str()), codes::changed_at.eq(now))).execute(conn)?;
    Ok(())
}
