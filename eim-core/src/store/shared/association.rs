//! The other eIMs on an eUICC.

use super::Connection;
use crate::domain::OtherEim;
use crate::domain::changes::OtherEimChanges;
use crate::ids::{Eid, TenantId};
use crate::store::StoreError;
use crate::store::rows::OtherEimRow;
use crate::store::schema::other_eims;
use diesel::prelude::*;

pub(in crate::store) fn other_eims_of(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Vec<OtherEim>, StoreError> {
    other_eims::table
        .filter(other_eims::tenant_id.eq(tenant.value()).and(other_eims::eid.eq(eid.to_string())))
        .order((other_eims::learned_at, other_eims::eim_id))
        .select(OtherEimRow::as_select())
        .load(conn)?
        .into_iter()
        .map(OtherEimRow::other_eim)
        .collect()
}

/// Those of several eUICCs, each with its EID.
pub(in crate::store) fn other_eims_among(
    conn: &mut Connection,
    eids: &[Eid],
    tenant: TenantId,
) -> Result<Vec<(Eid, OtherEim)>, StoreError> {
    let rows: Vec<(String, OtherEimRow)> = other_eims::table
        .filter(other_eims::tenant_id.eq(tenant.value()))
        .filter(other_eims::eid.eq_any(eids.iter().map(ToString::to_string)))
        .order((other_eims::learned_at, other_eims::eim_id))
        .select((other_eims::eid, OtherEimRow::as_select()))
        .load(conn)?;
    let read = |(eid, row): (String, OtherEimRow)| {
        let eid = eid.parse().map_err(|_| StoreError::Corrupt { column: "other_eims.eid" })?;
        Ok((eid, row.other_eim()?))
    };
    rows.into_iter().map(read).collect()
}

pub(super) fn put_other_eims(
    conn: &mut Connection,
    eid: &Eid,
    changes: &OtherEimChanges,
    tenant: TenantId,
) -> Result<(), StoreError> {
    for eim_id in &changes.forgotten {
        let mine = other_eims::tenant_id.eq(tenant.value()).and(other_eims::eid.eq(eid.to_string()));
        diesel::delete(other_eims::table.filter(mine.and(other_eims::eim_id.eq(eim_id)))).execute(conn)?;
    }
    for eim in &changes.put {
        diesel::insert_into(other_eims::table)
            .values(OtherEimRow::new(eim, eid, tenant))
            .on_conflict((other_eims::tenant_id, other_eims::eid, other_eims::eim_id))
            .do_update()
            .set(OtherEimRow::new(eim, eid, tenant))
            .execute(conn)?;
    }
    Ok(())
}
