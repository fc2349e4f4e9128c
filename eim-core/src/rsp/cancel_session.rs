//! CancelSession of ES9+' (SGP.22 v2.5 5.6.5, 6.5.2.10).

use super::RspError;
use super::json::{nothing, session_body};
use crate::ports::RspReply;

/// The request: `bf41` is the CancelSessionResponse of the eUICC in its full form, with its tag.
#[must_use]
pub fn body(transaction_id: &[u8], bf41: &[u8]) -> Vec<u8> {
    session_body(transaction_id, "cancelSessionResponse", bf41)
}

/// Whether the server cancelled the session: a header that says so, or a success without a body.
///
/// # Errors
/// [`RspError`] for everything else.
pub fn read(reply: &RspReply) -> Result<(), RspError> {
    nothing(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_transaction_id_in_upper_case() {
        let expected = br#"{"cancelSessionResponse":"v0EA","transactionId":"0AFF"}"#;
        assert_eq!(body(&[0x0a, 0xff], &[0xBF, 0x41, 0x00]), expected);
    }
}
