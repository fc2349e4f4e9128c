//! The SM-DP+'s side: binding a profile to the one-time key of an eUICC (SGP.22 v2.5 3.1.3.2, 5.5).

use super::BppError;
use super::channel::Channel;
use super::keys::{KEY_LEN, KEY_TYPE, Keys, agree, otpk};
use crate::tlv::{element, integer};
use eim_core::pki::SigningKey;
use sha2::{Digest, Sha256};

/// hostId of every package: which server it was says the certificate.
const HOST_ID: &[u8; 16] = b"simulated SM-DP+";

/// What goes into a Bound Profile Package.
pub struct BindRequest<'a> {
    /// transactionId of the session, 1 to 16 octets.
    pub transaction_id: &'a [u8],
    /// The EID.
    pub eid: [u8; 16],
    /// otPK.EUICC.ECKA, 65 octets.
    pub euicc_otpk: &'a [u8],
    /// otSK.DP.ECKA, seeded.
    pub smdp_ot_secret: [u8; 32],
    /// SK.DPpb.ECDSA.
    pub pb_key: &'a SigningKey,
    /// StoreMetadataRequest, `BF25`.
    pub metadata: &'a [u8],
    /// The profile elements; any octets.
    pub profile: &'a [u8],
    /// Whether profile elements are protected with keys of their own (PPK) instead of the session keys.
    pub protection_keys: bool,
}

/// Binds a profile: `BF36`. The same request gives the same octets.
///
/// # Errors
/// [`BppError`] when one of the one-time keys can't be used.
pub fn bind(request: &BindRequest<'_>) -> Result<Vec<u8>, BppError> {
    let keys = agree(&request.smdp_ot_secret, request.euicc_otpk, HOST_ID, &request.eid)?;
    let mut channel = Channel::new(keys);
    let configure = channel.encrypt(0x87, &element(0xbf24, &[]));
    let metadata = channel.authenticate(0x88, request.metadata);
    let mut replace = Vec::new();
    if request.protection_keys {
        let keys = protection_keys(request);
        let command = element(
            0xbf26,
            &[
                &element(0x80, &[&keys.initial_mac_chaining_value]),
                &element(0x81, &[&keys.enc]),
                &element(0x82, &[&keys.cmac]),
            ],
        );
        replace = element(0xa2, &[&channel.encrypt(0x87, &command)]);
        channel = Channel::new(keys);
    }
    let profile = channel.encrypt(0x86, request.profile);
    Ok(element(
        0xbf36,
        &[
            &initialise_secure_channel(request)?,
            &element(0xa0, &[&configure]),
            &element(0xa1, &[&metadata]),
            &replace,
            &element(0xa3, &[&profile]),
        ],
    ))
}

/// `BF23 { 82, 80, A6, 5F49, 5F37 smdpSign }`; signed are the first four and the data object of euiccOtpk.
fn initialise_secure_channel(request: &BindRequest<'_>) -> Result<Vec<u8>, BppError> {
    let template =
        element(0xa6, &[&element(0x80, &[&[KEY_TYPE]]), &element(0x81, &[&[KEY_LEN]]), &element(0x84, &[HOST_ID])]);
    let fields = [
        integer(0x82, 1),
        element(0x80, &[request.transaction_id]),
        template,
        element(0x5f49, &[&otpk(&request.smdp_ot_secret)?]),
    ]
    .concat();
    let signed = [fields.as_slice(), &element(0x5f49, &[request.euicc_otpk])].concat();
    let signature = request.pb_key.sign_deterministic(&signed);
    Ok(element(0xbf23, &[&fields, &element(0x5f37, &[&signature])]))
}

/// Keys that depend on nothing but the session's secret.
fn protection_keys(request: &BindRequest<'_>) -> Keys {
    let part = |number: u8| -> [u8; 32] {
        Sha256::new_with_prefix(b"protection keys")
            .chain_update([number])
            .chain_update(request.smdp_ot_secret)
            .chain_update(request.transaction_id)
            .finalize()
            .into()
    };
    let (first, second) = (part(1), part(2));
    Keys::of(&std::array::from_fn(|at| first.iter().chain(&second).nth(at).copied().unwrap_or_default()))
}
