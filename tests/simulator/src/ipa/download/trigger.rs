//! ProfileDownloadTriggerRequest and its result, `BF54` (SGP.32 v1.2 2.11.1.3).

use crate::tlv::{Tlv, element, integer};
use eim_core::ids::ActivationCode;

/// Where the profile waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// activationCode.
    Code(ActivationCode),
    /// contactDefaultSmdp.
    DefaultSmdp,
    /// contactSmds; without an address the root SM-DS.
    Smds(Option<String>),
    /// The eIM keeps it.
    Held,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trigger {
    pub source: Source,
    pub eim_transaction_id: Option<Vec<u8>>,
}

impl Trigger {
    pub fn read(octets: &[u8]) -> Option<Self> {
        let request = Tlv::only(octets).filter(|tlv| tlv.tag == 0xbf54)?;
        let mut fields = request.children()?.into_iter().peekable();
        let source = match fields.next_if(|tlv| tlv.tag == 0xa0) {
            Some(data) => source(&Tlv::only(data.content)?)?,
            None => Source::Held,
        };
        let eim_transaction_id = fields.next_if(|tlv| tlv.tag == 0x82).map(|tlv| tlv.content.to_vec());
        Some(Self { source, eim_transaction_id })
    }
}

fn source(arm: &Tlv<'_>) -> Option<Source> {
    let text = |tlv: &Tlv<'_>| std::str::from_utf8(tlv.content).ok().map(str::to_owned);
    Some(match arm.tag {
        0x80 => Source::Code(text(arm)?.parse().ok()?),
        0x81 => Source::DefaultSmdp,
        0xa2 => Source::Smds(match arm.child(0x80) {
            Some(address) => Some(text(&address)?),
            None => None,
        }),
        _ => return None,
    })
}

/// `BF54 { 82 tx?, BF37 }`.
pub(super) fn installed(eim_transaction_id: Option<&[u8]>, installation_result: &[u8]) -> Vec<u8> {
    element(0xbf54, &[&transaction(eim_transaction_id), installation_result])
}

/// `BF54 { 82 tx?, 30 { 80 reason, 04 errorResponse? } }`.
pub(super) fn failed(eim_transaction_id: Option<&[u8]>, reason: i64, response: Option<&[u8]>) -> Vec<u8> {
    let response = response.map(|response| element(0x04, &[response])).unwrap_or_default();
    element(0xbf54, &[&transaction(eim_transaction_id), &element(0x30, &[&integer(0x80, reason), &response])])
}

/// The refusal of a trigger, whatever is in it.
pub(super) fn refuse(request: &[u8]) -> Vec<u8> {
    let transaction = Tlv::only(request).and_then(|request| request.child(0x82)).map(|tlv| tlv.content);
    failed(transaction, 127, None)
}

fn transaction(eim_transaction_id: Option<&[u8]>) -> Vec<u8> {
    eim_transaction_id.map(|id| element(0x82, &[id])).unwrap_or_default()
}
