//! The chain CI -> EUM -> eUICC with certificates made here: validity, name constraints, roles, issuers (CR-05, CR-07, CR-09).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use chrono::{DateTime, TimeDelta, Utc};
use eim_core::ids::Eid;
use eim_core::pki::{
    Certificate, CertificateError, ChainFault, KnownChains, Leniency, Role, ServerRole, TrustError, TrustStore,
    VerifiedChain, verify_euicc_chain, verify_server_certificate,
};
use pki_support::{
    CERT_SIGN, Draft, ECDSA_WITH_SHA256, EID1, ORGANIZATION, SIGN, at, attribute, authority_key_id, basic_constraints,
    cert, ci_draft, country, dp_auth_draft, euicc_draft, eum_draft, extension, key, key_usage, organization, permitted,
    policy, reference_time, seq, serial_number, subject_key_id, tlv, trust,
};

fn eid(text: &str) -> Eid {
    text.parse().unwrap()
}

fn verify_der(store: &TrustStore, eum: &[u8], euicc: &[u8], now: DateTime<Utc>) -> Result<VerifiedChain, TrustError> {
    verify_euicc_chain(store, eum, euicc, now, &eid(EID1))
}

/// Verifies drafts under `nist/ci` at the reference time.
fn verify(eum: &Draft, euicc: &Draft) -> Result<VerifiedChain, TrustError> {
    let (eum, euicc) = (eum.sign(&key("nist/ci")), euicc.sign(&key("nist/eum")));
    verify_der(&trust(), &eum, &euicc, reference_time())
}

fn reason(result: Result<VerifiedChain, TrustError>) -> &'static str {
    result.map_or_else(|error| error.reason(), |_| "valid")
}

#[test]
fn a_good_chain_gives_the_key_the_eid_and_the_root() {
    for curve in ["nist", "brp"] {
        let (eum, euicc) = (cert(&format!("{curve}/eum")), cert(&format!("{curve}/euicc1")));
        let chain = verify_der(&trust(), &eum, &euicc, reference_time()).unwrap();
        assert_eq!(chain.eid(), eid(EID1));
        assert_eq!(chain.key(), key(&format!("{curve}/euicc1")).public_key());
        assert_eq!(chain.valid_until(), at("2058-07-08T00:00:00Z"));
        assert!(chain.is_valid_at(chain.valid_until()));
        assert!(!chain.is_valid_at(chain.valid_until() + TimeDelta::seconds(1)));
        assert!(chain.warnings().is_empty());
        let ci = Certificate::parse(&cert(&format!("{curve}/ci"))).unwrap();
        assert_eq!(Some(&chain.signer().ci_key_id), ci.extensions().subject_key_id.as_ref());
    }
}

#[test]
fn every_negative_certificate_is_refused_for_its_reason_on_both_curves() {
    for curve in ["nist", "brp"] {
        for (eum, euicc, of, expected) in [
            ("eum", "euicc1_expired", EID1, "certificate-expired"),
            ("eum", "euicc1_notyet", EID1, "certificate-not-yet-valid"),
            ("eum_expired", "euicc1", EID1, "certificate-expired"),
            ("eum_rogue", "euicc_rogue_eum", EID1, "chain"),
            ("eum", "euicc_rogue_eum", EID1, "chain"),
            ("eum_rogue", "euicc1", EID1, "chain"),
            ("eum_untrusted_ci", "euicc1", EID1, "chain"),
            ("eum_not_ca", "euicc1", EID1, "chain-not-a-ca"),
            ("eum", "euicc_wrong_role", EID1, "certificate-policy"),
            ("eum", "euicc_no_ds", EID1, "key-usage"),
            ("eum", "euicc_foreign_eid", "89044045111111111111111111111151", "name-constraint"),
            ("eum", "euicc_foreign_org", "89049032001122334455667788990040", "name-constraint"),
            ("eum", "euicc2", EID1, "eid-mismatch"),
            ("euicc1", "eum", EID1, "structure"),
            ("eum", "eum", EID1, "structure"),
            ("ci", "euicc1", EID1, "chain"),
            ("euicc1", "euicc1", EID1, "chain"),
        ] {
            let files = [eum, euicc].map(|name| cert(&format!("{curve}/{name}")));
            let result = verify_euicc_chain(&trust(), &files[0], &files[1], reference_time(), &eid(of));
            assert_eq!(reason(result), expected, "{curve}: {eum} {euicc}");
        }
    }
    let (eum, bad) = (cert("nist/eum"), cert("nist/euicc_bad_check"));
    let wrong_digits = eid("89049032000000000000000000000164");
    let chain = verify_euicc_chain(&trust(), &eum, &bad, reference_time(), &wrong_digits).unwrap();
    assert_eq!(chain.warnings(), [Leniency::EidCheckDigits]);
    assert_eq!(reason(verify_der(&trust(), &cert("brp/eum"), &cert("nist/euicc1"), reference_time())), "chain");
}

#[test]
fn a_chain_that_was_verified_before_is_still_judged_by_eid_time_and_octets() {
    let known = KnownChains::new(trust(), 8);
    let (eum, euicc) = (cert("nist/eum"), cert("nist/euicc1"));
    let verified = |eum: &[u8], euicc: &[u8], now, of: &str| known.verify(eum, euicc, now, &eid(of));
    let now = reference_time();
    for _ in 0..3 {
        let chain = verified(&eum, &euicc, now, EID1).unwrap();
        assert_eq!((chain.eid(), chain.key()), (eid(EID1), key("nist/euicc1").public_key()));
    }
    assert_eq!(known.count(), 1);
    let end = verified(&eum, &euicc, now, EID1).unwrap().valid_until();
    assert_eq!(reason(verified(&eum, &euicc, end, EID1)), "valid");
    assert_eq!(reason(verified(&eum, &euicc, end + TimeDelta::seconds(1), EID1)), "certificate-expired");
    assert_eq!(reason(verified(&eum, &euicc, at("1999-01-01T00:00:00Z"), EID1)), "certificate-not-yet-valid");
    assert_eq!(reason(verified(&eum, &euicc, now, "89044045111111111111111111111151")), "eid-mismatch");
    assert_eq!(reason(verified(&eum, &cert("nist/euicc2"), now, EID1)), "eid-mismatch");
    assert_eq!(reason(verified(&cert("nist/eum_not_ca"), &euicc, now, EID1)), "chain-not-a-ca");
    let mut broken = euicc.clone();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(reason(verified(&eum, &broken, now, EID1)), "chain");
    assert_eq!(known.count(), 1, "nothing is kept of what was refused");
    assert_eq!(reason(verified(&eum, &euicc, now, EID1)), "valid");
}

#[test]
fn chains_are_kept_in_bounds_and_none_below_other_roots() {
    let known = KnownChains::new(trust(), 8);
    let (eum, now) = (eum_draft().sign(&key("nist/ci")), reference_time());
    let mut most = 0;
    for day in 1..=28 {
        let until = tlv(0x17, format!("4801{day:02}000000Z").as_bytes());
        let euicc = Draft { not_after: until, ..euicc_draft(EID1) }.sign(&key("nist/eum"));
        assert_eq!(reason(known.verify(&eum, &euicc, now, &eid(EID1))), "valid");
        most = most.max(known.count());
    }
    assert_eq!(most, 8);
    let others = KnownChains::new(TrustStore::empty(), 8);
    let euicc = euicc_draft(EID1).sign(&key("nist/eum"));
    assert_eq!(reason(known.verify(&eum, &euicc, now, &eid(EID1))), "valid");
    assert!(others.verify(&eum, &euicc, now, &eid(EID1)).is_err());
    assert_eq!(others.count(), 0);
}

#[test]
fn a_ci_is_found_by_its_key_and_never_by_its_name() {
    let (eum, untrusted) = (cert("nist/eum"), cert("nist/eum_untrusted_ci"));
    let euicc = cert("nist/euicc1");
    let other = TrustStore::from_certificates([cert("nist/ci_untrusted")]).unwrap();
    for (store, eum) in [(&TrustStore::empty(), &eum), (&other, &eum), (&trust(), &untrusted)] {
        let error = verify_der(store, eum, &euicc, reference_time()).unwrap_err();
        assert!(matches!(error, TrustError::UntrustedCi { role: Role::Eum, authority_key_id: Some(_) }), "{error:?}");
    }
    assert_eq!(reason(verify_der(&other, &untrusted, &euicc, reference_time())), "valid");
}

#[test]
fn drafts_of_this_test_are_good_as_they_are() {
    let chain = verify(&eum_draft(), &euicc_draft(EID1)).unwrap();
    assert_eq!(chain.key(), key("nist/euicc1").public_key());
}

#[test]
fn issuer_name_key_id_and_signature_must_all_fit() {
    let draft = euicc_draft(EID1);
    let fault = |result: Result<VerifiedChain, TrustError>| match result {
        Err(TrustError::Chain { role, fault }) => Some((role, fault)),
        _ => None,
    };
    let other_name = Draft { issuer: seq(&[organization("Other")]), ..draft.clone() };
    assert_eq!(fault(verify(&eum_draft(), &other_name)), Some((Role::Euicc, ChainFault::Name)));
    let other_key_id = draft.clone().with(authority_key_id(&[9; 20]));
    assert_eq!(fault(verify(&eum_draft(), &other_key_id)), Some((Role::Euicc, ChainFault::KeyId)));
    let no_key_id = draft.clone().without(0x23);
    assert_eq!(fault(verify(&eum_draft(), &no_key_id)), Some((Role::Euicc, ChainFault::KeyId)));
    assert_eq!(fault(verify(&eum_draft().without(0x0e), &draft)), Some((Role::Euicc, ChainFault::KeyId)));
    let (eum, euicc) = (eum_draft().sign(&key("nist/ci")), draft.sign(&key("nist/ci")));
    let result = verify_der(&trust(), &eum, &euicc, reference_time());
    assert!(matches!(fault(result), Some((Role::Euicc, ChainFault::Signature(_)))));
    // The issuer's name in another string type is the same name.
    let printable =
        seq(&[country("ES"), attribute("55040a", 0x13, ORGANIZATION), attribute("550403", 0x13, "EUM Test")]);
    assert_eq!(reason(verify(&eum_draft(), &Draft { issuer: printable, ..draft })), "valid");
}

#[test]
fn roles_usages_and_ca_flags_are_required_of_the_right_certificate() {
    let (eum, euicc) = (eum_draft(), euicc_draft(EID1));
    for (eum, euicc, expected) in [
        (eum.clone().with(policy(1)), euicc.clone(), "certificate-policy"),
        (eum.clone().without(0x20), euicc.clone(), "certificate-policy"),
        (eum.clone().with(key_usage(SIGN)), euicc.clone(), "key-usage"),
        (eum.clone().without(0x0f), euicc.clone(), "key-usage"),
        (eum.clone().without(0x13), euicc.clone(), "chain-not-a-ca"),
        (eum.clone().with(extension("551d13", true, &seq(&[]))), euicc.clone(), "chain-not-a-ca"),
        (eum.clone().with(basic_constraints(None)), euicc.clone(), "valid"),
        (eum.clone(), euicc.clone().with(policy(2)), "certificate-policy"),
        (eum.clone(), euicc.clone().without(0x20), "certificate-policy"),
        (eum.clone(), euicc.clone().with(key_usage(CERT_SIGN)), "key-usage"),
        (eum.clone(), euicc.clone().without(0x0f), "key-usage"),
    ] {
        assert_eq!(reason(verify(&eum, &euicc)), expected);
    }
    let narrow = ci_draft().with(basic_constraints(Some(0))).sign(&key("nist/ci"));
    let store = TrustStore::from_certificates([narrow]).unwrap();
    let error = verify_der(&store, &cert("nist/eum"), &cert("nist/euicc1"), reference_time()).unwrap_err();
    assert_eq!(error, TrustError::NotACa { role: Role::Ci });
}

#[test]
fn any_permitted_subtree_with_the_organization_and_a_prefix_of_the_eid_suffices() {
    let tree = |prefix: &str| vec![organization(ORGANIZATION), serial_number(prefix)];
    let good: [Vec<Vec<Vec<u8>>>; 9] = [
        vec![tree("8")],
        vec![tree("890490320")],
        vec![tree(&EID1[..31])],
        vec![tree(EID1)],
        vec![tree("89044045"), tree("89049032")],
        vec![tree("89049032"), tree("x")],
        vec![vec![serial_number("89049032"), organization(ORGANIZATION)]],
        vec![vec![attribute("55040a", 0x13, ORGANIZATION), attribute("550405", 0x0c, "89049032")]],
        vec![vec![country("ES"), organization(ORGANIZATION), serial_number("89049032")]],
    ];
    for (index, subtrees) in good.iter().enumerate() {
        let result = verify(&eum_draft().with(permitted(subtrees)), &euicc_draft(EID1));
        assert_eq!(reason(result), "valid", "good {index}");
    }
    let too_long = format!("{EID1}0");
    let bad: [Vec<Vec<Vec<u8>>>; 12] = [
        vec![],
        vec![tree("890490321")],
        vec![tree("9")],
        vec![tree("")],
        vec![tree("8904903x")],
        vec![tree(" 89049032")],
        vec![tree(&too_long)],
        vec![tree("89044045"), tree("89049031")],
        vec![vec![organization("Other EUM"), serial_number("89049032")], tree("89044045")],
        vec![vec![serial_number("89049032")]],
        vec![vec![organization(ORGANIZATION)]],
        vec![vec![country("DE"), organization(ORGANIZATION), serial_number("89049032")]],
    ];
    for (index, subtrees) in bad.iter().enumerate() {
        let result = verify(&eum_draft().with(permitted(subtrees)), &euicc_draft(EID1));
        assert_eq!(reason(result), "name-constraint", "bad {index}");
    }
}

#[test]
fn an_eum_without_name_constraints_or_with_others_than_directory_names_permits_nothing() {
    let subtree = seq(&[tlv(0xa4, &seq(&[organization(ORGANIZATION), serial_number("89049032")]))]);
    let dns = seq(&[tlv(0x82, b"example")]);
    let constraints = |value: Vec<u8>| eum_draft().with(extension("551d1e", true, &value));
    for (eum, expected) in [
        (eum_draft().without(0x1e), "name-constraint"),
        (constraints(seq(&[])), "name-constraint"),
        (constraints(seq(&[tlv(0xa0, &dns)])), "name-constraint"),
        (constraints(seq(&[tlv(0xa0, &[dns.clone(), subtree.clone()].concat())])), "valid"),
        (constraints(seq(&[tlv(0xa0, &subtree), tlv(0xa1, &dns)])), "name-constraint"),
        (constraints(seq(&[tlv(0xa0, &seq(&[]))])), "structure"),
    ] {
        assert_eq!(reason(verify(&eum, &euicc_draft(EID1))), expected);
    }
}

#[test]
fn the_eid_is_the_only_serial_number_with_32_digits() {
    let subject = |names: &[Vec<u8>]| Draft { subject: seq(names), ..euicc_draft(EID1) };
    let o = organization(ORGANIZATION);
    for (draft, expected) in [
        (subject(std::slice::from_ref(&o)), "structure"),
        (subject(&[o.clone(), serial_number(&EID1[..31])]), "structure"),
        (subject(&[o.clone(), serial_number("8904903200000000000000000000016A")]), "structure"),
        (subject(&[o.clone(), serial_number(EID1), serial_number(EID1)]), "structure"),
        (subject(&[o.clone(), o, serial_number(EID1)]), "name-constraint"),
        (subject(&[serial_number(EID1)]), "name-constraint"),
    ] {
        assert_eq!(reason(verify(&eum_draft(), &draft)), expected);
    }
}

#[test]
fn an_unknown_critical_extension_is_refused_and_one_that_is_not_critical_is_passed_over() {
    let value = tlv(0x05, &[]);
    for (critical, expected) in [(true, "critical-extension"), (false, "valid")] {
        let unknown = extension("678112010263", critical, &value);
        assert_eq!(reason(verify(&eum_draft().with(unknown.clone()), &euicc_draft(EID1))), expected);
        assert_eq!(reason(verify(&eum_draft(), &euicc_draft(EID1).with(unknown))), expected);
    }
    let mut twice = euicc_draft(EID1);
    twice.extensions.push(policy(1));
    assert_eq!(reason(verify(&eum_draft(), &twice)), "structure");
}

#[test]
fn validity_includes_both_ends_and_reaches_over_2050_to_7500() {
    let second = TimeDelta::seconds(1);
    let ci = Draft { not_after: tlv(0x18, b"99991231235959Z"), ..ci_draft() }.sign(&key("nist/ci"));
    let store = TrustStore::from_certificates([ci]).unwrap();
    let eum = eum_draft().sign(&key("nist/ci"));
    for (not_after, last) in [
        (tlv(0x17, b"491231235959Z"), "2049-12-31T23:59:59Z"),
        (tlv(0x18, b"20500101000000Z"), "2050-01-01T00:00:00Z"),
        (tlv(0x18, b"75001231235959Z"), "7500-12-31T23:59:59Z"),
    ] {
        let euicc = Draft { not_after, ..euicc_draft(EID1) }.sign(&key("nist/eum"));
        let chain = verify_der(&store, &eum, &euicc, at(last)).unwrap();
        assert_eq!(chain.valid_until(), at(last));
        let error = verify_der(&store, &eum, &euicc, at(last) + second).unwrap_err();
        assert_eq!(error, TrustError::CertificateExpired { role: Role::Euicc, not_after: at(last) });
    }
    // 50 in a UTCTime is 1950, not 2050.
    let ancient = Draft { not_after: tlv(0x17, b"500101000000Z"), ..euicc_draft(EID1) };
    assert_eq!(reason(verify(&eum_draft(), &ancient)), "certificate-expired");
    let first = at("2024-01-01T00:00:00Z");
    let euicc = euicc_draft(EID1).sign(&key("nist/eum"));
    assert_eq!(reason(verify_der(&store, &eum, &euicc, first)), "valid");
    assert_eq!(reason(verify_der(&store, &eum, &euicc, first - second)), "certificate-not-yet-valid");
}

#[test]
fn an_expired_ci_ends_the_chain_until_its_renewed_certificate_is_there() {
    let old = Draft { not_after: tlv(0x17, b"250101000000Z"), ..ci_draft() }.sign(&key("nist/ci"));
    let (eum, euicc) = (cert("nist/eum"), cert("nist/euicc1"));
    let store = TrustStore::from_certificates([&old]).unwrap();
    let error = verify_der(&store, &eum, &euicc, reference_time()).unwrap_err();
    assert!(matches!(error, TrustError::CertificateExpired { role: Role::Ci, .. }), "{error:?}");
    for order in [[&old, &cert("nist/ci")], [&cert("nist/ci"), &old]] {
        let store = TrustStore::from_certificates(order).unwrap();
        assert_eq!(store.key_ids().count(), 1);
        assert_eq!(reason(verify_der(&store, &eum, &euicc, reference_time())), "valid");
    }
}

#[test]
fn server_certificates_count_in_their_own_role_only() {
    let roles = [
        ("dp_auth", ServerRole::DpAuth, Some("2.999.10")),
        ("dp_pb", ServerRole::DpPb, Some("2.999.10")),
        ("dp_tls", ServerRole::DpTls, Some("2.999.10")),
        ("ds_auth", ServerRole::DsAuth, Some("2.999.15")),
        ("ds_tls", ServerRole::DsTls, Some("2.999.15")),
    ];
    for curve in ["nist", "brp"] {
        for (name, own, oid) in roles {
            for (_, role, _) in roles {
                let der = cert(&format!("{curve}/{name}"));
                let result = verify_server_certificate(&trust(), &der, role, reference_time());
                if role == own {
                    let server = result.unwrap();
                    assert_eq!(server.signer().oid.as_ref().map(ToString::to_string).as_deref(), oid);
                    assert_eq!(role.is_tls(), !server.dns_names().is_empty());
                } else {
                    assert_eq!(result.unwrap_err().reason(), "certificate-policy");
                }
            }
        }
    }
    let expired =
        verify_server_certificate(&trust(), &cert("nist/dp_tls_expired"), ServerRole::DpTls, reference_time());
    assert_eq!(expired.unwrap_err().reason(), "certificate-expired");
    let untrusted =
        verify_server_certificate(&trust(), &cert("nist/dp_auth_untrusted"), ServerRole::DpAuth, reference_time());
    assert_eq!(untrusted.unwrap_err().reason(), "chain");
    let euicc = verify_server_certificate(&trust(), &cert("nist/euicc1"), ServerRole::DpAuth, reference_time());
    assert_eq!(euicc.unwrap_err().reason(), "chain");
}

#[test]
fn a_server_certificate_must_be_issued_valid_and_fit_for_its_role() {
    let (ci, draft, role) = (key("nist/ci"), dp_auth_draft(), ServerRole::DpAuth);
    let verify = |store: &TrustStore, der: &[u8], role| {
        verify_server_certificate(store, der, role, reference_time()).map_or_else(|error| error.reason(), |_| "valid")
    };
    assert_eq!(verify(&trust(), &draft.sign(&ci), role), "valid");
    assert_eq!(verify(&trust(), &draft.sign(&key("nist/ci_untrusted")), role), "chain");
    let other_name = Draft { issuer: seq(&[organization("Other")]), ..draft.clone() };
    assert_eq!(verify(&trust(), &other_name.sign(&ci), role), "chain");
    assert_eq!(verify(&trust(), &draft.clone().without(0x23).sign(&ci), role), "chain");
    assert_eq!(verify(&trust(), &draft.clone().with(key_usage(CERT_SIGN)).sign(&ci), role), "key-usage");
    let tls = draft.clone().with(policy(3));
    assert_eq!(verify(&trust(), &tls.sign(&ci), ServerRole::DpTls), "key-usage");
    let server_auth = tlv(0x06, &hex::decode("2b06010505070301").unwrap());
    let tls = tls.with(extension("551d25", true, &seq(&[server_auth])));
    assert_eq!(verify(&trust(), &tls.sign(&ci), ServerRole::DpTls), "valid");
    let old = Draft { not_after: tlv(0x17, b"250101000000Z"), ..ci_draft() }.sign(&ci);
    let expired = TrustStore::from_certificates([old]).unwrap();
    assert_eq!(verify(&expired, &draft.sign(&ci), role), "certificate-expired");
}

#[test]
fn certificates_name_ecdsa_with_sha256_inside_and_outside() {
    const ECDSA_WITH_SHA384: &str = "2a8648ce3d040303";
    let (draft, key) = (euicc_draft(EID1), key("nist/eum"));
    let parse = |inside, outside| Certificate::parse(&draft.sign_as(&key, inside, outside));
    assert!(parse(ECDSA_WITH_SHA256, ECDSA_WITH_SHA256).is_ok());
    for (inside, outside) in [
        (ECDSA_WITH_SHA384, ECDSA_WITH_SHA384),
        (ECDSA_WITH_SHA384, ECDSA_WITH_SHA256),
        (ECDSA_WITH_SHA256, ECDSA_WITH_SHA384),
    ] {
        assert_eq!(parse(inside, outside).unwrap_err(), CertificateError::Algorithm);
    }
}

#[test]
fn a_store_takes_pem_and_der_and_names_the_file_that_is_no_root() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, octets: &[u8]| std::fs::write(dir.path().join(name), octets).unwrap();
    let pem = |der: &[u8]| {
        let digits = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        format!("comment\n-----BEGIN CERTIFICATE-----\n{digits}\n-----END CERTIFICATE-----\n")
    };
    assert!(TrustStore::from_dir(dir.path()).unwrap().is_empty());
    write("nist.der", &cert("nist/ci"));
    write("both.PEM", [pem(&cert("nist/ci")), pem(&cert("brp/ci"))].concat().as_bytes());
    write("README", b"not a certificate");
    write(".hidden.pem", b"not a certificate");
    std::fs::create_dir(dir.path().join("sub.pem")).unwrap();
    let store = TrustStore::from_dir(dir.path()).unwrap();
    assert_eq!(store.key_ids().count(), 2);
    let broken = ci_draft().sign(&key("nist/eum"));
    let no_key_id = ci_draft().without(0x0e).sign(&key("nist/ci"));
    let other_key = Draft { spki: key("nist/eum").public_key_spki(), ..ci_draft() }.sign(&key("nist/eum"));
    let issued = Draft { issuer: seq(&[organization("Other")]), ..ci_draft() }.sign(&key("nist/ci"));
    let no_policy = ci_draft().with(policy(2)).sign(&key("nist/ci"));
    for octets in [
        &b""[..],
        b"text",
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN PRIVATE KEY-----",
        &[0x30, 0x00],
        &cert("nist/eum"),
        &cert("nist/euicc1"),
        &broken,
        &no_key_id,
        &other_key,
        &no_policy,
        &issued,
    ] {
        write("zz-bad.cer", octets);
        let error = TrustStore::from_dir(dir.path()).unwrap_err().to_string();
        assert!(error.contains("zz-bad.cer"), "{error}");
    }
    let missing = dir.path().join("missing");
    assert!(TrustStore::from_dir(&missing).unwrap_err().to_string().contains("missing"));
    let error = TrustStore::from_certificates([cert("nist/ci"), cert("nist/eum")]).unwrap_err();
    assert!(error.to_string().starts_with("certificate 1: "), "{error}");
}

#[test]
fn a_subject_key_id_of_the_eum_is_not_enough_without_its_key() {
    // A forged EUM: everything right, also the key identifier, but signed by itself.
    let rogue = Draft { spki: key("nist/eum_rogue").public_key_spki(), ..eum_draft() }
        .with(subject_key_id(&[5; 20]))
        .sign(&key("nist/eum_rogue"));
    let euicc = euicc_draft(EID1).with(authority_key_id(&[5; 20])).sign(&key("nist/eum_rogue"));
    let error = verify_der(&trust(), &rogue, &euicc, reference_time()).unwrap_err();
    assert!(matches!(error, TrustError::Chain { role: Role::Eum, fault: ChainFault::Signature(_) }), "{error:?}");
}
