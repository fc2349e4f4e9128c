//! The stream of events.

pub mod list;
mod sse;
