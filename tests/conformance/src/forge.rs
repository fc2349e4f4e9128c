//! Results signed to order with an eUICC's own key, and packages taken apart: octet by octet, without the eIM's codec.

use crate::device::Device;
use eim_core::pki::SigningKey;
use eim_simulator::tlv::{Tlv, element, integer};
use std::sync::Arc;

/// Signs results as an eUICC would.
pub struct Forge {
    /// SK.EUICC.ECDSA.
    pub key: Arc<SigningKey>,
    /// The associationToken that the signature is bound to; 0 for none.
    pub token: i64,
}

/// An eUICC Package Request taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPackage {
    /// BF51, whole.
    pub octets: Vec<u8>,
    /// euiccPackageSigned, whole.
    pub signed: Vec<u8>,
    /// eimSignature, the value.
    pub signature: Vec<u8>,
    /// eimId.
    pub eim_id: String,
    /// eidValue.
    pub eid: Vec<u8>,
    /// counterValue.
    pub counter: i64,
    /// eimTransactionId.
    pub transaction: Vec<u8>,
    /// `A0 { .. }` or `A1 { .. }`.
    pub operations: Vec<u8>,
}

/// The list of profiles that the eIM asks for by itself: `psmoList { listProfileInfo { tagList } }`, with profileOwner (B7)
/// and profilePolicyRules (99) beside the usual members.
const OWN_LIST: &str = "a014bf2d115c0f5a4f9f70919295b7999f7b9f269f67";

impl SentPackage {
    /// Whether this is the list of profiles that the eIM asks for by itself.
    #[must_use]
    pub fn is_own_list(&self) -> bool {
        hex::encode(&self.operations) == OWN_LIST
    }

    /// Reads BF51, or the BF4F around it.
    #[must_use]
    pub fn read(octets: &[u8]) -> Self {
        let bad = || panic!("no eUICC Package Request: {}", hex::encode(octets));
        let mut package = Tlv::only(octets).unwrap_or_else(bad);
        if package.tag == 0xbf4f {
            package = package.child(0xbf51).unwrap_or_else(bad);
        }
        assert_eq!(package.tag, 0xbf51, "{}", hex::encode(octets));
        let parts = package.children().unwrap_or_else(|| panic!("cut off"));
        let [signed, signature] = parts.as_slice() else { panic!("not two parts") };
        assert_eq!((signed.tag, signature.tag, signature.content.len()), (0x30, 0x5f37, 64));
        let fields = signed.children().unwrap_or_else(|| panic!("cut off"));
        let tags: Vec<u32> = fields.iter().map(|field| field.tag).collect();
        assert!(
            matches!(tags.as_slice(), [0x80, 0x5a, 0x81, 0x82, 0xa0 | 0xa1]),
            "the fields of EuiccPackageSigned in order, eimTransactionId always: {tags:x?}"
        );
        Self {
            octets: package.octets.to_vec(),
            signed: signed.octets.to_vec(),
            signature: signature.content.to_vec(),
            eim_id: String::from_utf8(fields[0].content.to_vec()).unwrap(),
            eid: fields[1].content.to_vec(),
            counter: fields[2].integer().unwrap(),
            transaction: fields[3].content.to_vec(),
            operations: fields[4].octets.to_vec(),
        }
    }
}

impl Forge {
    /// Signs as this device's eUICC, without a token.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self { key: device.euicc.identity().key.clone(), token: 0 }
    }

    /// `BF51 { A0 { 30 { 80 81 82? 83 30 { list } }, 5F37 } }`
    #[must_use]
    pub fn result(&self, eim_id: &str, counter: i64, transaction: Option<&[u8]>, seq: i64, list: &[&[u8]]) -> Vec<u8> {
        let mut data = self.head(eim_id, counter, transaction);
        data.extend(integer(0x83, seq));
        data.extend(element(0x30, list));
        self.sign(0xa0, &element(0x30, &[&data]))
    }

    /// The result of a package that was sent.
    #[must_use]
    pub fn answer(&self, package: &SentPackage, seq: i64, list: &[&[u8]]) -> Vec<u8> {
        self.result(&package.eim_id, package.counter, Some(&package.transaction), seq, list)
    }

    /// `BF51 { A1 { 30 { 80 81 82? 02 code }, 5F37 } }`
    #[must_use]
    pub fn error(&self, package: &SentPackage, code: i64) -> Vec<u8> {
        let mut data = self.head(&package.eim_id, package.counter, Some(&package.transaction));
        data.extend(integer(0x02, code));
        self.sign(0xa1, &element(0x30, &[&data]))
    }

    fn head(&self, eim_id: &str, counter: i64, transaction: Option<&[u8]>) -> Vec<u8> {
        let mut data = element(0x80, &[eim_id.as_bytes()]);
        data.extend(integer(0x81, counter));
        data.extend(transaction.map(|id| element(0x82, &[id])).unwrap_or_default());
        data
    }

    fn sign(&self, arm: u32, data: &[u8]) -> Vec<u8> {
        let mut message = data.to_vec();
        message.extend(integer(0x84, self.token));
        let signature = self.key.sign_deterministic(&message);
        element(0xbf51, &[&element(arm, &[data, &element(0x5f37, &[&signature])])])
    }
}
