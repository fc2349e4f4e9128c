//! The transactions, written once and compiled for each backend: the including module names its `Connection`.

mod api_key;
mod association;
mod authority;
mod campaign;
mod decision;
mod desired;
mod download;
mod euicc;
mod event;
mod firing;
mod job;
mod notification;
mod operation;
mod pool;
mod rule;
mod snapshot;
mod stream;
mod switch;
mod tenant;
mod webhook;

pub(in crate::store) use api_key::*;
pub(in crate::store) use association::*;
pub(in crate::store) use authority::*;
pub(in crate::store) use campaign::*;
pub(in crate::store) use decision::*;
pub(in crate::store) use desired::*;
pub(in crate::store) use download::*;
pub(in crate::store) use euicc::*;
pub(in crate::store) use event::*;
pub(in crate::store) use firing::*;
pub(in crate::store) use job::*;
pub(in crate::store) use notification::*;
pub(in crate::store) use operation::*;
pub(in crate::store) use pool::*;
pub(in crate::store) use rule::*;
pub(in crate::store) use snapshot::*;
pub(in crate::store) use stream::*;
pub(in crate::store) use switch::*;
pub(in crate::store) use tenant::*;
pub(in crate::store) use webhook::*;

use super::{Connection, horizon, stream_end};
