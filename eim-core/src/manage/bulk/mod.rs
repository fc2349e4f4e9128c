//! Devices and operations in bulk: import with a report on each line, and export, both a part at a time.
//!
//! Nothing here holds a whole file. Octets go into an [`ImportReader`], its lines in small groups to an [`Importer`], and
//! an [`Export`] gives page after page. Each line is a transaction of its own: it is carried out or not, whatever becomes
//! of the others, and an import that broke off may be repeated.

mod cells;
mod columns;
mod export;
mod import;
mod records;

pub use columns::{ImportLine, ImportOf, ImportReader};
pub use export::{Export, export_associations, export_euiccs, export_operations};
pub use import::{ImportSummary, Imported, Importer, LineError, LineOutcome, LineReport, Stopped, SummaryLine};
pub use records::BulkFormat;
