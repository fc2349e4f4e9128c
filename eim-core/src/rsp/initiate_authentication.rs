//! InitiateAuthentication of ES9+' and ES11' (SGP.22 v2.5 5.6.1, 5.8.1, 6.5.2.6).

use super::RspError;
use super::json::{Answer, base64};
use crate::asn1::{InitiateAuthenticationOkEs9, Raw, ServerSigned1};
use crate::ids::RspAddress;
use crate::ports::RspReply;

/// The member that carries the server's address. Towards an SM-DS both are in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressField {
    /// `smdpAddress`: every SM-DP+, and most SM-DSs.
    #[default]
    SmdpAddress,
    /// `smdsAddress`.
    SmdsAddress,
}

impl AddressField {
    /// The name of the member.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SmdpAddress => "smdpAddress",
            Self::SmdsAddress => "smdsAddress",
        }
    }
}

/// The request: `euicc_challenge` of 16 octets, `euicc_info1` the octets of EUICCInfo1 with their tag BF20.
#[must_use]
pub fn body(euicc_challenge: &[u8], euicc_info1: &[u8], address: &RspAddress, field: AddressField) -> Vec<u8> {
    super::json::body([
        ("euiccChallenge", base64(euicc_challenge)),
        ("euiccInfo1", base64(euicc_info1)),
        (field.as_str(), address.as_str().to_owned()),
    ])
}

/// Reads the answer. A transactionId beside serverSigned1 must be the one inside it, and may be left out.
///
/// # Errors
/// [`RspError`] for everything but a success with all its members.
pub fn read(reply: &RspReply) -> Result<InitiateAuthenticationOkEs9, RspError> {
    let answer = Answer::of(reply)?;
    let server_signed1: Raw<ServerSigned1> = answer.object(&["serverSigned1"])?;
    Ok(InitiateAuthenticationOkEs9 {
        transaction_id: answer.same_transaction_id(&server_signed1.value().transaction_id)?,
        server_signed1,
        server_signature1: answer.signature("serverSignature1")?,
        euicc_ci_pk_id_to_be_used: answer.key_id(&["euiccCiPKIdToBeUsed", "euiccCiPKIdentifierToBeUsed"])?,
        server_certificate: answer.certificate("serverCertificate")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_body_names_the_address_as_asked() {
        let address: RspAddress = "SMDP.example:8443".parse().unwrap();
        let plain: Value =
            serde_json::from_slice(&body(&[0; 16], &[0xBF, 0x20, 0], &address, AddressField::default())).unwrap();
        let expected = json!({
            "euiccChallenge": "AAAAAAAAAAAAAAAAAAAAAA==", "euiccInfo1": "vyAA", "smdpAddress": "SMDP.example:8443"
        });
        assert_eq!(plain, expected);
        let other: Value = serde_json::from_slice(&body(&[], &[], &address, AddressField::SmdsAddress)).unwrap();
        assert_eq!(other["smdsAddress"], "SMDP.example:8443");
        assert_eq!(other.get("smdpAddress"), None);
    }
}
