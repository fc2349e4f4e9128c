//! Binding and opening, and what an eUICC refuses.

use super::*;
use crate::pki::seeded_key;
use crate::tlv::element;
use eim_core::asn1::{self, BoundProfilePackage};
use eim_core::pki::{Curve, SigningKey};

const EID: [u8; 16] = [0x89; 16];
const TRANSACTION_ID: [u8; 16] = [7; 16];
const EUICC_SECRET: [u8; 32] = [3; 32];

struct Bench {
    key: SigningKey,
    metadata: Vec<u8>,
    profile: Vec<u8>,
}

impl Bench {
    fn new(octets: usize) -> Self {
        Self {
            key: seeded_key(Curve::P256, 1, "pb").unwrap(),
            metadata: element(0xbf25, &[&element(0x92, &[&[b'x'; 60]]), &element(0x94, &[&[9; 1024]])]),
            profile: (0..octets).map(|at| at as u8).collect(),
        }
    }

    fn bind(&self, protection_keys: bool) -> Vec<u8> {
        bind(&BindRequest {
            transaction_id: &TRANSACTION_ID,
            eid: EID,
            euicc_otpk: &otpk(&EUICC_SECRET).unwrap(),
            smdp_ot_secret: [5; 32],
            pb_key: &self.key,
            metadata: &self.metadata,
            profile: &self.profile,
            protection_keys,
        })
        .unwrap()
    }

    fn open(&self, bpp: &[u8]) -> Result<Opened, OpenError> {
        open(bpp, &TRANSACTION_ID, EID, &EUICC_SECRET, self.key.public_key())
    }
}

fn error(bpp_command_id: i64, error_reason: i64) -> Result<Opened, OpenError> {
    Err(OpenError { bpp_command_id, error_reason })
}

#[test]
fn what_is_bound_can_be_opened_and_decodes_as_a_bound_profile_package() {
    for octets in [0, 1, 15, 16, 1006, 1007, 1008, 40_000] {
        let bench = Bench::new(octets);
        for protection_keys in [false, true] {
            let bpp = bench.bind(protection_keys);
            let opened = bench.open(&bpp).unwrap();
            assert_eq!((&opened.metadata, &opened.profile), (&bench.metadata, &bench.profile), "{octets}");
            let decoded: BoundProfilePackage = asn1::decode(&bpp).unwrap();
            assert_eq!(decoded.initialise_secure_channel_request.transaction_id.as_slice(), TRANSACTION_ID);
            assert_eq!(decoded.second_sequence_of87.is_some(), protection_keys);
            assert_eq!(decoded.sequence_of86.len(), octets.div_ceil(1007));
            assert!(decoded.sequence_of86.iter().all(|block| block.0.len() <= 1016));
            assert!(!bpp.windows(16).any(|window| octets >= 16 && window == &bench.profile[..16]));
        }
    }
}

#[test]
fn the_derivation_and_the_protection_give_the_known_values() {
    // SHA256( Z || 00000001 || 88 10 10 hostId 10 EID ) and so on, computed with another library.
    let keys = keys::agree(&[5; 32], &otpk(&EUICC_SECRET).unwrap(), b"simulated SM-DP+", &EID).unwrap();
    let found = [keys.initial_mac_chaining_value, keys.enc, keys.cmac].concat();
    assert_eq!(
        hex::encode(found),
        "1febb6c4651d5b8e420a3560d0cb72a26b572b47cccf6332c599fa6db839f3cfa5a6d49ce32bb78869a938f4e1478fb3"
    );
    let mut channel = channel::Channel::new(keys);
    assert_eq!(
        hex::encode(channel.encrypt(0x87, &[0xbf, 0x24, 0x00])),
        "87186ad4be6bcf469951348f9a980cc5ebd9941d35fc04610061"
    );
    assert_eq!(hex::encode(channel.authenticate(0x88, &[1, 2, 3])), "880b010203b58c9b353c9188cc");
    assert_eq!(
        hex::encode(channel.encrypt(0x86, &[4; 16])),
        "8628096050dd1a9202b725e59d70fefdf37fb53a1f7bd13c14875cf0f937c83d96e2fe375b59e72e6d09"
    );
}

#[test]
fn an_euicc_refuses_what_was_not_bound_for_it() {
    let bench = Bench::new(3000);
    let bpp = bench.bind(false);
    let key = bench.key.public_key();
    let other = seeded_key(Curve::P256, 2, "pb").unwrap();
    assert_eq!(open(&bpp, &TRANSACTION_ID, EID, &EUICC_SECRET, other.public_key()), error(0, 2));
    assert_eq!(open(&bpp, &TRANSACTION_ID, EID, &[4; 32], key), error(0, 2));
    assert_eq!(open(&bpp, &[8; 16], EID, &EUICC_SECRET, key), error(0, 3));
    assert_eq!(open(&bpp, &TRANSACTION_ID, [0x88; 16], &EUICC_SECRET, key), error(1, 8));
    assert_eq!(bench.open(&[]), error(0, 1));
    assert_eq!(bench.open(&element(0xbf35, &[])), error(0, 1));
}

#[test]
fn an_euicc_names_the_command_that_was_tampered_with_or_cut_off() {
    let bench = Bench::new(3000);
    let bpp = bench.bind(true);
    let outer = crate::tlv::Tlv::only(&bpp).unwrap();
    for (tag, command) in [(0xa0, 1), (0xa1, 2), (0xa2, 4), (0xa3, 5)] {
        let part = outer.child(tag).unwrap();
        let end = part.content.as_ptr() as usize - bpp.as_ptr() as usize + part.content.len();
        let mut tampered = bpp.clone();
        tampered[end - 1] ^= 1;
        assert_eq!(bench.open(&tampered), error(command, 8), "{tag:x}");
        assert_eq!(bench.open(&bpp[..end - 1]), error(command, 7), "{tag:x}");
    }
    assert_eq!(bench.open(&[bpp.as_slice(), &[0]].concat()), error(5, 7));
}

#[test]
fn binding_refuses_keys_that_are_none() {
    let bench = Bench::new(1);
    let request = BindRequest {
        transaction_id: &TRANSACTION_ID,
        eid: EID,
        euicc_otpk: &[4; 65],
        smdp_ot_secret: [5; 32],
        pb_key: &bench.key,
        metadata: &bench.metadata,
        profile: &bench.profile,
        protection_keys: false,
    };
    assert_eq!(bind(&request), Err(BppError::Point));
    assert_eq!(bind(&BindRequest { smdp_ot_secret: [0; 32], ..request }), Err(BppError::Secret));
    assert_eq!(otpk(&[0xff; 32]), Err(BppError::Secret));
}
