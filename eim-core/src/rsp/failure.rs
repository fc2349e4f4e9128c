//! What to do about a call that got no answer.

use crate::ports::RspFailure;

/// The cause and the next step, a sentence or two for the operator.
#[must_use]
pub const fn explain_failure(failure: &RspFailure) -> &'static str {
    match failure {
        RspFailure::AddressRefused(_) => {
            "This eIM may not call that address: it is not on the list of allowed servers, or it lies in a private \
             network. Check the address in the activation code, or allow it in the configuration."
        }
        RspFailure::Unreachable(_) => {
            "The server can't be reached: its name does not resolve, or nothing accepts the connection. Check the \
             address, the name server and the firewall, then try again."
        }
        RspFailure::Tls(_) => {
            "The TLS connection was refused: the server's certificate is not trusted, has expired, or is of another \
             name. Check that the CI of the server is among the configured roots."
        }
        RspFailure::Timeout => {
            "The server did not answer in time. Try again later; if it stays so, ask its provider or allow more time."
        }
        RspFailure::Broken(_) => "The server's answer broke off. Try again; if it stays so, ask its provider.",
        RspFailure::TooLarge(_) => {
            "The server's answer is larger than this eIM accepts. Raise the limit in the configuration if the profile \
             is really that large."
        }
        RspFailure::Redirect(_) => {
            "The server redirects to another address, which is not followed. Use the address that the server has now."
        }
        RspFailure::Busy => {
            "Too many calls are under way, to this server or to all. Try again later; allow more calls at a time if \
             this happens often."
        }
        RspFailure::CircuitOpen => {
            "The server failed so often that it is left alone for a while. Look at the failures before this one, then \
             try again."
        }
        RspFailure::Interrupted => {
            "The call was interrupted, and nobody knows whether the server took it. The device has to begin the \
             download again."
        }
        RspFailure::NoWorker => {
            "No worker took the call. Check that workers are running and that their broker can be reached."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_failure_has_a_sentence_of_its_own_that_shows_no_detail() {
        let detail = || "10.1.2.3 detail".to_owned();
        let failures = [
            RspFailure::AddressRefused(detail()),
            RspFailure::Unreachable(detail()),
            RspFailure::Tls(detail()),
            RspFailure::Timeout,
            RspFailure::Broken(detail()),
            RspFailure::TooLarge(1),
            RspFailure::Redirect(302),
            RspFailure::Busy,
            RspFailure::CircuitOpen,
            RspFailure::Interrupted,
            RspFailure::NoWorker,
        ];
        let texts: BTreeSet<_> = failures.iter().map(explain_failure).collect();
        assert_eq!(texts.len(), failures.len());
        assert!(texts.iter().all(|text| text.ends_with('.') && !text.contains("detail")));
    }
}
