//! IpaEuiccData: what the IPA reads from the eUICC, and adds about the device, for an eIM (SGP.32 v1.2 2.11.1.2).

use super::Euicc;
use super::error::{EuiccError, command};
use super::psmo::tags;
use crate::tlv::{element, integer};
use eim_core::asn1::{
    self, DeviceCapabilities, DeviceInfo, IpaCapabilities, IpaEuiccDataRequest, IpaFeatures, IpaSupportedProtocols,
    Octets, SearchCriteriaEuiccPackageResult, SearchCriteriaNotification,
};

const INCORRECT_TAG_LIST: i64 = 1;
const EUICC_CI_PK_ID_NOT_FOUND: i64 = 5;
const ECALL_ACTIVE: i64 = 104;
const KNOWN_TAGS: [u32; 11] = [0xa0, 0x81, 0xa2, 0xbf20, 0xbf22, 0x83, 0x84, 0xa5, 0xa6, 0xa8, 0xa9];

/// What the IPA says about itself and the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDescription {
    /// The bits of ipaFeatures, e.g. directRspServerCommunication(0).
    pub ipa_features: Vec<u32>,
    /// The bits of ipaSupportedProtocols, e.g. ipaRetrieveHttps(0).
    pub ipa_supported_protocols: Vec<u32>,
    /// The first eight digits of the IMEI, BCD.
    pub tac: [u8; 4],
    /// IMEI, BCD.
    pub imei: Option<[u8; 8]>,
    /// deviceCapabilities.
    pub device_capabilities: DeviceCapabilities,
}

impl Default for DeviceDescription {
    fn default() -> Self {
        Self {
            ipa_features: vec![0, 1],
            ipa_supported_protocols: vec![0],
            tac: [0x35, 0x20, 0x99, 0x00],
            imei: Some([0x35, 0x20, 0x99, 0x00, 0x17, 0x61, 0x48, 0x1f]),
            device_capabilities: DeviceCapabilities::default(),
        }
    }
}

impl DeviceDescription {
    /// directRspServerCommunication: it downloads by itself.
    pub const DIRECT_RSP_SERVER_COMMUNICATION: u32 = 0;
    /// indirectRspServerCommunication: it downloads through the eIM.
    pub const INDIRECT_RSP_SERVER_COMMUNICATION: u32 = 1;
    /// eimDownloadDataHandling: the eIM keeps the download data.
    pub const EIM_DOWNLOAD_DATA_HANDLING: u32 = 2;
    /// eimCtxParams1Generation: the eIM makes ctxParams1.
    pub const EIM_CTX_PARAMS1_GENERATION: u32 = 3;
    /// eimProfileMetadataVerification: the eIM looks at the metadata.
    pub const EIM_PROFILE_METADATA_VERIFICATION: u32 = 4;
    /// minimizeEsipaBytes: compact forms both ways.
    pub const MINIMIZE_ESIPA_BYTES: u32 = 5;

    /// The same with these bits of ipaFeatures and no others.
    #[must_use]
    pub fn features(mut self, bits: &[u32]) -> Self {
        self.ipa_features = bits.to_vec();
        self
    }

    /// Whether this bit of ipaFeatures is set.
    #[must_use]
    pub fn has_feature(&self, bit: u32) -> bool {
        self.ipa_features.contains(&bit)
    }

    /// CtxParams1 of this device, `A0 { 80 matchingId?, A1 deviceInfo }`.
    pub(crate) fn ctx_params1(&self, matching_id: Option<&str>) -> Result<Vec<u8>, EuiccError> {
        let matching_id = matching_id.map(|id| element(0x80, &[id.as_bytes()])).unwrap_or_default();
        Ok(element(0xa0, &[&matching_id, &retagged(0xa1, &asn1::encode(&self.device_info())?)]))
    }

    fn capabilities(&self) -> Option<IpaCapabilities> {
        Some(IpaCapabilities {
            ipa_features: IpaFeatures::of(self.ipa_features.iter().copied()).ok()?,
            ipa_supported_protocols: IpaSupportedProtocols::of(self.ipa_supported_protocols.iter().copied()).ok(),
        })
    }

    fn device_info(&self) -> DeviceInfo {
        DeviceInfo {
            tac: Octets::from_array(self.tac),
            device_capabilities: self.device_capabilities.clone(),
            imei: self.imei.map(Octets::from_array),
        }
    }
}

impl Euicc {
    /// Answers an IpaEuiccDataRequest (`BF52`) of this eIM: `BF52 { A0 { data } }` with what its tags ask for, or
    /// `BF52 { A1 { 80 tx?, 02 code } }`.
    ///
    /// # Errors
    /// [`EuiccError::Command`] when the octets are no such request.
    pub fn ipa_euicc_data(
        &self,
        request: &[u8],
        eim_id: Option<&str>,
        device: &DeviceDescription,
    ) -> Result<Vec<u8>, EuiccError> {
        let request: IpaEuiccDataRequest = asn1::decode(request).map_err(|_| command("IpaEuiccDataRequest"))?;
        let transaction = request.eim_transaction_id.as_ref().map(|id| id.to_vec());
        let error = |code| Ok(data_error(transaction.as_deref(), code));
        if self.is_ecall_active() {
            return error(ECALL_ACTIVE);
        }
        let asked = tags(&request.tag_list).filter(|tags| tags.iter().all(|tag| KNOWN_TAGS.contains(tag)));
        let Some(asked) = asked else { return error(INCORRECT_TAG_LIST) };
        if let Some(id) = &request.euicc_ci_pk_identifier_to_be_used
            && !self.identity.ci_key_id.starts_with(id)
        {
            return error(EUICC_CI_PK_ID_NOT_FOUND);
        }
        let mut data = Vec::new();
        for tag in KNOWN_TAGS.into_iter().filter(|tag| asked.contains(tag) && !matches!(tag, 0xa8 | 0xa9)) {
            data.extend(self.data_field(tag, &request, eim_id)?);
        }
        if let Some(id) = &transaction {
            data.extend(element(0x87, &[id]));
        }
        if asked.contains(&0xa8)
            && let Some(capabilities) = device.capabilities()
        {
            data.extend(retagged(0xa8, &asn1::encode(&capabilities)?));
        }
        if asked.contains(&0xa9) {
            data.extend(retagged(0xa9, &asn1::encode(&device.device_info())?));
        }
        Ok(element(0xbf52, &[&element(0xa0, &[&data])]))
    }

    fn data_field(&self, tag: u32, request: &IpaEuiccDataRequest, eim_id: Option<&str>) -> Result<Vec<u8>, EuiccError> {
        let text = |tag, text: &Option<String>| text.as_ref().map(|text| element(tag, &[text.as_bytes()]));
        let shown = self.faults.foreign.as_deref().unwrap_or(&self.identity);
        Ok(match tag {
            0xa0 => element(0xa0, &[&self.matching_notifications(request)]),
            0x81 => text(0x81, &self.default_dp_address).unwrap_or_default(),
            0xa2 => element(0xa2, &[&self.matching_results(request)]),
            0xbf20 => asn1::encode(&self.info1())?,
            0xbf22 => asn1::encode(&self.info2())?,
            0x83 => text(0x83, &self.root_smds_address).unwrap_or_default(),
            0x84 => {
                let association = eim_id.map_or_else(|| self.associations.first(), |eim_id| self.association(eim_id));
                association.and_then(|found| found.token).map(|token| integer(0x84, token.value())).unwrap_or_default()
            }
            0xa5 => retagged(0xa5, &shown.eum_certificate),
            0xa6 => retagged(0xa6, &shown.certificate),
            _ => Vec::new(),
        })
    }

    fn matching_notifications(&self, request: &IpaEuiccDataRequest) -> Vec<u8> {
        let matching = self.notifications.iter().filter(|found| match &request.search_criteria_notification {
            None => true,
            Some(SearchCriteriaNotification::SeqNumber(seq_number)) => found.seq_number == *seq_number,
            Some(SearchCriteriaNotification::ProfileManagementOperation(events)) => events.contains(found.event),
        });
        matching.flat_map(|found| found.octets.iter().copied()).collect()
    }

    fn matching_results(&self, request: &IpaEuiccDataRequest) -> Vec<u8> {
        let matching = self.stored_results.iter().filter(|found| match &request.search_criteria_euicc_package_result {
            None => true,
            Some(SearchCriteriaEuiccPackageResult::SeqNumber(seq_number)) => found.seq_number == *seq_number,
        });
        matching.flat_map(|found| found.octets.iter().copied()).collect()
    }
}

/// `BF52 { A1 { 80 tx?, 02 code } }`.
pub(crate) fn data_error(eim_transaction_id: Option<&[u8]>, code: i64) -> Vec<u8> {
    let transaction = eim_transaction_id.map(|id| element(0x80, &[id])).unwrap_or_default();
    element(0xbf52, &[&element(0xa1, &[&transaction, &integer(0x02, code)])])
}

/// A SEQUENCE under an implicit tag.
fn retagged(tag: u32, sequence: &[u8]) -> Vec<u8> {
    let content = crate::tlv::Tlv::only(sequence).map_or(sequence, |tlv| tlv.content);
    element(tag, &[content])
}
