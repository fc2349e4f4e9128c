//! Types that several clauses share (SGP.22 v2.5 annex H).

use rasn::types::{Any, Constraints, Identifier, Tag};
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bits::named_bits;
use super::error::DecodeError;
use super::primitive::{OctetString, Octets, Oid};
use super::tlv::{Tlv, assemble};
use super::wire::{Wire, context, rasn_decode, sequence};

named_bits! {
    /// NotificationEvent: BIT STRING (SGP.22 v2.5 annex H).
    NotificationEvent, NotificationEventNames {
        "notificationInstall" = 0, "notificationEnable" = 1, "notificationDisable" = 2, "notificationDelete" = 3
    }
}

named_bits! {
    /// PprIds: BIT STRING (SGP.22 v2.5 annex H).
    PprIds, PprIdsNames {
        "pprUpdateControl" = 0, "ppr1" = 1, "ppr2" = 2
    }
}

named_bits! {
    /// PprFlags: BIT STRING (SGP.22 v2.5 annex H).
    PprFlags, PprFlagsNames {
        "consentRequired" = 0, "consentRequired" = 0
    }
}

/// OperatorId, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct OperatorId {
    /// `80` OCTET STRING (3).
    #[rasn(tag(context, 0))]
    #[serde(rename = "mccMnc")]
    pub mcc_mnc: Octets<3, 3>,
    /// `81` OCTET STRING: absent in a rule: matches only absent; empty string: see SGP.22 2.4.11.
    #[rasn(tag(context, 1))]
    #[serde(rename = "gid1", default, skip_serializing_if = "Option::is_none")]
    pub gid1: Option<OctetString>,
    /// `82` OCTET STRING.
    #[rasn(tag(context, 2))]
    #[serde(rename = "gid2", default, skip_serializing_if = "Option::is_none")]
    pub gid2: Option<OctetString>,
}

sequence!(OperatorId = Tag::SEQUENCE; {
    mcc_mnc: required(context(0)),
    gid1: optional(context(1)),
    gid2: optional(context(2)),
});

/// NotificationConfigurationInformation, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct NotificationConfigurationInformation {
    /// `80` BIT STRING.
    #[rasn(tag(context, 0))]
    #[serde(rename = "profileManagementOperation")]
    pub profile_management_operation: NotificationEvent,
    /// `81` UTF8String.
    #[rasn(tag(context, 1))]
    #[serde(rename = "notificationAddress")]
    pub notification_address: String,
}

sequence!(NotificationConfigurationInformation = Tag::SEQUENCE; {
    profile_management_operation: required(context(0)),
    notification_address: required(context(1)),
});

/// DpProprietaryData, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct DpProprietaryData {
    /// `80` OBJECT IDENTIFIER.
    #[rasn(tag(context, 0))]
    #[serde(rename = "dpOid")]
    pub dp_oid: Oid,
}

sequence!(DpProprietaryData = Tag::SEQUENCE; {
    dp_oid: required(context(0)),
});

/// CertificationDataObject, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CertificationDataObject {
    /// `80` UTF8String.
    #[rasn(tag(context, 0))]
    #[serde(rename = "platformLabel")]
    pub platform_label: String,
    /// `81` UTF8String.
    #[rasn(tag(context, 1))]
    #[serde(rename = "discoveryBaseURL")]
    pub discovery_base_url: String,
}

sequence!(CertificationDataObject = Tag::SEQUENCE; {
    platform_label: required(context(0)),
    discovery_base_url: required(context(1)),
});

/// VendorSpecificExtensionEntry, first octets `30` (SGP.22 v2.5 annex H). One entry of VendorSpecificExtension.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct VendorSpecificExtensionEntry {
    /// `80` OBJECT IDENTIFIER: who defines the data.
    #[rasn(tag(context, 0))]
    #[serde(rename = "vendorOid")]
    pub vendor_oid: Oid,
    /// `A1` VendorSpecificData: what the vendor defines.
    #[rasn(tag(context, 1))]
    #[serde(rename = "vendorSpecificData")]
    pub vendor_specific_data: VendorSpecificData,
}

sequence!(VendorSpecificExtensionEntry = Tag::SEQUENCE; {
    vendor_oid: required(context(0)),
    vendor_specific_data: required(context(1)),
});

/// ProfilePolicyAuthorisationRule, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ProfilePolicyAuthorisationRule {
    /// `80` BIT STRING.
    #[rasn(tag(context, 0))]
    #[serde(rename = "pprIds")]
    pub ppr_ids: PprIds,
    /// `A1` SEQUENCE OF OperatorId: mccMnc EEEEEE = wildcard nibbles.
    #[rasn(tag(context, 1))]
    #[serde(rename = "allowedOperators")]
    pub allowed_operators: Vec<OperatorId>,
    /// `82` BIT STRING.
    #[rasn(tag(context, 2))]
    #[serde(rename = "pprFlags")]
    pub ppr_flags: PprFlags,
}

sequence!(ProfilePolicyAuthorisationRule = Tag::SEQUENCE; {
    ppr_ids: required(context(0)),
    allowed_operators: required(context(1)),
    ppr_flags: required(context(2)),
});

/// The value a vendor defines: one whole data object of any type (SGP.22 v2.5 annex H, VendorSpecificExtension).
///
/// In JSON values an OCTET STRING shows as the hex of its octets, anything else as `{"tlv": hex}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorSpecificData {
    octets: Vec<u8>,
}

impl VendorSpecificData {
    /// The data object, header included.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum VendorNotation {
    OctetString(OctetString),
    Other { tlv: OctetString },
}

impl Serialize for VendorSpecificData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Tlv::only(&self.octets) {
            Ok(tlv) if tlv.tag == Tag::OCTET_STRING && !tlv.constructed => {
                VendorNotation::OctetString(OctetString::from_vec(tlv.contents.to_vec()))
            }
            _ => VendorNotation::Other { tlv: OctetString::from_vec(self.octets.clone()) },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VendorSpecificData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match VendorNotation::deserialize(deserializer)? {
            VendorNotation::OctetString(octets) => Self { octets: assemble(Tag::OCTET_STRING, false, &octets) },
            VendorNotation::Other { tlv } => Self { octets: tlv.into_vec() },
        })
    }
}

impl AsnType for VendorSpecificData {
    const TAG: Tag = Tag::EOC;
}

impl Encode for VendorSpecificData {
    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        _: &Constraints,
        _: Identifier,
    ) -> Result<(), E::Error> {
        encoder.encode_any(tag, &Any::new(self.octets.clone()), Identifier::EMPTY).map(drop)
    }
}

impl Wire for VendorSpecificData {
    const NAME: &'static str = "VendorSpecificData";

    fn natural() -> Option<Tag> {
        None
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        Ok(Self { octets: tlv.child()?.octets.to_vec() })
    }
}
rasn_decode!(VendorSpecificData);
