//! Rules: one place in the stream for all rules of a tenant, and the firings that were noted there.
//!
//! The row of the reader is what all of it is written under: its revision changes with every rule, its place with every
//! event, and both are compared in the transaction that writes.

use super::decision::{claim_key, free_key};
use super::event::insert_tenant_event;
use super::{Connection, stream_end};
use crate::domain::fleet::switch::INTERVAL_UNKNOWN_MS;
use crate::domain::{Euicc, Event};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::kept;
use crate::store::rows::{EuiccRow, text_of};
use crate::store::rule::{RuleReader, RuleSaved, StoredRule};
use crate::store::schema::{euiccs, events, rule_firings as firings, rule_readers as readers, rules, switches};
use crate::store::stream::StreamPosition;
use crate::store::switch::{StoredSwitch, SwitchRow};
use crate::store::{IdempotencyKey, StoreError};
use diesel::prelude::*;
use diesel::sql_types::Bool;

const RULES_DUE_AT_ONCE: i64 = 50;
/// The longest interval that silence counts in: 45 days.
const INTERVAL_MAX_MS: i64 = 45 * 86_400_000;

#[derive(Queryable, Selectable)]
#[diesel(table_name = rules)]
struct RuleRow {
    seq: i64,
    id: String,
    name: String,
    enabled: bool,
    version: i64,
    spec: String,
    secret: Option<Vec<u8>>,
    created_by: String,
    since_xid: i64,
    since_seq: i64,
    since_at: i64,
    stopped_at: Option<i64>,
    look_at: Option<i64>,
    scan_after: i64,
    created_at: i64,
}

impl RuleRow {
    fn rule(self) -> Result<StoredRule, StoreError> {
        let corrupt = |column| StoreError::Corrupt { column };
        Ok(StoredRule {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("rules.id"))?,
            name: self.name,
            enabled: self.enabled,
            version: self.version,
            spec: serde_json::from_str(&self.spec).map_err(|_| corrupt("rules.spec"))?,
            secret: self.secret,
            created_by: serde_json::from_str(&self.created_by).map_err(|_| corrupt("rules.created_by"))?,
            since: StreamPosition { xid: self.since_xid, seq: self.since_seq },
            since_at: self.since_at,
            stopped_at: self.stopped_at,
            look_at: self.look_at,
            scan_after: self.scan_after,
            created_at: self.created_at,
        })
    }
}

macro_rules! this_rule {
    ($id:expr, $tenant:expr) => {
        rules::table.filter(rules::tenant_id.eq($tenant.value()).and(rules::id.eq($id.to_string())))
    };
}

macro_rules! this_reader {
    ($tenant:expr) => {
        readers::table.filter(readers::tenant_id.eq($tenant.value()))
    };
}

pub(super) fn subject(id: OperationId) -> String {
    format!("rules/{id}")
}

pub(in crate::store) fn rule_reader(conn: &mut Connection, tenant: TenantId) -> Result<RuleReader, StoreError> {
    let found: Option<(i64, i64, i64)> = this_reader!(tenant)
        .select((readers::cursor_xid, readers::cursor_seq, readers::revision))
        .first(conn)
        .optional()?;
    Ok(found.map_or_else(RuleReader::default, |(xid, seq, revision)| RuleReader {
        cursor: StreamPosition { xid, seq },
        revision,
    }))
}

/// Takes the right to change the rules that were read at this revision; `false` when they were changed since.
fn take_revision(conn: &mut Connection, revision: i64, tenant: TenantId) -> Result<bool, StoreError> {
    let same = this_reader!(tenant).filter(readers::revision.eq(revision));
    Ok(kept::update(same).set(readers::revision.eq(revision + 1)).execute(conn)? == 1)
}

pub(in crate::store) fn insert_rule(
    conn: &mut Connection,
    rule: &StoredRule,
    revision: i64,
    event: &Event,
    key: Option<&IdempotencyKey>,
    at_most: i64,
    tenant: TenantId,
) -> Result<RuleSaved, StoreError> {
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &rule.id.to_string(), tenant, rule.created_at)?
    {
        return Ok(RuleSaved::Earlier(earlier));
    }
    let end = stream_end(conn)?;
    diesel::insert_into(readers::table)
        .values((
            readers::tenant_id.eq(tenant.value()),
            readers::cursor_xid.eq(end.xid),
            readers::cursor_seq.eq(end.seq),
            readers::revision.eq(0),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    let is_newest = take_revision(conn, revision, tenant)?;
    let there: i64 = rules::table.filter(rules::tenant_id.eq(tenant.value())).count().get_result(conn)?;
    if !is_newest || there >= at_most {
        if let Some(key) = key {
            free_key(conn, key, tenant)?;
        }
        return Ok(if is_newest { RuleSaved::TooMany } else { RuleSaved::Conflict });
    }
    if there == 0 {
        // Nobody has read since the last rule was removed, and nobody need read what happened since.
        kept::update(this_reader!(tenant))
            .set((readers::cursor_xid.eq(end.xid), readers::cursor_seq.eq(end.seq)))
            .execute(conn)?;
    }
    diesel::insert_into(rules::table)
        .values((
            rules::id.eq(rule.id.to_string()),
            rules::tenant_id.eq(tenant.value()),
            rules::name.eq(&rule.name),
            rules::enabled.eq(rule.enabled),
            rules::version.eq(rule.version),
            rules::spec.eq(text_of(&rule.spec)),
            rules::secret.eq(rule.secret.as_deref()),
            rules::created_by.eq(text_of(&rule.created_by)),
            rules::since_xid.eq(end.xid),
            rules::since_seq.eq(end.seq),
            rules::since_at.eq(rule.created_at),
            rules::look_at.eq(rule.look_at),
            rules::scan_after.eq(0),
            rules::created_at.eq(rule.created_at),
        ))
        .execute(conn)?;
    insert_tenant_event(conn, event, &subject(rule.id), tenant, rule.created_at)?;
    Ok(RuleSaved::Done)
}

pub(in crate::store) fn change_rule(
    conn: &mut Connection,
    rule: &StoredRule,
    revision: i64,
    anew: bool,
    event: &Event,
    tenant: TenantId,
    now: i64,
) -> Result<RuleSaved, StoreError> {
    if !take_revision(conn, revision, tenant)? {
        return Ok(RuleSaved::Conflict);
    }
    kept::update(this_rule!(rule.id, tenant))
        .set((
            rules::name.eq(&rule.name),
            rules::enabled.eq(rule.enabled),
            rules::version.eq(rule.version),
            rules::spec.eq(text_of(&rule.spec)),
            rules::secret.eq(rule.secret.as_deref()),
            rules::stopped_at.eq(rule.stopped_at),
            rules::look_at.eq(rule.look_at),
            rules::scan_after.eq(0),
        ))
        .execute(conn)?;
    if anew {
        let end = stream_end(conn)?;
        kept::update(this_rule!(rule.id, tenant))
            .set((rules::since_xid.eq(end.xid), rules::since_seq.eq(end.seq), rules::since_at.eq(now)))
            .execute(conn)?;
    }
    insert_tenant_event(conn, event, &subject(rule.id), tenant, now)?;
    Ok(RuleSaved::Done)
}

pub(in crate::store) fn delete_rule(
    conn: &mut Connection,
    id: OperationId,
    event: &Event,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    // Before the rule itself: whoever notes firings holds the reader, and must not note one of a rule that is gone.
    kept::update(this_reader!(tenant)).set(readers::revision.eq(readers::revision + 1)).execute(conn)?;
    if diesel::delete(this_rule!(id, tenant)).execute(conn)? == 0 {
        return Ok(false);
    }
    let of_rule = firings::tenant_id.eq(tenant.value()).and(firings::rule_id.eq(id.to_string()));
    diesel::delete(firings::table.filter(of_rule)).execute(conn)?;
    insert_tenant_event(conn, event, &subject(id), tenant, now)?;
    Ok(true)
}

pub(in crate::store) fn rule_by_id(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<StoredRule>, StoreError> {
    this_rule!(id, tenant).select(RuleRow::as_select()).first(conn).optional()?.map(RuleRow::rule).transpose()
}

pub(in crate::store) fn rule_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredRule>, StoreError> {
    let rows: Vec<RuleRow> = rules::table
        .filter(rules::tenant_id.eq(tenant.value()).and(rules::seq.gt(after)))
        .order(rules::seq)
        .limit(limit)
        .select(RuleRow::as_select())
        .load(conn)?;
    rows.into_iter().map(RuleRow::rule).collect()
}

pub(in crate::store) fn rules_behind(conn: &mut Connection) -> Result<Vec<TenantId>, StoreError> {
    let with_rules = rules::table.select(rules::tenant_id);
    let all: Vec<(i64, i64, i64)> = readers::table
        .filter(readers::tenant_id.eq_any(with_rules))
        .select((readers::tenant_id, readers::cursor_xid, readers::cursor_seq))
        .order(readers::tenant_id)
        .load(conn)?;
    let mut behind = Vec::new();
    for (tenant, xid, seq) in all {
        let last: Option<(i64, i64)> = events::table
            .filter(events::tenant_id.eq(tenant))
            .order((events::xid.desc(), events::seq.desc()))
            .select((events::xid, events::seq))
            .first(conn)
            .optional()?;
        if last.is_some_and(|last| (xid, seq) < last) {
            behind.push(TenantId::from_value(tenant));
        }
    }
    Ok(behind)
}

pub(in crate::store) fn due_rules(conn: &mut Connection, now: i64) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
    let due: Vec<(i64, String)> = rules::table
        .filter(rules::look_at.le(now).and(rules::enabled.eq(true)))
        .order(rules::look_at)
        .limit(RULES_DUE_AT_ONCE)
        .select((rules::tenant_id, rules::id))
        .load(conn)?;
    due.into_iter()
        .map(|(tenant, id)| {
            let id = id.parse().map_err(|_| StoreError::Corrupt { column: "rules.id" })?;
            Ok((TenantId::from_value(tenant), id))
        })
        .collect()
}

pub(in crate::store) fn claim_scan(
    conn: &mut Connection,
    id: OperationId,
    (look_at, scan_after): (i64, i64),
    to: (i64, i64),
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let same = this_rule!(id, tenant).filter(rules::look_at.eq(look_at).and(rules::scan_after.eq(scan_after)));
    Ok(kept::update(same).set((rules::look_at.eq(to.0), rules::scan_after.eq(to.1))).execute(conn)? == 1)
}

/// Devices that are silent, and for which the rule has not fired since they were last seen.
pub(in crate::store) fn silent_euiccs(
    conn: &mut Connection,
    rule: OperationId,
    intervals: i64,
    (served_since, now): (i64, i64),
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<(i64, Euicc)>, StoreError> {
    // All that is put in are numbers and a UUID. The lower bound of an interval is left to whoever asks.
    let known = format!("COALESCE(euiccs.poll_interval_ms, {INTERVAL_UNKNOWN_MS})");
    let interval = format!("(CASE WHEN {known} > {INTERVAL_MAX_MS} THEN {INTERVAL_MAX_MS} ELSE {known} END)");
    let since =
        format!("(CASE WHEN euiccs.last_seen_at > {served_since} THEN euiccs.last_seen_at ELSE {served_since} END)");
    let silent = diesel::dsl::sql::<Bool>(&format!("{since} + {interval} * {intervals} <= {now}"));
    let not_told = diesel::dsl::sql::<Bool>(&format!(
        "NOT EXISTS (SELECT 1 FROM rule_firings f WHERE f.rule_id = '{rule}' \
         AND f.cause = 'silence:' || euiccs.eid || ':' || CAST(euiccs.last_seen_at AS TEXT))"
    ));
    let rows: Vec<(i64, EuiccRow)> = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::seq.gt(after)))
        .filter(euiccs::last_seen_at.is_not_null())
        .filter(silent)
        .filter(not_told)
        .order(euiccs::seq)
        .limit(limit)
        .select((euiccs::seq, EuiccRow::as_select()))
        .load(conn)?;
    rows.into_iter().map(|(seq, row)| Ok((seq, row.euicc()?))).collect()
}

pub(in crate::store) fn last_switch(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<StoredSwitch>, StoreError> {
    let row: Option<SwitchRow> = switches::table
        .filter(switches::tenant_id.eq(tenant.value()).and(switches::eid.eq(eid.to_string())))
        .order(switches::seq.desc())
        .select(SwitchRow::as_select())
        .first(conn)
        .optional()?;
    row.map(|row| row.switch().map(|(eid, switch)| StoredSwitch { eid, switch })).transpose()
}
