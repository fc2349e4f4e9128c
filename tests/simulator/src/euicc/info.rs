//! EUICCInfo1 and EUICCInfo2 of the software eUICC (SGP.22 v2.5 5.7.8, SGP.32 v1.2 annex A).

use super::Euicc;
use eim_core::asn1::{
    EUICCInfo1, EUICCInfo2, IoTSpecificInfo, Null, OctetString, Octets, RspCapability, Text, UICCCapability,
    VersionType,
};

fn version_type(octets: [u8; 3]) -> VersionType {
    Octets::from_array(octets)
}

impl Euicc {
    fn ci_key_ids(&self) -> Vec<OctetString> {
        vec![OctetString::from_vec(self.identity.ci_key_id.clone())]
    }

    pub(super) fn info1(&self) -> EUICCInfo1 {
        EUICCInfo1 {
            svn: version_type([2, 5, 0]),
            euicc_ci_pk_id_list_for_verification: self.ci_key_ids(),
            euicc_ci_pk_id_list_for_signing: self.ci_key_ids(),
        }
    }

    pub(super) fn info2(&self) -> EUICCInfo2 {
        let forbidden = self.forbidden_profile_policy_rules.clone();
        let [a, b, c, d] = u32::try_from(self.free_profile_bytes()).unwrap_or(u32::MAX).to_be_bytes();
        EUICCInfo2 {
            profile_version: version_type([2, 3, 1]),
            svn: version_type([2, 5, 0]),
            euicc_firmware_ver: version_type([1, 0, 0]),
            // 81 applications, 82 free non-volatile memory, 83 free volatile memory
            ext_card_resource: OctetString::from_vec(vec![0x81, 1, 0, 0x82, 4, a, b, c, d, 0x83, 2, 0x20, 0]),
            uicc_capability: UICCCapability::of([1, 2, 4, 31]).unwrap_or_default(),
            ts102241_version: None,
            globalplatform_version: Some(version_type([2, 3, 0])),
            rsp_capability: RspCapability::of([0]).unwrap_or_default(),
            euicc_ci_pk_id_list_for_verification: self.ci_key_ids(),
            euicc_ci_pk_id_list_for_signing: self.ci_key_ids(),
            euicc_category: None,
            forbidden_profile_policy_rules: Some(forbidden).filter(|rules| !rules.is_empty()),
            pp_version: version_type([1, 0, 0]),
            sas_acreditation_number: Text::new("SIMULATOR").unwrap_or_else(|_| unreachable!("nine characters fit")),
            certification_data_object: None,
            tre_properties: None,
            tre_product_reference: None,
            additional_euicc_profile_package_versions: None,
            ipa_mode: Some(0),
            euicc_ci_pk_id_list_for_signing_v3: None,
            additional_euicc_info: None,
            highest_svn: None,
            iot_specific_info: Some(IoTSpecificInfo {
                iot_version: vec![version_type([1, 2, 0])],
                ecall_supported: self.profiles.iter().any(|profile| profile.ecall).then_some(Null),
                fallback_supported: Some(Null),
            }),
        }
    }
}
