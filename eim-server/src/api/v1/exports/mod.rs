//! Exports: everything that a filter names, in one answer.

pub mod associations;
pub mod audit;
pub mod euiccs;
pub mod operations;
pub mod portable;

use crate::api::Problem;
use crate::api::request::Parameters;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use eim_core::Eim;
use eim_core::manage::{BulkFormat, Export, ManageError};
use futures_util::stream;

/// The `format` of an export.
fn format(parameters: &mut Parameters) -> Result<BulkFormat, Problem> {
    match parameters.text("format").as_deref() {
        None | Some("csv") => Ok(BulkFormat::Csv),
        Some("ndjson") => Ok(BulkFormat::Ndjson),
        Some(_) => Err(Problem::malformed_parameter("format", "csv or ndjson is expected")),
    }
}

/// An answer that is read from the store while it is sent. When the store fails on the way the connection is cut, so that a
/// part is not taken for the whole.
fn answer(export: Export, format: BulkFormat, name: &str, eim: Eim) -> HttpResponse {
    let (media_type, extension) = match format {
        BulkFormat::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        BulkFormat::Ndjson => ("application/x-ndjson", "ndjson"),
    };
    let parts = stream::try_unfold((export, eim), async |(mut export, eim)| {
        let part = export.next_part(&eim).await.inspect_err(|error| tracing::error!(%error, "an export broke off"))?;
        Ok::<_, ManageError>(part.map(|part| (Bytes::from(part), (export, eim))))
    });
    HttpResponse::Ok()
        .content_type(media_type)
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{extension}\"")))
        .streaming(Box::pin(parts))
}
