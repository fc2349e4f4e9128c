//! Compact forms (minimizeEsipaBytes) made whole again, as the eUICC signed them (SGP.32 v1.2 annex A, 2.7).
//!
//! An IPA may leave out what the eIM holds already. The eUICC's signature covers the full object all the same, and only
//! full objects may go to an SM-DP+. So the octets are put together here one by one, and nothing that was received is
//! encoded again. Nothing is believed by being expanded: what was put together wrongly fails when its signature is
//! verified, which is the caller's next step.

use crate::asn1::{
    self, Certificate, CompactAuthenticateResponseOk, CompactCancelSessionResponseOk, CompactEuiccCancelSessionSigned,
    CompactEuiccSigned1, CompactEuiccSigned2, CompactFinalResult, CompactOtherSignedNotification,
    CompactPrepareDownloadResponseOk, CompactProfileInstallationResult, CompactSuccessResult, Component, CtxParams1,
    DecodeError, EUICCSigned2, EncodeError, ErrorResult, EuiccCancelSessionSigned, EuiccSigned1,
    OtherSignedNotification, ProfileInstallationResult, Raw,
};
use crate::pki::Oid;

/// Why a compact form can't be made whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// It was left out, and the eIM does not have it either.
    #[error("{what} was left out and is not known here")]
    Missing {
        /// What is missing, as the specification names it.
        what: &'static str,
    },
    /// The stored EUICCInfo2 is no data object BF22 with an extCardResource.
    #[error("the stored EUICCInfo2 can't be used")]
    EuiccInfo2,
    /// Something held for the session makes no valid object.
    #[error("{what} can't be put together: {cause}")]
    Form {
        /// The object, as the specification names it.
        what: &'static str,
        /// Why.
        cause: DecodeError,
    },
    /// A value that was received has no encoding.
    #[error("{what} can't be put together: {cause}")]
    Encoding {
        /// The object, as the specification names it.
        what: &'static str,
        /// Why.
        cause: EncodeError,
    },
}

/// What a session holds of euiccSigned1.
#[derive(Clone, Copy)]
pub struct Signed1Context<'a> {
    /// transactionId of serverSigned1.
    pub transaction_id: &'a [u8],
    /// serverAddress of serverSigned1, letter by letter.
    pub server_address: &'a str,
    /// serverChallenge of serverSigned1, 16 octets.
    pub server_challenge: &'a [u8],
    /// EUICCInfo2 of this eUICC as it was received, with its tag BF22.
    pub euicc_info2: &'a [u8],
    /// The eIM's own ctxParams1, when it made them; those that were sent win.
    pub ctx_params1: Option<&'a CtxParams1>,
    /// The ctxParams1 that were sent, as octets: those of [`sent_ctx_params1`]. Without them the sent ones are encoded
    /// again, which loses fields that this version can't name.
    pub sent_ctx_params1: Option<&'a [u8]>,
}

/// The octets of ctxParams1 (`A0 ..`) inside a compact AuthenticateServerResponse as received:
/// `BF38{A2{A0{84, A2{A0{..}}}, ..}}`. `None` where they were left out.
#[must_use]
pub fn sent_ctx_params1(authenticate_server_response: &[u8]) -> Option<&[u8]> {
    let (response, []) = first(authenticate_server_response)? else { return None };
    let compact = child(response.contents, &[0xa2])?;
    let signed = child(compact.contents, &[0xa0])?;
    let (params, []) = first(child(signed.contents, &[0xa2])?.contents)? else { return None };
    Some(params.octets)
}

/// euiccSigned1: `30{80 transactionId, 83 serverAddress, 84 serverChallenge, BF22 euiccInfo2, ctxParams1}`.
///
/// Of the stored EUICCInfo2 only the contents of `84` (extCardResource) are replaced.
///
/// # Errors
/// [`ExpandError`] when there are no ctxParams1 or no usable EUICCInfo2.
pub fn euicc_signed1(
    compact: &CompactEuiccSigned1,
    session: &Signed1Context<'_>,
) -> Result<Raw<EuiccSigned1>, ExpandError> {
    const WHAT: &str = "euiccSigned1";
    let ctx_params1 = match (session.sent_ctx_params1, compact.ctx_params1.as_ref().or(session.ctx_params1)) {
        (Some(octets), _) if compact.ctx_params1.is_some() => octets.to_vec(),
        (_, Some(params)) => asn1::encode(params).map_err(|cause| ExpandError::Encoding { what: WHAT, cause })?,
        (_, None) => return Err(ExpandError::Missing { what: "ctxParams1" }),
    };
    let contents = [
        tlv(&[0x80], session.transaction_id),
        tlv(&[0x83], session.server_address.as_bytes()),
        tlv(&[0x84], session.server_challenge),
        with_ext_card_resource(session.euicc_info2, &compact.ext_card_resource).ok_or(ExpandError::EuiccInfo2)?,
        ctx_params1,
    ];
    whole(WHAT, &tlv(SEQUENCE, &contents.concat()))
}

/// AuthenticateServerResponse: `BF38{A0{30 euiccSigned1, 5F37 euiccSignature1, 30 CERT.EUICC, 30 CERT.EUM}}`.
///
/// `signed1` is the one that was sent, or [`euicc_signed1`] of it. Certificates that were sent win over `stored`, which
/// are CERT.EUICC and CERT.EUM in DER.
///
/// # Errors
/// [`ExpandError`] when a certificate was left out and none is stored.
pub fn authenticate_server_response(
    compact: &CompactAuthenticateResponseOk,
    signed1: &Raw<EuiccSigned1>,
    stored: Option<(&[u8], &[u8])>,
) -> Result<Vec<u8>, ExpandError> {
    let pick = |sent: &'_ Option<Certificate>, stored: Option<&[u8]>, what| {
        let sent = sent.as_ref().map(|certificate| certificate.der().to_vec());
        sent.or_else(|| stored.map(<[u8]>::to_vec)).ok_or(ExpandError::Missing { what })
    };
    let contents = [
        signed1.octets().to_vec(),
        signature(&compact.euicc_signature1),
        pick(&compact.euicc_certificate, stored.map(|(euicc, _)| euicc), "euiccCertificate")?,
        pick(&compact.eum_certificate, stored.map(|(_, eum)| eum), "eumCertificate")?,
    ];
    let octets = tlv(&[0xbf, 0x38], &tlv(&[0xa0], &contents.concat()));
    whole::<asn1::AuthenticateServerResponse>("authenticateServerResponse", &octets)?;
    Ok(octets)
}

/// euiccSigned2: `30{80 transactionId, 5F49 euiccOtpk, 04 hashCc?}`.
///
/// What was sent wins over bppEuiccOtpk of smdpSigned2 and over the eIM's own `hash_cc`, which is to be given only if
/// the eIM sent it to the IPA.
///
/// # Errors
/// [`ExpandError`] when there is no euiccOtpk.
pub fn euicc_signed2(
    compact: &CompactEuiccSigned2,
    transaction_id: &[u8],
    bpp_euicc_otpk: Option<&[u8]>,
    hash_cc: Option<[u8; 32]>,
) -> Result<Raw<EUICCSigned2>, ExpandError> {
    let euicc_otpk = compact.euicc_otpk.as_deref().or(bpp_euicc_otpk);
    let hash_cc = compact.hash_cc.as_deref().or(hash_cc.as_ref().map(<[u8; 32]>::as_slice));
    let contents = [
        tlv(&[0x80], transaction_id),
        tlv(&[0x5f, 0x49], euicc_otpk.ok_or(ExpandError::Missing { what: "euiccOtpk" })?),
        hash_cc.map_or_else(Vec::new, |hash_cc| tlv(&[0x04], hash_cc)),
    ];
    whole("euiccSigned2", &tlv(SEQUENCE, &contents.concat()))
}

/// PrepareDownloadResponse: `BF21{A0{30 euiccSigned2, 5F37 euiccSignature2}}`, with `signed2` of [`euicc_signed2`].
///
/// # Errors
/// [`ExpandError::Form`], which a valid `signed2` does not give.
pub fn prepare_download_response(
    compact: &CompactPrepareDownloadResponseOk,
    signed2: &Raw<EUICCSigned2>,
) -> Result<Vec<u8>, ExpandError> {
    let contents = [signed2.octets(), &signature(&compact.euicc_signature2)].concat();
    let octets = tlv(&[0xbf, 0x21], &tlv(&[0xa0], &contents));
    whole::<asn1::PrepareDownloadResponse>("prepareDownloadResponse", &octets)?;
    Ok(octets)
}

/// euiccCancelSessionSigned: `30{80 transactionId, 81 smdpOid, 82 reason}`.
///
/// `smdp_oid` is that of CERT.DPauth; `reason` is the one that the eIM knows of, for when none was sent.
///
/// # Errors
/// [`ExpandError`] when there is no reason.
pub fn euicc_cancel_session_signed(
    compact: &CompactEuiccCancelSessionSigned,
    transaction_id: &[u8],
    smdp_oid: &Oid,
    reason: Option<i64>,
) -> Result<Raw<EuiccCancelSessionSigned>, ExpandError> {
    let reason = compact.reason.or(reason).ok_or(ExpandError::Missing { what: "reason" })?;
    let contents = [tlv(&[0x80], transaction_id), tlv(&[0x81], smdp_oid.octets()), integer(&[0x82], reason)];
    whole("euiccCancelSessionSigned", &tlv(SEQUENCE, &contents.concat()))
}

/// CancelSessionResponse: `BF41{A0{30 euiccCancelSessionSigned, 5F37 euiccCancelSessionSignature}}`, with the arguments
/// of [`euicc_cancel_session_signed`].
///
/// # Errors
/// Those of [`euicc_cancel_session_signed`].
pub fn cancel_session_response(
    compact: &CompactCancelSessionResponseOk,
    transaction_id: &[u8],
    smdp_oid: &Oid,
    reason: Option<i64>,
) -> Result<Vec<u8>, ExpandError> {
    let signed = &compact.compact_euicc_cancel_session_signed;
    let signed = euicc_cancel_session_signed(signed, transaction_id, smdp_oid, reason)?;
    let contents = [signed.octets(), &signature(&compact.euicc_cancel_session_signature)].concat();
    Ok(tlv(&[0xbf, 0x41], &tlv(&[0xa0], &contents)))
}

/// What a session holds of ProfileInstallationResultData.
#[derive(Debug, Clone, Copy)]
pub struct InstallationContext<'a> {
    /// The notificationAddress of the metadata for the install event: the address of the SM-DP+.
    pub notification_address: &'a str,
    /// The ICCID of the metadata, as in EF.ICCID: 10 octets.
    pub iccid: Option<&'a [u8]>,
    /// The object identifier of CERT.DPauth.
    pub smdp_oid: &'a Oid,
}

/// ProfileInstallationResult: `BF37{BF27{80, BF2F{80, 81 0780, 0C, 5A?}, 06, A2{A0|A1}}, 5F37 euiccSignPIR}`.
///
/// # Errors
/// [`ExpandError`] when the ICCID is to be in it and is not known.
pub fn installation_result(
    compact: &CompactProfileInstallationResult,
    session: &InstallationContext<'_>,
) -> Result<Raw<ProfileInstallationResult>, ExpandError> {
    let data = &compact.compact_profile_installation_result_data;
    let iccid = match (data.iccid_present, session.iccid) {
        (false, _) => Vec::new(),
        (true, Some(iccid)) => tlv(&[0x5a], iccid),
        (true, None) => return Err(ExpandError::Missing { what: "iccid" }),
    };
    let metadata = [
        integer(&[0x80], data.seq_number),
        tlv(&[0x81], &NOTIFICATION_INSTALL),
        tlv(&[0x0c], session.notification_address.as_bytes()),
        iccid,
    ];
    let final_result = match &data.compact_final_result {
        CompactFinalResult::CompactSuccessResult(success) => tlv(&[0xa0], &success_result(success)),
        CompactFinalResult::ErrorResult(error) => tlv(&[0xa1], &error_result(error)),
    };
    let contents = [
        tlv(&[0x80], &data.transaction_id),
        tlv(&[0xbf, 0x2f], &metadata.concat()),
        tlv(&[0x06], session.smdp_oid.octets()),
        tlv(&[0xa2], &final_result),
    ];
    let result = [tlv(&[0xbf, 0x27], &contents.concat()), signature(&compact.euicc_sign_pir)];
    whole("profileInstallationResult", &tlv(&[0xbf, 0x37], &result.concat()))
}

/// OtherSignedNotification: `30{BF2F, 5F37, 30 CERT.EUICC, 30 CERT.EUM}`, with the stored certificates in DER.
///
/// # Errors
/// [`ExpandError::Form`] when a stored certificate is none.
pub fn other_notification(
    compact: &CompactOtherSignedNotification,
    euicc_certificate: &[u8],
    eum_certificate: &[u8],
) -> Result<Raw<OtherSignedNotification>, ExpandError> {
    let contents = [
        compact.tbs_other_notification.octets(),
        &signature(&compact.euicc_notification_signature),
        euicc_certificate,
        eum_certificate,
    ];
    whole("otherSignedNotification", &tlv(SEQUENCE, &contents.concat()))
}

const SEQUENCE: &[u8] = &[0x30];

/// The BIT STRING notificationInstall(0).
const NOTIFICATION_INSTALL: [u8; 2] = [0x07, 0x80];

/// The AID of an ISD-P up to the two octets that compactAid holds; one octet 00 follows them (SGP.02 2.2.3).
const AID_PREFIX: [u8; 13] = [0xa0, 0, 0, 0x05, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff, 0xff, 0x89, 0x00];

/// EUICCResponse of a success, which may be left out.
const SIMA_RESPONSE_OK: [u8; 9] = [0x30, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x80, 0x01, 0x00];

fn success_result(success: &CompactSuccessResult) -> Vec<u8> {
    let aid = [&AID_PREFIX[..], &success.compact_aid, &[0x00]].concat();
    let sima_response = success.sima_response.as_deref().unwrap_or(&SIMA_RESPONSE_OK);
    [tlv(&[0x4f], &aid), tlv(&[0x04], sima_response)].concat()
}

fn error_result(error: &ErrorResult) -> Vec<u8> {
    let sima_response = error.sima_response.as_deref().map_or_else(Vec::new, |response| tlv(&[0x82], response));
    [integer(&[0x80], error.bpp_command_id), integer(&[0x81], error.error_reason), sima_response].concat()
}

fn signature(value: &[u8]) -> Vec<u8> {
    tlv(&[0x5f, 0x37], value)
}

/// Reads what was put together, so that a context of nonsense gives an error here and not at a server.
fn whole<T>(what: &'static str, octets: &[u8]) -> Result<Raw<T>, ExpandError>
where
    Raw<T>: Component,
{
    asn1::decode(octets).map_err(|cause| ExpandError::Form { what, cause })
}

/// The octets of EUICCInfo2 with other contents of its `84`; every other octet stays, as far as lengths allow.
fn with_ext_card_resource(euicc_info2: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let (info, []) = first(euicc_info2)? else { return None };
    if info.tag != [0xbf, 0x22] {
        return None;
    }
    let mut before = 0;
    let mut left = info.contents;
    loop {
        let (field, rest) = first(left)?;
        if field.tag == [0x84] {
            let (kept, _) = info.contents.split_at_checked(before)?;
            // Of the same length the header stays as it is, in whatever form of BER it came.
            let header = field.octets.len() - field.contents.len();
            let field = match field.octets.split_at_checked(header)? {
                (header, old) if old.len() == value.len() => [header, value].concat(),
                _ => tlv(&[0x84], value),
            };
            let contents = [kept, &field, rest].concat();
            let header = info.octets.len() - info.contents.len();
            return Some(match info.octets.split_at_checked(header)? {
                (header, old) if old.len() == contents.len() => [header, &contents].concat(),
                _ => tlv(&[0xbf, 0x22], &contents),
            });
        }
        before += field.octets.len();
        left = rest;
    }
}

/// A data object in DER.
fn tlv(tag: &[u8], contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let length_octets = length.to_be_bytes();
    let significant = &length_octets[length_octets.len() - (8 - length.leading_zeros() as usize / 8).max(1)..];
    let mut octets = tag.to_vec();
    if length >= 0x80 {
        octets.push(0x80 | significant.len() as u8);
    }
    octets.extend_from_slice(significant);
    octets.extend_from_slice(contents);
    octets
}

/// A minimal INTEGER.
fn integer(tag: &[u8], value: i64) -> Vec<u8> {
    let octets = value.to_be_bytes();
    let mut start = 0;
    // A leading octet is left out while it only repeats the sign of the next.
    while start < 7 && (octets[start], octets[start + 1] & 0x80) == if value < 0 { (0xff, 0x80) } else { (0, 0) } {
        start += 1;
    }
    tlv(tag, &octets[start..])
}

struct DataObject<'a> {
    tag: &'a [u8],
    octets: &'a [u8],
    contents: &'a [u8],
}

/// The first data object with a definite length, and what follows it.
fn first(input: &[u8]) -> Option<(DataObject<'_>, &[u8])> {
    let tag_len = match input.first()? {
        leading if leading & 0x1f == 0x1f => 2 + input.iter().skip(1).position(|octet| octet & 0x80 == 0)?,
        _ => 1,
    };
    let (tag, rest) = input.split_at_checked(tag_len)?;
    let (leading, rest) = rest.split_first()?;
    let (length, rest) = match leading {
        0..=0x7f => (usize::from(*leading), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(leading & 0x7f))?;
            (length.iter().fold(0, |length, octet| (length << 8) | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    let octets = &input[..input.len() - rest.len()];
    Some((DataObject { tag, octets, contents }, rest))
}

/// The first data object of this tag among those in `input`.
fn child<'a>(input: &'a [u8], tag: &[u8]) -> Option<DataObject<'a>> {
    let mut left = input;
    loop {
        let (object, rest) = first(left)?;
        if object.tag == tag {
            return Some(object);
        }
        left = rest;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_integers_are_minimal() {
        for (length, header) in [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100")] {
            assert!(hex::encode(tlv(&[0x04], &vec![0; length])).starts_with(header), "{length}");
        }
        assert!(hex::encode(tlv(&[0x04], &vec![0; 65536])).starts_with("0483010000"));
        for (value, octets) in [
            (0, "020100"),
            (127, "02017f"),
            (128, "02020080"),
            (-1, "0201ff"),
            (-128, "020180"),
            (-129, "0202ff7f"),
            (i64::MAX, "02087fffffffffffffff"),
            (i64::MIN, "02088000000000000000"),
        ] {
            assert_eq!(hex::encode(integer(&[0x02], value)), octets, "{value}");
        }
    }

    #[test]
    fn only_the_contents_of_ext_card_resource_change() {
        let splice = |info: &str, value: &str| {
            with_ext_card_resource(&hex::decode(info).unwrap(), &hex::decode(value).unwrap()).map(hex::encode)
        };
        // A field before, one after, and one that nobody knows.
        let found = splice("bf220d8203020500840201029f7f0101", "0a0b");
        assert_eq!(found.as_deref(), Some("bf220d820302050084020a0b9f7f0101"));
        assert_eq!(splice("bf220484020102", "").as_deref(), Some("bf22028400"));
        assert_eq!(splice("bf220484020102", "010203").as_deref(), Some("bf22058403010203"));
        // Long forms of lengths stay where the lengths do.
        assert_eq!(splice("bf2281058481020102", "0a0b").as_deref(), Some("bf2281058481020a0b"));
        // An 84 inside another field is not the one, nor is one in another object or in broken octets.
        let inside = "bf2206ac0484020102";
        let (other, trailing, indefinite) = ("bf200484020102", "bf22048402010200", "bf2280840201020000");
        for info in [inside, other, trailing, indefinite, "", "bf22", "bf2200", "bf220584020102", "300484020102"] {
            assert_eq!(splice(info, "0a0b"), None, "{info}");
        }
    }

    #[test]
    fn hostile_octets_are_none_and_no_panic() {
        let seed = hex::decode("bf3812a210a00e84021122a208a006a104800212345f3700").unwrap();
        for at in 0..seed.len() {
            for octet in 0..=255 {
                let mut octets = seed.clone();
                octets[at] = octet;
                let _ = (sent_ctx_params1(&octets), with_ext_card_resource(&octets, &[1]));
                let _ = sent_ctx_params1(&octets[..at]);
            }
        }
    }
}
