//! From records to the bodies of the API: what the columns of an import are called, and what stands in them.

use super::cells;
use super::records::{BulkFormat, Content, Record, Records};
use crate::domain::FieldError;
use crate::manage::ManageError;
use serde_json::{Map, Value, json};

/// The columns of devices, in the order of an export.
pub(super) const EUICC_COLUMNS: [&str; 10] = [
    "eid",
    "label",
    "tags",
    "counterValue",
    "associationToken",
    "euiccCertificate",
    "eumCertificate",
    "resultPolicy",
    "eimId",
    "signingKey",
];

const OPERATION_COLUMNS: [&str; 11] = [
    "eid",
    "psmo",
    "eco",
    "euiccData",
    "profileDownload",
    "activationCode",
    "confirmationCode",
    "label",
    "notBefore",
    "validUntil",
    "idempotencyKey",
];

/// The longest name of a column that is told back.
const NAME_SHOWN: usize = 64;

/// What an import is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOf {
    /// Devices to register.
    Euiccs,
    /// Devices to register as their manufacturer tells them.
    Manufacturing,
    /// Operations to queue.
    Operations,
}

/// One line of an import.
#[derive(Debug)]
pub struct ImportLine {
    /// Its number, from 1; the header of CSV is a line.
    pub line: u64,
    pub(super) body: Result<Map<String, Value>, Vec<FieldError>>,
    pub(super) format: BulkFormat,
}

/// Reads the lines of an import out of octets as they arrive.
#[derive(Debug)]
pub struct ImportReader {
    of: ImportOf,
    format: BulkFormat,
    records: Records,
    columns: Option<Vec<&'static str>>,
    ended: bool,
}

impl ImportReader {
    /// A reader that has read nothing.
    #[must_use]
    pub const fn new(of: ImportOf, format: BulkFormat) -> Self {
        Self { of, format, records: Records::new(format), columns: None, ended: false }
    }

    /// More octets. To be called when [`Self::next_line`] gave `None`.
    pub fn push(&mut self, octets: &[u8]) {
        self.records.push(octets);
    }

    /// Nothing more comes.
    pub const fn end(&mut self) {
        self.ended = true;
        self.records.end();
    }

    /// Whether the header is read; NDJSON has none. `false` until more is pushed.
    ///
    /// # Errors
    /// When there is no header, or a column that is not known, is there twice, or lacks.
    pub fn header(&mut self) -> Result<bool, ManageError> {
        if self.format == BulkFormat::Ndjson || self.columns.is_some() {
            return Ok(true);
        }
        let known = self.known();
        let expected = || {
            let message = format!("a header row is expected, of {}, separated by commas", known.join(", "));
            ManageError::invalid("", message)
        };
        let Some(record) = self.records.next() else {
            return if self.ended { Err(expected()) } else { Ok(false) };
        };
        let Ok(Content::Cells(names)) = record.content else { return Err(expected()) };
        self.columns = Some(self.columns_of(&names)?);
        Ok(true)
    }

    /// The next line; `None` until more is pushed, or at the end.
    pub fn next_line(&mut self) -> Option<ImportLine> {
        let Record { line, content } = self.records.next()?;
        let body = match content {
            Err(why) => Err(vec![FieldError::new("", why)]),
            Ok(Content::Text(text)) => object(&text),
            Ok(Content::Cells(cells)) => self.body(&cells),
        };
        Some(ImportLine { line, body, format: self.format })
    }

    const fn known(&self) -> &'static [&'static str] {
        match self.of {
            ImportOf::Euiccs | ImportOf::Manufacturing => &EUICC_COLUMNS,
            ImportOf::Operations => &OPERATION_COLUMNS,
        }
    }

    fn columns_of(&self, names: &[String]) -> Result<Vec<&'static str>, ManageError> {
        let mut errors = Vec::new();
        let mut columns: Vec<&'static str> = Vec::new();
        for name in names {
            let shown: String = name.chars().take(NAME_SHOWN).collect();
            match self.known().iter().find(|known| *known == name) {
                None => {
                    let message = format!("no such column; known are {}", self.known().join(", "));
                    errors.push(FieldError::new(format!("/{shown}"), message));
                }
                Some(known) if columns.contains(known) => {
                    errors.push(FieldError::new(format!("/{shown}"), "this column is there twice"));
                }
                Some(known) => columns.push(known),
            }
            // One is enough to correct a file that is no CSV at all.
            if errors.len() > self.known().len() {
                break;
            }
        }
        if !columns.contains(&"eid") {
            errors.push(FieldError::new("/eid", "this column is needed"));
        }
        if errors.is_empty() { Ok(columns) } else { Err(ManageError::Invalid(errors)) }
    }

    fn body(&self, cells: &[String]) -> Result<Map<String, Value>, Vec<FieldError>> {
        let columns = self.columns.as_deref().unwrap_or_default();
        if cells.len() != columns.len() {
            let message = format!("{} cells are expected, as in the header; there are {}", columns.len(), cells.len());
            return Err(vec![FieldError::new("", message)]);
        }
        let filled = columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
        let filled = filled.map(|(column, cell)| (*column, cells::unguarded(cell)));
        match self.of {
            ImportOf::Euiccs | ImportOf::Manufacturing => euicc_body(filled),
            ImportOf::Operations => operation_body(filled),
        }
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Vec<FieldError>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(vec![FieldError::new("", "an object is expected")]),
        // The position alone: the text may hold a code.
        Err(error) => Err(vec![FieldError::new("", format!("the line is not JSON (at column {})", error.column()))]),
    }
}

fn euicc_body<'a>(cells: impl Iterator<Item = (&'static str, &'a str)>) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut body = Map::new();
    let mut association = Map::new();
    let mut errors = Vec::new();
    for (column, cell) in cells {
        match column {
            "tags" => drop(body.insert(column.to_owned(), json!(cells::split(cell)))),
            "counterValue" | "associationToken" => match cell.parse::<i64>() {
                Ok(number) => drop(association.insert(column.to_owned(), number.into())),
                Err(_) => errors.push(FieldError::new(format!("/{column}"), "a whole number is expected")),
            },
            "eimId" | "signingKey" => drop(association.insert(column.to_owned(), cell.into())),
            _ => drop(body.insert(column.to_owned(), cell.into())),
        }
    }
    if !association.is_empty() {
        body.insert("association".to_owned(), association.into());
    }
    if errors.is_empty() { Ok(body) } else { Err(errors) }
}

fn operation_body<'a>(
    cells: impl Iterator<Item = (&'static str, &'a str)>,
) -> Result<Map<String, Value>, Vec<FieldError>> {
    let mut body = Map::new();
    let mut download = Map::new();
    let mut errors = Vec::new();
    for (column, cell) in cells {
        match column {
            "psmo" | "eco" | "euiccData" | "profileDownload" => match serde_json::from_str::<Value>(cell) {
                Ok(value) => drop(body.insert(column.to_owned(), value)),
                Err(error) => {
                    let message = format!("JSON is expected (it is none at column {} of the cell)", error.column());
                    errors.push(FieldError::new(format!("/{column}"), message));
                }
            },
            "activationCode" | "confirmationCode" => drop(download.insert(column.to_owned(), cell.into())),
            _ => drop(body.insert(column.to_owned(), cell.into())),
        }
    }
    if !download.is_empty() {
        match body.get_mut("profileDownload") {
            None => drop(body.insert("profileDownload".to_owned(), download.into())),
            Some(Value::Object(members)) => {
                for (column, cell) in download {
                    if members.insert(column.clone(), cell).is_some() {
                        let message = "this stands in profileDownload, too";
                        errors.push(FieldError::new(format!("/{column}"), message));
                    }
                }
            }
            Some(_) => errors.push(FieldError::new("/profileDownload", "an object is expected")),
        }
    }
    if errors.is_empty() { Ok(body) } else { Err(errors) }
}

/// Names a place of a body as the line has it: in CSV by its column.
pub(super) fn as_in_line(mut error: FieldError, format: BulkFormat) -> FieldError {
    if format == BulkFormat::Csv {
        for (place, columns) in [
            ("/association", ["/counterValue", "/associationToken", "/eimId", "/signingKey"].as_slice()),
            ("/profileDownload", ["/activationCode", "/confirmationCode"].as_slice()),
        ] {
            if let Some(rest) = error.pointer.strip_prefix(place)
                && columns.contains(&rest)
            {
                error.pointer = rest.to_owned();
            }
        }
    }
    error
}
