//! The eUICC's side: checking and decrypting a package, command by command (SGP.22 v2.5 5.7.6, 5.5).

use super::channel::Channel;
use super::keys::{KEY_LEN, KEY_TYPE, Keys, agree, otpk};
use crate::tlv::{self, Tlv, element};
use eim_core::pki::PublicKey;

/// What was in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// `BF25`, from the protected StoreMetadata.
    pub metadata: Vec<u8>,
    /// The profile elements.
    pub profile: Vec<u8>,
}

/// Why a package was refused, in the numbers of ErrorResult (SGP.22 v2.5 annex H).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the package was refused: bppCommandId {bpp_command_id}, errorReason {error_reason}")]
pub struct OpenError {
    /// initialiseSecureChannel(0), configureISDP(1), storeMetadata(2), replaceSessionKeys(4), loadProfileElements(5).
    pub bpp_command_id: i64,
    /// incorrectInputValues(1) to scp03tSecurityError(8).
    pub error_reason: i64,
}

const INITIALISE_SECURE_CHANNEL: i64 = 0;
const CONFIGURE_ISDP: i64 = 1;
const STORE_METADATA: i64 = 2;
const REPLACE_SESSION_KEYS: i64 = 4;
const LOAD_PROFILE_ELEMENTS: i64 = 5;

const INCORRECT_INPUT_VALUES: i64 = 1;
const INVALID_SIGNATURE: i64 = 2;
const INVALID_TRANSACTION_ID: i64 = 3;
const UNSUPPORTED_CRT_VALUES: i64 = 4;
const UNSUPPORTED_REMOTE_OPERATION_TYPE: i64 = 5;
const STRUCTURE_ERROR: i64 = 7;
const SECURITY_ERROR: i64 = 8;

const fn refused(bpp_command_id: i64, error_reason: i64) -> OpenError {
    OpenError { bpp_command_id, error_reason }
}

/// Checks smdpSign with the key of CERT.DPpb, agrees on keys, checks every MAC and decrypts.
///
/// # Errors
/// [`OpenError`] with the first command that fails. Octets that are cut off fail in the command that they belong to.
pub fn open(
    bpp: &[u8],
    transaction_id: &[u8],
    eid: [u8; 16],
    euicc_ot_secret: &[u8; 32],
    pb_key: &PublicKey,
) -> Result<Opened, OpenError> {
    let mut rest = contents(bpp).ok_or(refused(INITIALISE_SECURE_CHANNEL, INCORRECT_INPUT_VALUES))?;
    let secure_channel = take(&mut rest, 0xbf23).ok_or(refused(INITIALISE_SECURE_CHANNEL, INCORRECT_INPUT_VALUES))?;
    let keys = initialise_secure_channel(&secure_channel, transaction_id, eid, euicc_ot_secret, pb_key)
        .map_err(|reason| refused(INITIALISE_SECURE_CHANNEL, reason))?;
    let mut channel = Channel::new(keys);

    let command = take(&mut rest, 0xa0).ok_or(refused(CONFIGURE_ISDP, STRUCTURE_ERROR))?;
    let configure = decrypt(&mut channel, &command, 0x87).map_err(|reason| refused(CONFIGURE_ISDP, reason))?;
    Tlv::only(&configure).filter(|tlv| tlv.tag == 0xbf24).ok_or(refused(CONFIGURE_ISDP, INCORRECT_INPUT_VALUES))?;

    let command = take(&mut rest, 0xa1).ok_or(refused(STORE_METADATA, STRUCTURE_ERROR))?;
    let metadata = authenticated(&mut channel, &command).map_err(|reason| refused(STORE_METADATA, reason))?;
    Tlv::only(&metadata).filter(|tlv| tlv.tag == 0xbf25).ok_or(refused(STORE_METADATA, INCORRECT_INPUT_VALUES))?;

    if rest.first() == Some(&0xa2) {
        let command = take(&mut rest, 0xa2).ok_or(refused(REPLACE_SESSION_KEYS, STRUCTURE_ERROR))?;
        let request = decrypt(&mut channel, &command, 0x87).map_err(|reason| refused(REPLACE_SESSION_KEYS, reason))?;
        let keys = replaced_keys(&request).ok_or(refused(REPLACE_SESSION_KEYS, INCORRECT_INPUT_VALUES))?;
        channel = Channel::new(keys);
    }

    let command = take(&mut rest, 0xa3).ok_or(refused(LOAD_PROFILE_ELEMENTS, STRUCTURE_ERROR))?;
    let profile = decrypt(&mut channel, &command, 0x86).map_err(|reason| refused(LOAD_PROFILE_ELEMENTS, reason))?;
    if !rest.is_empty() {
        return Err(refused(LOAD_PROFILE_ELEMENTS, STRUCTURE_ERROR));
    }
    Ok(Opened { metadata, profile })
}

/// What follows the header of BF36. Its length is not checked: a card gets the package in segments.
fn contents(bpp: &[u8]) -> Option<&[u8]> {
    let (tag, tag_len) = tlv::tag(bpp)?;
    let first = usize::from(*bpp.get(tag_len)?);
    let length_len = if first < 0x80 { 1 } else { 1 + (first & 0x7f) };
    Some(bpp.get(tag_len + length_len..)?).filter(|_| tag == 0xbf36)
}

/// The next data object, if it has this tag.
fn take<'a>(rest: &mut &'a [u8], tag: u32) -> Option<Tlv<'a>> {
    let (found, after) = tlv::read(rest)?;
    if found.tag != tag {
        return None;
    }
    *rest = after;
    Some(found)
}

/// The errors are errorReasons.
fn initialise_secure_channel(
    request: &Tlv<'_>,
    transaction_id: &[u8],
    eid: [u8; 16],
    euicc_ot_secret: &[u8; 32],
    pb_key: &PublicKey,
) -> Result<Keys, i64> {
    let fields = request.children().ok_or(INCORRECT_INPUT_VALUES)?;
    let [operation, transaction, template, smdp_otpk, signature] = fields.as_slice() else {
        return Err(INCORRECT_INPUT_VALUES);
    };
    let tags = [operation.tag, transaction.tag, template.tag, smdp_otpk.tag, signature.tag];
    if tags != [0x82, 0x80, 0xa6, 0x5f49, 0x5f37] {
        return Err(INCORRECT_INPUT_VALUES);
    }
    let own_otpk = otpk(euicc_ot_secret).map_err(|_| INCORRECT_INPUT_VALUES)?;
    let signed =
        [operation.octets, transaction.octets, template.octets, smdp_otpk.octets, &element(0x5f49, &[&own_otpk])]
            .concat();
    pb_key.verify(&signed, signature.content).map_err(|_| INVALID_SIGNATURE)?;
    if operation.integer() != Some(1) {
        return Err(UNSUPPORTED_REMOTE_OPERATION_TYPE);
    }
    if transaction.content != transaction_id {
        return Err(INVALID_TRANSACTION_ID);
    }
    let is = |tag: u32, value: u8| template.child(tag).is_some_and(|field| field.content == [value]);
    let host_id = template.child(0x84).filter(|field| (1..=16).contains(&field.content.len()));
    match host_id {
        Some(host_id) if is(0x80, KEY_TYPE) && is(0x81, KEY_LEN) => {
            agree(euicc_ot_secret, smdp_otpk.content, host_id.content, &eid).map_err(|_| INCORRECT_INPUT_VALUES)
        }
        _ => Err(UNSUPPORTED_CRT_VALUES),
    }
}

fn decrypt(channel: &mut Channel, command: &Tlv<'_>, tag: u32) -> Result<Vec<u8>, i64> {
    let mut plaintext = Vec::new();
    for block in blocks(command, tag)? {
        plaintext.extend(channel.decrypt(&block).map_err(|_| SECURITY_ERROR)?);
    }
    Ok(plaintext)
}

fn authenticated(channel: &mut Channel, command: &Tlv<'_>) -> Result<Vec<u8>, i64> {
    let mut plaintext = Vec::new();
    for block in blocks(command, 0x88)? {
        plaintext.extend(channel.check(&block).map_err(|_| SECURITY_ERROR)?);
    }
    Ok(plaintext)
}

fn blocks<'a>(command: &Tlv<'a>, tag: u32) -> Result<Vec<Tlv<'a>>, i64> {
    let blocks = command.children().ok_or(STRUCTURE_ERROR)?;
    if blocks.iter().all(|block| block.tag == tag) { Ok(blocks) } else { Err(STRUCTURE_ERROR) }
}

/// `BF26 { 80 initialMacChainingValue, 81 ppkEnc, 82 ppkCmac }`.
fn replaced_keys(request: &[u8]) -> Option<Keys> {
    let request = Tlv::only(request).filter(|tlv| tlv.tag == 0xbf26)?;
    let key = |tag: u32| request.child(tag)?.content.try_into().ok();
    Some(Keys { initial_mac_chaining_value: key(0x80)?, enc: key(0x81)?, cmac: key(0x82)? })
}
