//! The Bound Profile Package: relayed as received (SGP.22 v2.5 2.5.4).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use super::primitive::{OctetString, TransactionId};
use super::tlv::Tlv;
use super::wire::{Wire, application, context, rasn_decode, sequence};

/// BoundProfilePackage, first octets `BF36` (SGP.22 v2.5 annex H). Relay as opaque bytes.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 54))]
pub struct BoundProfilePackage {
    /// `BF23` InitialiseSecureChannelRequest.
    #[rasn(tag(context, 35))]
    #[serde(rename = "initialiseSecureChannelRequest")]
    pub initialise_secure_channel_request: InitialiseSecureChannelRequest,
    /// `A0` SEQUENCE OF OCTET STRING.
    #[rasn(tag(context, 0))]
    #[serde(rename = "firstSequenceOf87")]
    pub first_sequence_of87: Vec<Block87>,
    /// `A1` SEQUENCE OF OCTET STRING.
    #[rasn(tag(context, 1))]
    #[serde(rename = "sequenceOf88")]
    pub sequence_of88: Vec<Block88>,
    /// `A2` SEQUENCE OF OCTET STRING.
    #[rasn(tag(context, 2))]
    #[serde(rename = "secondSequenceOf87", default, skip_serializing_if = "Option::is_none")]
    pub second_sequence_of87: Option<Vec<Block87>>,
    /// `A3` SEQUENCE OF OCTET STRING.
    #[rasn(tag(context, 3))]
    #[serde(rename = "sequenceOf86")]
    pub sequence_of86: Vec<Block86>,
}

sequence!(BoundProfilePackage = context(54); {
    initialise_secure_channel_request: required(context(35)),
    first_sequence_of87: required(context(0)),
    sequence_of88: required(context(1)),
    second_sequence_of87: optional(context(2)),
    sequence_of86: required(context(3)),
});

/// InitialiseSecureChannelRequest, first octets `BF23` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 35))]
pub struct InitialiseSecureChannelRequest {
    /// `82` INTEGER: installBoundProfilePackage(1).
    #[rasn(tag(context, 2))]
    #[serde(rename = "remoteOpId")]
    pub remote_op_id: i64,
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `A6` ControlRefTemplate.
    #[rasn(tag(context, 6))]
    #[serde(rename = "controlRefTemplate")]
    pub control_ref_template: ControlRefTemplate,
    /// `5F49` OCTET STRING.
    #[rasn(tag(application, 73))]
    #[serde(rename = "smdpOtpk")]
    pub smdp_otpk: OctetString,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "smdpSign")]
    pub smdp_sign: OctetString,
}

sequence!(InitialiseSecureChannelRequest = context(35); {
    remote_op_id: required(context(2)),
    transaction_id: required(context(0)),
    control_ref_template: required(context(6)),
    smdp_otpk: required(application(73)),
    smdp_sign: required(application(55)),
});

/// ControlRefTemplate, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ControlRefTemplate {
    /// `80` OCTET STRING: 88 = AES.
    #[rasn(tag(context, 0))]
    #[serde(rename = "keyType")]
    pub key_type: OctetString,
    /// `81` OCTET STRING: 10 = 128 bits.
    #[rasn(tag(context, 1))]
    #[serde(rename = "keyLen")]
    pub key_len: OctetString,
    /// `84` OCTET STRING.
    #[rasn(tag(context, 4))]
    #[serde(rename = "hostId")]
    pub host_id: OctetString,
}

sequence!(ControlRefTemplate = Tag::SEQUENCE; {
    key_type: required(context(0)),
    key_len: required(context(1)),
    host_id: required(context(4)),
});

macro_rules! block {
    ($(#[$doc:meta])* $type:ident, $number:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
        #[rasn(delegate, tag(context, $number))]
        pub struct $type(pub OctetString);

        impl Wire for $type {
            const NAME: &'static str = stringify!($type);

            fn natural() -> Option<Tag> {
                Some(context($number))
            }

            fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
                Wire::read(tlv).map(Self)
            }
        }
        rasn_decode!($type);
    };
}

block! {
    /// `86`: a protected block of profile elements.
    Block86, 6
}
block! {
    /// `87`: an encrypted block of ConfigureISDP or ReplaceSessionKeys.
    Block87, 7
}
block! {
    /// `88`: a block of StoreMetadata, protected but not encrypted.
    Block88, 8
}
