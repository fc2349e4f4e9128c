//! Firings of rules: noted together with the place in the stream, carried out step by step.

use super::Connection;
use super::decision::save_decision;
use super::event::{insert_event, insert_tenant_event};
use super::rule::subject;
use crate::domain::Changes;
use crate::domain::fleet::rule::FiringOutcome;
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::kept;
use crate::store::rows::text_of;
use crate::store::rule::{DueFiring, FiredBefore, Firing, FiringStep, NewFiring, Noted};
use crate::store::schema::{rule_firings as firings, rule_readers as readers, rules};
use crate::store::{Saved, StoreError};
use diesel::prelude::*;
use diesel::sql_types::Bool;

const FORGOTTEN_AT_ONCE: i64 = 500;

#[derive(Queryable, Selectable)]
#[diesel(table_name = firings)]
struct FiringRow {
    seq: i64,
    id: String,
    rule_id: String,
    rule_version: i64,
    eid: String,
    at: i64,
    event: String,
    chain: String,
    outcome: String,
    steps: String,
    repeats: i64,
    created_at: i64,
    ended_at: Option<i64>,
}

impl FiringRow {
    fn firing(self) -> Result<Firing, StoreError> {
        let corrupt = |column| StoreError::Corrupt { column };
        Ok(Firing {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("rule_firings.id"))?,
            rule: self.rule_id.parse().map_err(|_| corrupt("rule_firings.rule_id"))?,
            rule_version: self.rule_version,
            eid: self.eid.parse().map_err(|_| corrupt("rule_firings.eid"))?,
            at: self.at,
            event: serde_json::from_str(&self.event).map_err(|_| corrupt("rule_firings.event"))?,
            chain: serde_json::from_str(&self.chain).map_err(|_| corrupt("rule_firings.chain"))?,
            outcome: FiringOutcome::from_word(&self.outcome).ok_or_else(|| corrupt("rule_firings.outcome"))?,
            steps: serde_json::from_str(&self.steps).map_err(|_| corrupt("rule_firings.steps"))?,
            repeats: self.repeats,
            created_at: self.created_at,
            ended_at: self.ended_at,
        })
    }
}

macro_rules! this_firing {
    ($id:expr, $tenant:expr) => {
        firings::table.filter(firings::tenant_id.eq($tenant.value()).and(firings::id.eq($id.to_string())))
    };
}

pub(in crate::store) fn firing_page(
    conn: &mut Connection,
    rule: OperationId,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<Firing>, StoreError> {
    let rows: Vec<FiringRow> = firings::table
        .filter(firings::tenant_id.eq(tenant.value()).and(firings::rule_id.eq(rule.to_string())))
        .filter(firings::seq.gt(after))
        .order(firings::seq)
        .limit(limit)
        .select(FiringRow::as_select())
        .load(conn)?;
    rows.into_iter().map(FiringRow::firing).collect()
}

pub(in crate::store) fn fired_before(
    conn: &mut Connection,
    rule: OperationId,
    eid: &Eid,
    from: i64,
    until: i64,
    tenant: TenantId,
) -> Result<FiredBefore, StoreError> {
    let fired = FiringOutcome::ALL.iter().filter(|outcome| outcome.is_firing()).map(|outcome| outcome.as_str());
    let fired: Vec<&str> = fired.collect();
    let mine = || {
        firings::table
            .filter(firings::tenant_id.eq(tenant.value()).and(firings::rule_id.eq(rule.to_string())))
            .filter(firings::outcome.eq_any(fired.clone()))
    };
    let last: Option<(String, i64)> = mine()
        .filter(firings::eid.eq(eid.to_string()))
        .order((firings::at.desc(), firings::seq.desc()))
        .select((firings::id, firings::at))
        .first(conn)
        .optional()?;
    let last = match last {
        None => None,
        Some((id, at)) => Some((id.parse().map_err(|_| StoreError::Corrupt { column: "rule_firings.id" })?, at)),
    };
    let since = mine().filter(firings::at.gt(from).and(firings::at.le(until))).count().get_result(conn)?;
    Ok(FiredBefore { last, since })
}

pub(in crate::store) fn note_firings(
    conn: &mut Connection,
    noted: &Noted,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let same =
        readers::table.filter(readers::tenant_id.eq(tenant.value())).filter(readers::revision.eq(noted.revision));
    let next = noted.revision + i64::from(!noted.stop.is_empty());
    let moved = match noted.step {
        Some((from, to)) => {
            kept::update(same.filter(readers::cursor_xid.eq(from.xid).and(readers::cursor_seq.eq(from.seq))))
                .set((readers::cursor_xid.eq(to.xid), readers::cursor_seq.eq(to.seq), readers::revision.eq(next)))
                .execute(conn)?
        }
        None => kept::update(same).set(readers::revision.eq(next)).execute(conn)?,
    };
    if moved == 0 {
        return Ok(false);
    }
    for (rule, event) in &noted.stop {
        kept::update(rules::table.filter(rules::tenant_id.eq(tenant.value()).and(rules::id.eq(rule.to_string()))))
            .set((rules::enabled.eq(false), rules::stopped_at.eq(now), rules::look_at.eq(None::<i64>)))
            .execute(conn)?;
        insert_tenant_event(conn, event, &subject(*rule), tenant, now)?;
    }
    for firing in &noted.firings {
        note_firing(conn, firing, tenant, now)?;
    }
    Ok(true)
}

fn note_firing(conn: &mut Connection, firing: &NewFiring, tenant: TenantId, now: i64) -> Result<(), StoreError> {
    let pending = firing.outcome == FiringOutcome::Pending;
    let inserted = diesel::insert_into(firings::table)
        .values((
            firings::id.eq(firing.id.to_string()),
            firings::tenant_id.eq(tenant.value()),
            firings::rule_id.eq(firing.rule.to_string()),
            firings::rule_version.eq(firing.rule_version),
            firings::eid.eq(firing.eid.to_string()),
            firings::at.eq(firing.at),
            firings::cause.eq(&firing.cause),
            firings::event.eq(text_of(&firing.event)),
            firings::chain.eq(text_of(&firing.chain)),
            firings::outcome.eq(firing.outcome.as_str()),
            firings::steps.eq("[]"),
            firings::step.eq(0),
            firings::repeats.eq(0),
            firings::next_attempt_at.eq(pending.then_some(now)),
            firings::created_at.eq(now),
            firings::ended_at.eq((!pending).then_some(now)),
        ))
        .on_conflict((firings::rule_id, firings::cause))
        .do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        let same = firings::tenant_id.eq(tenant.value()).and(firings::rule_id.eq(firing.rule.to_string()));
        kept::update(firings::table.filter(same.and(firings::cause.eq(&firing.cause))))
            .set(firings::repeats.eq(firings::repeats + 1))
            .execute(conn)?;
        return Ok(());
    }
    if let Some(event) = &firing.told {
        insert_event(conn, event, &firing.eid, tenant, now)?;
    }
    Ok(())
}

pub(in crate::store) fn due_firings(conn: &mut Connection, now: i64, limit: i64) -> Result<Vec<DueFiring>, StoreError> {
    let rows: Vec<(i64, FiringRow)> = firings::table
        .filter(firings::next_attempt_at.le(now))
        .order((firings::next_attempt_at, firings::seq))
        .limit(limit)
        .select((firings::tenant_id, FiringRow::as_select()))
        .load(conn)?;
    rows.into_iter()
        .map(|(tenant, row)| Ok(DueFiring { tenant: TenantId::from_value(tenant), firing: row.firing()? }))
        .collect()
}

pub(in crate::store) fn postpone_firing(
    conn: &mut Connection,
    id: OperationId,
    until: i64,
    tenant: TenantId,
) -> Result<(), StoreError> {
    // One that has ended meanwhile stays so.
    let open = this_firing!(id, tenant).filter(firings::next_attempt_at.is_not_null());
    kept::update(open).set(firings::next_attempt_at.eq(until)).execute(conn)?;
    Ok(())
}

/// Whether the rule of a firing is still the one that it was noted for. It stays so until the transaction ends: the rule is
/// written, so that who changes it waits. Rules are written before firings everywhere.
fn holds_rule(conn: &mut Connection, firing: OperationId, tenant: TenantId) -> Result<bool, StoreError> {
    let noted: Option<(String, i64)> =
        this_firing!(firing, tenant).select((firings::rule_id, firings::rule_version)).first(conn).optional()?;
    let Some((rule, version)) = noted else { return Ok(false) };
    let same = rules::table
        .filter(rules::tenant_id.eq(tenant.value()).and(rules::id.eq(rule)))
        .filter(rules::version.eq(version));
    Ok(kept::update(same).set(rules::version.eq(version)).execute(conn)? == 1)
}

pub(in crate::store) fn save_firing_step(
    conn: &mut Connection,
    eid: &Eid,
    step: &FiringStep,
    decision: Option<(i64, &Changes)>,
    tenant: TenantId,
    now: i64,
) -> Result<Saved, StoreError> {
    let taken = i64::try_from(step.taken).unwrap_or(i64::MAX);
    let next = i64::try_from(step.steps.len()).unwrap_or(i64::MAX);
    if step.end != Some(FiringOutcome::Cancelled) && !holds_rule(conn, step.id, tenant)? {
        return Ok(Saved::Conflict);
    }
    // The step is taken first, so that of two nodes one waits here; it is given back when the eUICC has changed.
    let before = this_firing!(step.id, tenant)
        .filter(firings::step.eq(taken).and(firings::outcome.eq(FiringOutcome::Pending.as_str())));
    if kept::update(before).set(firings::step.eq(next)).execute(conn)? == 0 {
        return Ok(Saved::Conflict);
    }
    if let Some((version, changes)) = decision
        && save_decision(conn, eid, version, changes, tenant, now)? == Saved::Conflict
    {
        kept::update(this_firing!(step.id, tenant)).set(firings::step.eq(taken)).execute(conn)?;
        return Ok(Saved::Conflict);
    }
    kept::update(this_firing!(step.id, tenant))
        .set((
            firings::steps.eq(text_of(&step.steps)),
            firings::outcome.eq(step.end.unwrap_or(FiringOutcome::Pending).as_str()),
            firings::next_attempt_at.eq(step.end.is_none().then_some(now)),
            firings::ended_at.eq(step.end.is_some().then_some(now)),
        ))
        .execute(conn)?;
    Ok(Saved::Done)
}

pub(in crate::store) fn forget_firings(conn: &mut Connection, before: i64) -> Result<usize, StoreError> {
    // One for a silence that lasts is what keeps the rule from firing again.
    let over = diesel::dsl::sql::<Bool>(
        "NOT EXISTS (SELECT 1 FROM euiccs e WHERE e.tenant_id = rule_firings.tenant_id AND e.eid = rule_firings.eid \
         AND rule_firings.cause = 'silence:' || e.eid || ':' || CAST(e.last_seen_at AS TEXT))",
    );
    let old: Vec<i64> = firings::table
        .filter(firings::ended_at.lt(before))
        .filter(over)
        .select(firings::seq)
        .limit(FORGOTTEN_AT_ONCE)
        .load(conn)?;
    Ok(diesel::delete(firings::table.filter(firings::seq.eq_any(old))).execute(conn)?)
}
