//! The server that a session is for, and what it is asked for.

use super::trigger::{Source, Trigger};
use crate::euicc::Euicc;

/// Where a session goes.
#[derive(Clone)]
pub(super) struct Target {
    /// The server; unknown when the eIM keeps it.
    pub address: Option<String>,
    pub matching_id: Option<String>,
    /// What registeredID the server must show.
    pub oid: Option<String>,
    pub eim_transaction_id: Option<Vec<u8>>,
}

impl Target {
    /// What a trigger points to on this eUICC; without an eimTransactionId in it, this one goes on.
    pub fn of(trigger: &Trigger, euicc: &Euicc, eim_transaction_id: Option<Vec<u8>>) -> Self {
        let none = Self {
            address: None,
            matching_id: None,
            oid: None,
            eim_transaction_id: trigger.eim_transaction_id.clone().or(eim_transaction_id),
        };
        match &trigger.source {
            Source::Held => none,
            Source::DefaultSmdp => Self { address: euicc.default_dp_address.clone(), ..none },
            Source::Smds(address) => {
                Self { address: address.clone().or_else(|| euicc.root_smds_address.clone()), ..none }
            }
            Source::Code(code) => Self {
                address: Some(code.smdp_address().to_owned()),
                matching_id: Some(code.matching_id().to_owned()),
                oid: code.smdp_oid().map(str::to_owned),
                ..none
            },
        }
    }

    /// What an event of an SM-DS points to.
    pub fn event(&self, (id, server): (String, String)) -> Self {
        let eim_transaction_id = self.eim_transaction_id.clone();
        Self { address: Some(server), matching_id: Some(id), oid: None, eim_transaction_id }
    }
}
