//! HandleNotification of ES9+' (SGP.22 v2.5 5.6.4, 6.5.2.9).

use super::RspError;
use super::json::{base64, nothing};
use crate::ports::RspReply;

/// The request: `notification` is a ProfileInstallationResult (BF37) or an OtherSignedNotification (30) with its tag,
/// never a compact form.
#[must_use]
pub fn body(notification: &[u8]) -> Vec<u8> {
    super::json::body([("pendingNotification", base64(notification))])
}

/// Whether the server took it: 204, any success without a body, or a header that says so.
///
/// # Errors
/// [`RspError`] for everything else; the notification is to be delivered again.
pub fn read(reply: &RspReply) -> Result<(), RspError> {
    nothing(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_notification_alone() {
        assert_eq!(body(&[0xBF, 0x37, 0x00]), br#"{"pendingNotification":"vzcA"}"#);
        assert_eq!(read(&RspReply { status: 204, body: Vec::new() }), Ok(()));
    }
}
