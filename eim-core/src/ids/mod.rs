//! Identifiers of SGP.32 and of the project: parsed once at the door, shown as people write them.
//!
//! Every type here can hold only valid values; code behind the door does not check again. Nothing here does I/O.

mod activation_code;
mod association_token;
mod counter_value;
mod eid;
mod eim_id;
mod iccid;
mod key_id;
mod operation_id;
mod plmn;
mod rsp_address;
mod seq_number;
mod tenant_id;
mod transaction_id;

pub use activation_code::ActivationCode;
pub use association_token::AssociationToken;
pub use counter_value::CounterValue;
pub use eid::Eid;
pub use eim_id::EimId;
pub use iccid::Iccid;
pub use key_id::KeyId;
pub use operation_id::OperationId;
pub use plmn::Plmn;
pub use rsp_address::RspAddress;
pub use seq_number::SeqNumber;
pub use tenant_id::TenantId;
pub use transaction_id::{EimTransactionId, TransactionId};

/// Why a text or octets are not the identifier they should be. The offending value itself is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The length is wrong.
    #[error("{id} must be {expected}, not {found} long")]
    Length {
        /// The identifier.
        id: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
        /// The length that was seen, in the unit of `expected`.
        found: usize,
    },
    /// A character or nibble is not allowed.
    #[error("{id} must consist of {expected}")]
    Character {
        /// The identifier.
        id: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
    },
    /// The number is out of range.
    #[error("{id} must be {expected}")]
    Range {
        /// The identifier.
        id: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
    },
}

/// Implements serde as the type's text form, through `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use serde_as_text;
