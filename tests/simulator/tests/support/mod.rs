//! A tiny eIM that signs whatever a test wants, and readers for what comes back.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_core::asn1::{
    self, Eco, EimConfigurationData, EimIdText, EimPublicKeyData, EuiccPackage, EuiccPackageResult, EuiccPackageSigned,
    EuiccResultData, Lenient, Octets, Psmo, SubjectPublicKeyInfo, TransactionId,
};
use eim_core::ids::{AssociationToken, Eid, Iccid};
use eim_core::pki::{self, Curve, SigningKey, TrustStore, VerifiedChain};
use eim_simulator::euicc::{Association, Euicc, Profile};
use eim_simulator::pki::{FleetPki, seeded_key};
use eim_simulator::tlv::element;

pub const EIM_ID: &str = "2.999.1";
pub const TRANSACTION: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];

pub fn vectors() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

pub fn iccid(number: u8) -> Iccid {
    format!("89990000000000000{number:02}0").parse().unwrap()
}

pub struct TestEim {
    pub key: SigningKey,
    pub eim_id: String,
    pub counter: i64,
    pub token: Option<AssociationToken>,
}

impl TestEim {
    pub fn new(curve: Curve) -> Self {
        let key = seeded_key(curve, 1, "eIM").unwrap();
        Self { key, eim_id: EIM_ID.to_owned(), counter: 0, token: None }
    }

    pub fn configuration(&self) -> EimConfigurationData {
        let spki = SubjectPublicKeyInfo::from_der(&self.key.public_key_spki()).unwrap();
        EimConfigurationData {
            eim_id: EimIdText::new(self.eim_id.clone()).unwrap(),
            eim_fqdn: None,
            eim_id_type: Some(1),
            counter_value: Some(0),
            association_token: None,
            eim_public_key_data: Some(EimPublicKeyData::EimPublicKey(spki)),
            trusted_public_key_data_tls: None,
            eim_supported_protocol: None,
            euicc_ci_pk_id: None,
            indirect_profile_download: None,
        }
    }

    pub fn association(&self) -> Association {
        Association::new(self.configuration(), self.counter, self.token).unwrap()
    }

    pub fn psmo(&mut self, eid: Eid, list: Vec<Psmo>) -> Vec<u8> {
        self.counter += 1;
        self.package(eid, self.counter, EuiccPackage::PsmoList(list))
    }

    pub fn eco(&mut self, eid: Eid, list: Vec<Eco>) -> Vec<u8> {
        self.counter += 1;
        self.package(eid, self.counter, EuiccPackage::EcoList(list))
    }

    pub fn package(&self, eid: Eid, counter: i64, package: EuiccPackage) -> Vec<u8> {
        let signed = asn1::encode(&EuiccPackageSigned {
            eim_id: EimIdText::new(self.eim_id.clone()).unwrap(),
            eid_value: Octets::from_array(*eid.octets()),
            counter_value: counter,
            eim_transaction_id: Some(TransactionId::new(TRANSACTION.to_vec()).unwrap()),
            euicc_package: package,
        })
        .unwrap();
        self.sign(&signed)
    }

    pub fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let signature = self.key.sign_deterministic(&pki::package_signature_input(signed, self.token));
        element(0xbf51, &[signed, &element(0x5f37, &[&signature])])
    }
}

/// Three profiles, the first enabled with notifications, the third may be the Fallback Profile.
pub fn euicc(pki: &FleetPki, eim: &TestEim) -> Euicc {
    Euicc::new(pki.euicc(1).unwrap())
        .with_profile(Profile::operational(iccid(1), "one").enabled().notifying("smdp.example"))
        .with_profile(Profile::operational(iccid(2), "two"))
        .with_profile(Profile::operational(iccid(3), "three").fallback_allowed())
        .with_association(eim.association())
}

pub fn fixture() -> (TestEim, Euicc, FleetPki) {
    let eim = TestEim::new(Curve::P256);
    let pki = FleetPki::generate(7).unwrap();
    let euicc = euicc(&pki, &eim);
    (eim, euicc, pki)
}

pub fn chain(pki: &FleetPki, euicc: &Euicc) -> VerifiedChain {
    let trust = TrustStore::from_certificates([pki.ci_certificate()]).unwrap();
    let identity = euicc.identity();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    pki::verify_euicc_chain(&trust, &identity.eum_certificate, &identity.certificate, now, &identity.eid).unwrap()
}

pub fn decoded(answer: &[u8]) -> EuiccPackageResult {
    asn1::decode(answer).unwrap()
}

/// The results of a signed result, whose form is checked.
pub fn results(answer: &[u8]) -> Vec<EuiccResultData> {
    let EuiccPackageResult::EuiccPackageResultSigned(signed) = decoded(answer) else {
        panic!("not a signed result: {}", hex::encode(answer))
    };
    let data = signed.euicc_package_result_data_signed.value();
    assert_eq!(data.eim_transaction_id.as_deref(), Some(&TRANSACTION[..]));
    data.euicc_result.iter().cloned().map(|result| result.into_known().unwrap()).collect()
}

pub fn seq_number(answer: &[u8]) -> i64 {
    match decoded(answer) {
        EuiccPackageResult::EuiccPackageResultSigned(signed) => {
            signed.euicc_package_result_data_signed.value().seq_number
        }
        other => panic!("no seqNumber in {other:?}"),
    }
}

/// The code of a signed error.
pub fn signed_error(answer: &[u8]) -> i64 {
    match decoded(answer) {
        EuiccPackageResult::EuiccPackageErrorSigned(error) => {
            error.euicc_package_error_data_signed.value().euicc_package_error_code
        }
        other => panic!("no signed error: {other:?}"),
    }
}

pub fn known<T: Clone>(value: &Lenient<T>) -> T {
    value.known().unwrap().clone()
}

pub mod make {
    use eim_core::asn1::{
        Eco, EcoDeleteEim, EimIdText, Empty, Iccid as WireIccid, Null, ProfileInfoListRequest, Psmo, PsmoDelete,
        PsmoDisable, PsmoEnable, PsmoSetFallbackAttribute, SetDefaultDpAddressRequest,
    };
    use eim_core::ids::Iccid;

    fn wire(iccid: Iccid) -> WireIccid {
        WireIccid::from_array(*iccid.octets())
    }

    pub fn enable(iccid: Iccid) -> Psmo {
        Psmo::Enable(PsmoEnable { iccid: wire(iccid), rollback_flag: None })
    }

    pub fn enable_with_rollback(iccid: Iccid) -> Psmo {
        Psmo::Enable(PsmoEnable { iccid: wire(iccid), rollback_flag: Some(Null) })
    }

    pub fn disable(iccid: Iccid) -> Psmo {
        Psmo::Disable(PsmoDisable { iccid: wire(iccid) })
    }

    pub fn delete(iccid: Iccid) -> Psmo {
        Psmo::Delete(PsmoDelete { iccid: wire(iccid) })
    }

    pub fn list() -> Psmo {
        Psmo::ListProfileInfo(ProfileInfoListRequest::default())
    }

    pub fn set_fallback(iccid: Iccid) -> Psmo {
        Psmo::SetFallbackAttribute(PsmoSetFallbackAttribute { iccid: wire(iccid) })
    }

    pub fn unset_fallback() -> Psmo {
        Psmo::UnsetFallbackAttribute(Empty {})
    }

    pub fn default_dp(address: &str) -> Psmo {
        Psmo::SetDefaultDpAddress(SetDefaultDpAddressRequest { default_dp_address: address.to_owned() })
    }

    pub fn delete_eim(eim_id: &str) -> Eco {
        Eco::DeleteEim(EcoDeleteEim { eim_id: EimIdText::new(eim_id).unwrap() })
    }
}
