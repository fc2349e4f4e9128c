//! Makes compact forms of what an eUICC gave (SGP.32 v1.2 6.3, minimizeEsipaBytes). Octets that are not of the expected
//! shape, error arms among them, stay as they are.

use crate::tlv::{Tlv, element};
use eim_core::ids::Eid;

/// EUICCResponse of a profile whose elements are all in order; left out.
const SIMA_OK: [u8; 9] = [0x30, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x80, 0x01, 0x00];

/// `BF38 { A2 { A0 { 84, A2 { ctxParams1 }? }, 5F37, A1?, A2? } }`; ctxParams1 only when `ctx_params1`.
pub(super) fn authenticate_response(octets: &[u8], certificates: bool, ctx_params1: bool) -> Vec<u8> {
    let made = || {
        let fields = arm(octets, 0xa0)?;
        let [signed, signature, euicc, eum] = fields.as_slice() else { return None };
        let resource = signed.child(0xbf22)?.child(0x84)?;
        let context = signed.child(0xa0).filter(|_| ctx_params1);
        let context = context.map(|context| element(0xa2, &[context.octets])).unwrap_or_default();
        let shown = [element(0xa1, &[euicc.content]), element(0xa2, &[eum.content])].concat();
        let shown = if certificates { shown } else { Vec::new() };
        let data = element(0xa0, &[resource.octets, &context]);
        Some(element(0xbf38, &[&element(0xa2, &[&data, signature.octets, &shown])]))
    };
    made().unwrap_or_else(|| octets.to_vec())
}

/// `BF21 { A2 { 30 { 5F49?, 04? }, 5F37 } }`; the key and the hash only when the eIM can't know them.
pub(super) fn prepare_response(octets: &[u8], otpk: bool, hash_cc: bool) -> Vec<u8> {
    let made = || {
        let fields = arm(octets, 0xa0)?;
        let [signed, signature] = fields.as_slice() else { return None };
        let kept = |tag, wanted| signed.child(tag).filter(|_| wanted).map(|tlv| tlv.octets).unwrap_or_default();
        let data = element(0x30, &[kept(0x5f49, otpk), kept(0x04, hash_cc)]);
        Some(element(0xbf21, &[&element(0xa2, &[&data, signature.octets])]))
    };
    made().unwrap_or_else(|| octets.to_vec())
}

/// `BF41 { A2 { 30 { 80 reason }, 5F37 } }`.
pub(super) fn cancel_response(octets: &[u8]) -> Vec<u8> {
    let made = || {
        let fields = arm(octets, 0xa0)?;
        let [signed, signature] = fields.as_slice() else { return None };
        let reason = element(0x80, &[signed.child(0x82)?.content]);
        Some(element(0xbf41, &[&element(0xa2, &[&element(0x30, &[&reason]), signature.octets])]))
    };
    made().unwrap_or_else(|| octets.to_vec())
}

/// `A0 { A0 { 80, 02, 01?, A2 { A0 { 4F, 04? } | A1 } }, 5F37 }` of a Profile Installation Result, `A1 { 5A, BF2F, 5F37 }`
/// of another notification.
pub(in crate::ipa) fn notification(octets: &[u8], eid: &Eid) -> Vec<u8> {
    let made = match Tlv::only(octets) {
        Some(result) if result.tag == 0xbf37 => installation_result(&result),
        Some(other) if other.tag == 0x30 => other_signed(&other, eid),
        _ => None,
    };
    made.unwrap_or_else(|| octets.to_vec())
}

fn installation_result(result: &Tlv<'_>) -> Option<Vec<u8>> {
    let data = result.child(0xbf27)?;
    let metadata = data.child(0xbf2f)?;
    let final_result = Tlv::only(data.child(0xa2)?.content)?;
    let compact = if final_result.tag == 0xa0 {
        let aid = element(0x4f, &[final_result.child(0x4f)?.content.get(13..15)?]);
        let response = final_result.child(0x04)?;
        let response = if response.content == SIMA_OK { &[][..] } else { response.octets };
        element(0xa0, &[&aid, response])
    } else {
        final_result.octets.to_vec()
    };
    let absent = if metadata.child(0x5a).is_some() { Vec::new() } else { element(0x01, &[&[0]]) };
    let fields = [
        data.child(0x80)?.octets,
        &element(0x02, &[metadata.child(0x80)?.content]),
        &absent,
        &element(0xa2, &[&compact]),
    ];
    Some(element(0xa0, &[&element(0xa0, &fields), result.child(0x5f37)?.octets]))
}

fn other_signed(notification: &Tlv<'_>, eid: &Eid) -> Option<Vec<u8>> {
    let (metadata, signature) = (notification.child(0xbf2f)?, notification.child(0x5f37)?);
    Some(element(0xa1, &[&element(0x5a, &[eid.octets()]), metadata.octets, signature.octets]))
}

/// The fields of this arm of a CHOICE.
fn arm(octets: &[u8], tag: u32) -> Option<Vec<Tlv<'_>>> {
    Tlv::only(Tlv::only(octets)?.content).filter(|arm| arm.tag == tag)?.children()
}
