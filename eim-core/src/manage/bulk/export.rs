//! Exports, a page at a time.

use super::cells;
use super::columns::EUICC_COLUMNS;
use super::records::BulkFormat;
use crate::Eim;
use crate::domain::Euicc;
use crate::ids::{AssociationToken, Eid};
use crate::manage::views::{EimOnEuiccView, OperationView};
use crate::manage::{
    EuiccFilter, ManageError, NewAssociation, NewEuicc, OperationFilter, association, euicc, operation, view,
};
use crate::store;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// How many rows are read at once.
const PAGE: i64 = 200;

const ASSOCIATION_COLUMNS: [&str; 16] = [
    "eid",
    "eimId",
    "own",
    "state",
    "verified",
    "eimIdType",
    "eimFqdn",
    "associationToken",
    "counterValue",
    "keySha256",
    "learnedBy",
    "toldBy",
    "operation",
    "learnedAt",
    "changedAt",
    "lostCause",
];

const OPERATION_COLUMNS: [&str; 19] = [
    "id",
    "eid",
    "kind",
    "origin",
    "state",
    "label",
    "createdAt",
    "deliveredAt",
    "completedAt",
    "notBefore",
    "validUntil",
    "counterValue",
    "eimTransactionId",
    "attempts",
    "verified",
    "errorName",
    "errorMessage",
    "request",
    "results",
];

/// An export under way. Rows that are written meanwhile may be in it or not.
#[derive(Debug)]
pub struct Export {
    rows: Rows,
    format: BulkFormat,
    begun: bool,
    ended: bool,
}

#[derive(Debug)]
enum Rows {
    Euiccs(store::EuiccFilter),
    Operations(store::OperationFilter),
    Associations(store::EuiccFilter),
}

/// A line of an export of associations.
#[derive(Debug, Serialize)]
struct AssociationRow {
    eid: String,
    #[serde(flatten)]
    eim: EimOnEuiccView,
}

/// Begins an export of devices, in the notation that an import takes: what they were registered with, and the counter
/// and token as they are now.
///
/// # Errors
/// When a filter can't be taken. `cursor` and `limit` of the filter are not used.
pub fn export_euiccs(filter: EuiccFilter, format: BulkFormat) -> Result<Export, ManageError> {
    let rows = Rows::Euiccs(euicc::store_filter(filter, 0, PAGE)?);
    Ok(Export { rows, format, begun: false, ended: false })
}

/// Begins an export of operations and what became of them. It is a record, not an import: codes are not in it.
///
/// # Errors
/// When a filter can't be taken. `cursor` and `limit` of the filter are not used.
pub fn export_operations(filter: OperationFilter, format: BulkFormat) -> Result<Export, ManageError> {
    let rows = Rows::Operations(operation::store_filter(filter, 0, PAGE)?);
    Ok(Export { rows, format, begun: false, ended: false })
}

/// Begins an export of every eIM on devices, as far as it is known: for each device this eIM first. It is a record, not an
/// import.
///
/// # Errors
/// When a filter can't be taken. `cursor` and `limit` of the filter are not used.
pub fn export_associations(filter: EuiccFilter, format: BulkFormat) -> Result<Export, ManageError> {
    let rows = Rows::Associations(euicc::store_filter(filter, 0, PAGE)?);
    Ok(Export { rows, format, begun: false, ended: false })
}

impl Export {
    /// The next part; `None` when all is out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_part(&mut self, eim: &Eim) -> Result<Option<String>, ManageError> {
        if self.ended {
            return Ok(None);
        }
        let mut out = String::new();
        if self.format == BulkFormat::Csv && !self.begun {
            cells::put_row(
                &mut out,
                match self.rows {
                    Rows::Euiccs(_) => EUICC_COLUMNS.as_slice(),
                    Rows::Operations(_) => OPERATION_COLUMNS.as_slice(),
                    Rows::Associations(_) => ASSOCIATION_COLUMNS.as_slice(),
                }
                .iter()
                .copied(),
            );
        }
        self.begun = true;
        let rows = match &mut self.rows {
            Rows::Euiccs(filter) => {
                let found = eim.store().euiccs(filter.clone()).await?;
                filter.after = found.last().map_or(filter.after, |listed| listed.seq);
                found.iter().for_each(|listed| put_euicc(&mut out, &listed.euicc, self.format, eim));
                found.len()
            }
            Rows::Associations(filter) => {
                let found = eim.store().euiccs(filter.clone()).await?;
                filter.after = found.last().map_or(filter.after, |listed| listed.seq);
                let eids = found.iter().map(|listed| listed.euicc.eid).collect();
                let mut others = eim.store().other_eims_among(eids).await?;
                for listed in &found {
                    let eid = listed.euicc.eid;
                    put_association(&mut out, eid, association::own(&listed.euicc, eim), self.format);
                    for (_, other) in others.extract_if(.., |(of, _)| *of == eid) {
                        put_association(&mut out, eid, association::other(other), self.format);
                    }
                }
                found.len()
            }
            Rows::Operations(filter) => {
                let found = eim.store().operations(filter.clone()).await?;
                filter.after = found.last().map_or(filter.after, |operation| operation.seq);
                let rows = found.len();
                found.into_iter().map(view::operation).for_each(|view| put_operation(&mut out, &view, self.format));
                rows
            }
        };
        self.ended = i64::try_from(rows).unwrap_or(i64::MAX) < PAGE;
        Ok(Some(out).filter(|out| !out.is_empty()))
    }
}

fn put_line(out: &mut String, row: &impl Serialize) {
    // Texts and numbers only: this can't fail.
    out.push_str(&serde_json::to_string(row).unwrap_or_default());
    out.push('\n');
}

fn put_euicc(out: &mut String, euicc: &Euicc, format: BulkFormat, eim: &Eim) {
    // A key that a fresh registration would get anyway is not named.
    let usual = eim.keys().current(eim.eim_id_of(euicc)).map(|key| key.id);
    let base64 = |der: &Option<Vec<u8>>| der.as_ref().map(|der| STANDARD.encode(der));
    let row = NewEuicc {
        eid: euicc.eid.to_string(),
        label: euicc.label.clone(),
        tags: Some(euicc.tags.clone()).filter(|tags| !tags.is_empty()),
        association: Some(NewAssociation {
            counter_value: Some(euicc.counter.value()),
            association_token: euicc.association_token.map(AssociationToken::value),
            // Neither is the name that it would get.
            eim_id: euicc.eim_id.as_ref().filter(|id| **id != eim.identity().eim_id).map(ToString::to_string),
            signing_key: euicc.signing_key.filter(|key| Some(*key) != usual).map(|key| key.to_string()),
            ..NewAssociation::default()
        }),
        eum_certificate: base64(&euicc.eum_certificate),
        euicc_certificate: base64(&euicc.euicc_certificate),
        result_policy: Some(euicc.result_policy.as_str().to_owned()),
    };
    if format == BulkFormat::Ndjson {
        return put_line(out, &row);
    }
    let association = row.association.unwrap_or_default();
    let row = [
        row.eid,
        row.label.unwrap_or_default(),
        cells::join(&row.tags.unwrap_or_default()),
        text(association.counter_value),
        text(association.association_token),
        row.euicc_certificate.unwrap_or_default(),
        row.eum_certificate.unwrap_or_default(),
        row.result_policy.unwrap_or_default(),
        association.eim_id.unwrap_or_default(),
        association.signing_key.unwrap_or_default(),
    ];
    cells::put_row(out, row.iter().map(String::as_str));
}

fn put_association(out: &mut String, eid: Eid, eim: EimOnEuiccView, format: BulkFormat) {
    if format == BulkFormat::Ndjson {
        return put_line(out, &AssociationRow { eid: eid.to_string(), eim });
    }
    let row = [
        eid.to_string(),
        eim.eim_id,
        eim.own.to_string(),
        eim.state,
        eim.verified.to_string(),
        eim.eim_id_type.unwrap_or_default(),
        eim.eim_fqdn.unwrap_or_default(),
        text(eim.association_token),
        text(eim.counter_value),
        eim.key_sha256.unwrap_or_default(),
        eim.learned_by,
        eim.told_by.unwrap_or_default(),
        eim.operation.unwrap_or_default(),
        eim.learned_at,
        eim.changed_at,
        eim.lost_cause.unwrap_or_default(),
    ];
    cells::put_row(out, row.iter().map(String::as_str));
}

fn put_operation(out: &mut String, view: &OperationView, format: BulkFormat) {
    if format == BulkFormat::Ndjson {
        return put_line(out, view);
    }
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let error = view.error.as_ref();
    let row = [
        view.id.clone(),
        view.eid.clone(),
        view.kind.clone(),
        view.origin.clone(),
        view.state.clone(),
        optional(&view.label),
        view.created_at.clone(),
        optional(&view.delivered_at),
        optional(&view.completed_at),
        optional(&view.not_before),
        optional(&view.valid_until),
        text(view.counter_value),
        optional(&view.eim_transaction_id),
        view.attempts.to_string(),
        text(view.verified),
        error.map(|error| error.name.clone()).unwrap_or_default(),
        error.map(|error| error.message.clone()).unwrap_or_default(),
        view.request.to_string(),
        serde_json::to_string(&view.results).unwrap_or_default(),
    ];
    cells::put_row(out, row.iter().map(String::as_str));
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
