//! An SM-DP+ and an SM-DS that listen on 127.0.0.1 and speak ES9+ and ES11 in JSON over TLS (SGP.22 v2.5 5.6, 5.8, 6.5).
//!
//! They check what real servers check (certificates, signatures, sessions, confirmation codes) with the eIM's
//! cryptography and nothing else of it, answer refusals with HTTP 200 and the codes of SGP.22 5.2.6, and misbehave on
//! request. Everything they make up follows from the seed in their options.
//!
//! Choices where the specification leaves room: a session stays open after a refusal, so that it can be tried again or
//! cancelled; a download order that was cancelled with postponed(1) or timeout(2) can be downloaded later, any other
//! that has ended can't; smdpSigned2 never offers an earlier otPK.EUICC.ECKA; members that are missing or can't be read
//! are answered with 1.2.1/2.2 and 1.2.1/2.1.

mod authentication;
mod core;
mod faults;
mod http;
mod json;
mod options;
mod order;
mod smdp;
mod smdp_functions;
mod smds;

pub use faults::{Refuse, SmdpFaults, TlsFault, TransportFault};
pub use http::CallRecord;
pub use json::RspFunction;
pub use options::{SmdpOptions, SmdsOptions};
pub use order::{Order, OrderState};
pub use smdp::SmdpServer;
pub use smds::SmdsServer;
