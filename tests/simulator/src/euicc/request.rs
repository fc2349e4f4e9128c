//! Takes a package request apart, keeping the octets that are signed (SGP.32 v1.2 2.11.1.1).

use super::error::{EuiccError, command};
use crate::tlv::Tlv;
use eim_core::asn1::{self, Eco, Psmo};

const EXPECTED: &str = "EuiccPackageRequest";

/// `BF51 { 30 { 80 eimId, 5A eid, 81 counter, 82 tx?, A0 | A1 }, 5F37 signature }`.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The whole `30`.
    pub signed: &'a [u8],
    pub signature: &'a [u8],
    pub eim_id: &'a str,
    pub eid: &'a [u8],
    pub counter: i64,
    pub eim_transaction_id: Option<&'a [u8]>,
    pub operations: Operations,
}

/// The operations, in order; `None` is one that is not known.
#[derive(Debug)]
pub(super) enum Operations {
    Psmo(Vec<Option<Psmo>>),
    Eco(Vec<Option<Eco>>),
}

impl<'a> Request<'a> {
    pub fn read(octets: &'a [u8]) -> Result<Self, EuiccError> {
        Self::parts(octets).ok_or(command(EXPECTED))
    }

    fn parts(octets: &'a [u8]) -> Option<Self> {
        let request = Tlv::only(octets).filter(|tlv| tlv.tag == 0xbf51)?;
        let children = request.children()?;
        let [signed, signature] = children.as_slice() else { return None };
        if signed.tag != 0x30 || signature.tag != 0x5f37 {
            return None;
        }
        let mut fields = signed.children()?.into_iter().peekable();
        let eim_id = fields.next().filter(|tlv| tlv.tag == 0x80)?;
        let eid = fields.next().filter(|tlv| tlv.tag == 0x5a && tlv.content.len() == 16)?;
        let counter = fields.next().filter(|tlv| tlv.tag == 0x81)?;
        let eim_transaction_id = fields.next_if(|tlv| tlv.tag == 0x82);
        let package = fields.next()?;
        let operations = match package.tag {
            0xa0 => Operations::Psmo(each(&package, |octets| asn1::decode::<Psmo>(octets).ok())?),
            0xa1 => Operations::Eco(each(&package, |octets| asn1::decode::<Eco>(octets).ok())?),
            _ => return None,
        };
        Some(Self {
            signed: signed.octets,
            signature: signature.content,
            eim_id: std::str::from_utf8(eim_id.content).ok().filter(|id| (1..=128).contains(&id.len()))?,
            eid: eid.content,
            counter: counter.integer()?,
            eim_transaction_id: eim_transaction_id.map(|tlv| tlv.content),
            operations,
        })
    }
}

fn each<T>(list: &Tlv<'_>, read: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<Option<T>>> {
    Some(list.children()?.iter().map(|tlv| read(tlv.octets)).collect())
}
