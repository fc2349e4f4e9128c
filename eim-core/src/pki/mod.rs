//! Trust: certificate chains CI -> EUM -> eUICC, ECDSA, and what each signature covers (SGP.32 v1.2 2.11, SGP.22 2.6, 4.5).
//!
//! Something foreign becomes a fact by passing through a `verify_*` function of this room, which gives a [`Verified`]
//! that nothing else can make. Verification fails closed and can't be switched off; a lab that takes test cards holds
//! a [`LabPolicy`] and gets [`Unverified`] values instead. Time is always an argument. The only I/O is reading the
//! directory of roots. Revocation lists are not consulted.

mod binding;
mod certificate;
mod chain;
mod der;
mod error;
mod euicc_signature;
mod extensions;
mod hash_cc;
mod key_id;
mod known_chains;
mod lab;
mod name;
mod oid;
mod package_request;
mod pem;
mod public_key;
mod role;
mod sealed;
mod server;
mod signature;
mod signing_key;
mod trust_store;
mod validity;
mod verified;

pub use binding::{Binding, BindingMismatch, check_binding};
pub use certificate::{
    Certificate, CertificateError, MAX_CERTIFICATE_BYTES, certificate_validity, euicc_certificate_eid,
};
pub use chain::{VerifiedChain, check_below_ci, verify_euicc_chain};
pub use error::{ChainFault, SessionField, TrustError};
pub use euicc_signature::{
    AuthenticationSession, verify_authenticate_response, verify_cancel_session, verify_euicc_signed1,
    verify_euicc_signed2, verify_installation_result, verify_notification, verify_notification_metadata,
    verify_package_error, verify_package_result,
};
pub use extensions::{BasicConstraints, Extensions, KeyUsage, NameConstraints};
pub use hash_cc::hash_cc;
pub use key_id::KeyId;
pub use known_chains::KnownChains;
pub use lab::{Accepted, LabPolicy, Unverified, accept_unverified};
pub use name::Name;
pub use oid::{Oid, OidError};
pub use package_request::{package_signature_input, verify_package_request};
pub use public_key::{Curve, KeyError, PublicKey};
pub use role::{Role, ServerRole};
pub use sealed::{SealedError, SealingKey, SealingKeyError};
pub use server::{
    ServerExpectation, ServerSigner, VerifiedServer, verify_server_certificate, verify_server_signed1,
    verify_smdp_signed2,
};
pub use signature::{SignatureError, SignatureForm};
pub use signing_key::SigningKey;
pub use trust_store::{RootError, TrustStore, TrustStoreError};
pub use validity::Validity;
pub use verified::{Leniency, Signer, Verified};
