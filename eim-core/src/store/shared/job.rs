//! Jobs: rows that say that something has to be done, written with what causes them. Whoever runs one leases it.

use super::Connection;
use crate::ids::TenantId;
use crate::store::kept;
use crate::store::schema::jobs;
use crate::store::{DueJob, JobEnd, JobLease, Leased, StoreError};
use diesel::prelude::*;

/// Makes sure that a job is there. One that is there learns that something came: it does not end without another look,
/// and it is due at once unless it waits because it failed.
pub(super) fn ensure_job(
    conn: &mut Connection,
    kind: &str,
    key: &str,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(jobs::table)
        .values((
            jobs::tenant_id.eq(tenant.value()),
            jobs::kind.eq(kind),
            jobs::key.eq(key),
            jobs::version.eq(0),
            jobs::attempts.eq(0),
            jobs::run_at.eq(now),
            jobs::handed_until.eq(0),
            jobs::created_at.eq(now),
        ))
        .on_conflict((jobs::tenant_id, jobs::kind, jobs::key))
        .do_update()
        .set(jobs::version.eq(jobs::version + 1))
        .execute(conn)?;
    let waiting = jobs::table
        .filter(jobs::tenant_id.eq(tenant.value()).and(jobs::kind.eq(kind)).and(jobs::key.eq(key)))
        .filter(jobs::attempts.eq(0).and(jobs::run_at.gt(now)));
    kept::update(waiting).set((jobs::run_at.eq(now), jobs::handed_until.eq(0))).execute(conn)?;
    Ok(())
}

/// Makes sure that a job is there and due at once, also when it waits because it failed.
pub(super) fn hurry_job(
    conn: &mut Connection,
    kind: &str,
    key: &str,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    ensure_job(conn, kind, key, tenant, now)?;
    let waiting = jobs::table
        .filter(jobs::tenant_id.eq(tenant.value()).and(jobs::kind.eq(kind)).and(jobs::key.eq(key)))
        .filter(jobs::run_at.gt(now));
    kept::update(waiting).set((jobs::attempts.eq(0), jobs::run_at.eq(now), jobs::handed_until.eq(0))).execute(conn)?;
    Ok(())
}

pub(in crate::store) fn due_jobs(
    conn: &mut Connection,
    kinds: &[&str],
    now: i64,
    limit: i64,
) -> Result<Vec<DueJob>, StoreError> {
    let due: Vec<(i64, i64, i64, String, String)> = jobs::table
        .filter(jobs::kind.eq_any(kinds.iter().copied()))
        .filter(jobs::run_at.le(now).and(jobs::handed_until.le(now)))
        .filter(jobs::lease_until.is_null().or(jobs::lease_until.lt(now)))
        .order(jobs::run_at)
        .limit(limit)
        .select((jobs::seq, jobs::tenant_id, jobs::version, jobs::kind, jobs::key))
        .load(conn)?;
    let job =
        |(seq, tenant, version, kind, key)| DueJob { seq, tenant: TenantId::from_value(tenant), version, kind, key };
    Ok(due.into_iter().map(job).collect())
}

pub(in crate::store) fn hand_out_jobs(conn: &mut Connection, handed: &[DueJob], until: i64) -> Result<(), StoreError> {
    for job in handed {
        // Whatever made it due again since was told to nobody yet.
        let job = jobs::table
            .filter(jobs::seq.eq(job.seq).and(jobs::version.eq(job.version)))
            .filter(jobs::handed_until.lt(until));
        kept::update(job).set(jobs::handed_until.eq(until)).execute(conn)?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "a name, an owner and two times")]
pub(in crate::store) fn lease_job(
    conn: &mut Connection,
    kind: &str,
    key: &str,
    owner: &str,
    now: i64,
    until: i64,
    tenant: TenantId,
) -> Result<Leased, StoreError> {
    let found: Option<(i64, i64, i64, i64)> = jobs::table
        .filter(jobs::tenant_id.eq(tenant.value()).and(jobs::kind.eq(kind)).and(jobs::key.eq(key)))
        .select((jobs::seq, jobs::version, jobs::attempts, jobs::run_at))
        .first(conn)
        .optional()?;
    let Some((seq, version, attempts, run_at)) = found else { return Ok(Leased::No) };
    if run_at > now {
        return Ok(Leased::NotDue { run_at });
    }
    // The version that was read is what the lease counts for. One that came since does not keep the lease from being taken
    // (nobody else would be told of the job); it makes the job due once more when it ends.
    let free = jobs::table
        .filter(jobs::seq.eq(seq).and(jobs::run_at.le(now)))
        .filter(jobs::lease_until.is_null().or(jobs::lease_until.lt(now)));
    let taken = kept::update(free).set((jobs::lease_until.eq(until), jobs::lease_owner.eq(owner))).execute(conn)?;
    Ok(if taken == 1 { Leased::Yes(JobLease { seq, version, attempts }) } else { Leased::No })
}

pub(in crate::store) fn renew_job(
    conn: &mut Connection,
    lease: &JobLease,
    owner: &str,
    until: i64,
) -> Result<bool, StoreError> {
    let mine = jobs::table.filter(jobs::seq.eq(lease.seq).and(jobs::lease_owner.eq(owner)));
    Ok(kept::update(mine).set(jobs::lease_until.eq(until)).execute(conn)? == 1)
}

pub(in crate::store) fn release_jobs(conn: &mut Connection, owner: Option<&str>) -> Result<usize, StoreError> {
    let free = (jobs::lease_until.eq(None::<i64>), jobs::lease_owner.eq(None::<String>), jobs::handed_until.eq(0));
    Ok(match owner {
        Some(owner) => kept::update(jobs::table.filter(jobs::lease_owner.eq(owner))).set(free).execute(conn)?,
        None => kept::update(jobs::table.filter(jobs::lease_owner.is_not_null())).set(free).execute(conn)?,
    })
}

pub(in crate::store) fn finish_job(
    conn: &mut Connection,
    lease: &JobLease,
    owner: &str,
    end: &JobEnd,
    grace: i64,
    now: i64,
) -> Result<bool, StoreError> {
    let mine = || jobs::table.filter(jobs::seq.eq(lease.seq).and(jobs::lease_owner.eq(owner)));
    let free = || (jobs::lease_until.eq(None::<i64>), jobs::lease_owner.eq(None::<String>));
    if let JobEnd::Failed { run_at, error } = end {
        kept::update(mine())
            .set((
                free(),
                jobs::attempts.eq(jobs::attempts + 1),
                jobs::run_at.eq(*run_at),
                jobs::handed_until.eq(*run_at + grace),
                jobs::last_error.eq(error.as_str()),
            ))
            .execute(conn)?;
        return Ok(false);
    }
    let same = || mine().filter(jobs::version.eq(lease.version));
    let settled = match end {
        JobEnd::Later { run_at } => kept::update(same())
            .set((
                free(),
                jobs::attempts.eq(0),
                jobs::run_at.eq(*run_at),
                jobs::handed_until.eq(*run_at + grace),
                jobs::last_error.eq(None::<String>),
            ))
            .execute(conn)?,
        JobEnd::Done | JobEnd::Failed { .. } => diesel::delete(same()).execute(conn)?,
    };
    if settled == 1 {
        return Ok(false);
    }
    // Something came while it ran: it is due again.
    let again = kept::update(mine())
        .set((
            free(),
            jobs::version.eq(jobs::version + 1),
            jobs::attempts.eq(0),
            jobs::run_at.eq(now),
            jobs::handed_until.eq(0),
        ))
        .execute(conn)?;
    Ok(again == 1)
}
