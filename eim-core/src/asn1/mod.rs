//! The wire of SGP.32 v1.2: types, their DER, their JSON values, and the doors in and out.
//!
//! Types carry the names of the ASN.1 modules (SGP.32 v1.2 annex A, SGP.22 v2.5 annex H); a field is the ASN.1 name in
//! snake case, an arm the ASN.1 name with a capital. The doors are [`decode_from_ipa`], [`decode_from_eim`],
//! [`decode`], [`decode_eim_package_result`] and [`encode`]; the JSON binding is [`json_binding`].
//!
//! Reading tolerates what cards and IPAs in the field send (the rows T1 to T24 and the forms of v1.0, v1.1 and v1.3
//! that concern an eIM) and gives the value of v1.2; each type says what it tolerates where it reads itself. Writing
//! produces one form. What someone signed is kept as received in [`Raw`], what can't be named in [`Lenient`].
//!
//! Nothing here verifies a signature, looks into a certificate, or knows a device.

#![allow(
    clippy::large_enum_variant,
    clippy::enum_variant_names,
    reason = "the CHOICEs, their arms and their sizes are those of the ASN.1 modules"
)]

mod basic;
mod bits;
mod bound_profile_package;
mod cancel_session;
mod certificate;
mod codes;
mod compact;
mod door;
mod download_trigger;
mod eid_hint;
mod eim_configuration;
mod error;
mod es10b_eim;
mod es10b_profile;
mod es9plus;
mod esipa_message;
mod esipa_package;
mod esipa_relay;
mod esipa_transfer;
mod euicc_info;
mod euicc_package_request;
mod euicc_package_result;
mod handle_notification;
mod ipa_euicc_data;
pub mod json_binding;
mod mutual_authentication;
mod notification;
mod operation_result;
mod prepare_download;
mod primitive;
mod profile_info;
mod raw;
mod tlv;
mod wire;

pub use basic::*;
pub use bits::*;
pub use bound_profile_package::*;
pub use cancel_session::*;
pub use certificate::*;
pub use codes::*;
pub use compact::*;
pub use door::*;
pub use download_trigger::*;
pub use eid_hint::*;
pub use eim_configuration::*;
pub use error::*;
pub use es9plus::*;
pub use es10b_eim::*;
pub use es10b_profile::*;
pub use esipa_message::*;
pub use esipa_package::*;
pub use esipa_relay::*;
pub use esipa_transfer::*;
pub use euicc_info::*;
pub use euicc_package_request::*;
pub use euicc_package_result::*;
pub use handle_notification::*;
pub use ipa_euicc_data::*;
pub use mutual_authentication::*;
pub use notification::*;
pub use prepare_download::*;
pub use primitive::*;
pub use profile_info::*;
pub use raw::*;
pub use tlv::Limits;
