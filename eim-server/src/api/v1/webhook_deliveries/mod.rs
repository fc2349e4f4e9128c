//! Deliveries to webhooks outside of the order of the stream.

pub mod retry;
pub mod show;
