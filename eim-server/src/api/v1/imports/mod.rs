//! Imports: many lines in one request, and a report on each.

pub mod euiccs;
pub mod manufacturing;
pub mod operations;
pub mod portable;
mod stream;
