//! Hostile certificates: errors, never a panic, and nothing that was changed is believed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use eim_core::ids::Eid;
use eim_core::pki::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES, TrustStore, verify_euicc_chain};
use pki_support::{
    EID1, cert, euicc_draft, eum_draft, extension, key, organization, permitted, reference_time, seq, serial_number,
    tlv, trust,
};
use proptest::prelude::*;

fn is_believed(store: &TrustStore, eum: &[u8], euicc: &[u8]) -> bool {
    let eid: Eid = EID1.parse().unwrap();
    verify_euicc_chain(store, eum, euicc, reference_time(), &eid).is_ok()
}

#[test]
fn no_change_of_one_octet_is_believed() {
    let store = trust();
    let (eum, euicc) = (cert("nist/eum"), cert("nist/euicc1"));
    assert!(is_believed(&store, &eum, &euicc));
    for change in [0x01, 0x80, 0xff] {
        for at in 0..eum.len() {
            let mut changed = eum.clone();
            changed[at] ^= change;
            assert!(!is_believed(&store, &changed, &euicc), "EUM octet {at} ^ {change:#x}");
        }
        for at in 0..euicc.len() {
            let mut changed = euicc.clone();
            changed[at] ^= change;
            assert!(!is_believed(&store, &eum, &changed), "eUICC octet {at} ^ {change:#x}");
        }
    }
}

#[test]
fn every_prefix_and_every_addition_is_refused() {
    for name in ["nist/ci", "nist/eum", "brp/euicc1", "nist/dp_tls"] {
        let der = cert(name);
        for length in 0..der.len() {
            assert!(Certificate::parse(&der[..length]).is_err(), "{name} cut at {length}");
        }
        assert!(Certificate::parse(&[der, vec![0]].concat()).is_err());
    }
}

#[test]
fn sizes_and_lists_are_limited() {
    let sized = |bytes: usize| {
        let filler = extension("678112010263", false, &tlv(0x04, &vec![0; bytes]));
        euicc_draft(EID1).with(filler).sign(&key("nist/eum"))
    };
    let large = sized(MAX_CERTIFICATE_BYTES);
    assert!(matches!(Certificate::parse(&large), Err(CertificateError::TooLarge { .. })));
    assert!(Certificate::parse(&sized(MAX_CERTIFICATE_BYTES - 1024)).is_ok());

    let tree = vec![organization("Test EUM"), serial_number("89049032")];
    let of = |count: usize| eum_draft().with(permitted(&vec![tree.clone(); count])).sign(&key("nist/ci"));
    assert!(Certificate::parse(&of(64)).is_ok());
    assert!(Certificate::parse(&of(65)).is_err());

    let mut draft = euicc_draft(EID1);
    for number in 0..40 {
        draft.extensions.push(extension(&format!("6781120102{number:02x}"), false, &[]));
    }
    assert!(Certificate::parse(&draft.sign(&key("nist/eum"))).is_err());

    let mut names = euicc_draft(EID1);
    names.subject = seq(&vec![organization("x"); 33]);
    assert!(Certificate::parse(&names.sign(&key("nist/eum"))).is_err());
}

#[test]
fn deeply_nested_elements_are_read_one_level_at_a_time() {
    let mut deep = tlv(0x30, &[]);
    while deep.len() < 8000 {
        deep = tlv(0x30, &deep);
    }
    assert!(Certificate::parse(&deep).is_err());
    let draft = euicc_draft(EID1).with(extension("551d1e", true, &deep));
    assert!(Certificate::parse(&draft.sign(&key("nist/eum"))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_certificates_never_panic(
        which in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let names = ["nist/ci", "nist/eum", "nist/euicc1", "brp/eum", "brp/euicc1", "nist/dp_tls"];
        let mut der = cert(names[which]);
        for (at, octet) in changes {
            let at = at.index(der.len());
            der[at] = octet;
        }
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()));
        }
        if let Ok(certificate) = Certificate::parse(&der) {
            prop_assert_eq!(certificate.der(), &der[..]);
            let _ = (certificate.eid(), format!("{certificate:?}"));
        }
    }

    #[test]
    fn any_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Certificate::parse(&octets);
        let _ = Certificate::parse(&tlv(0x30, &tlv(0x30, &octets)));
        let _ = TrustStore::from_certificates([&octets]);
    }
}
