//! From the errors of the HTTP client to the failures of the port. Nothing of what the peer sent gets through.

use super::addresses::NoAddress;
use super::tls::Refusal;
use eim_core::ports::RspFailure;
use std::error::Error;
use std::io::{self, ErrorKind};

/// Why there is no status: names, TCP, TLS, or something that is no HTTP.
pub(super) fn before_the_answer(error: &reqwest::Error) -> RspFailure {
    match find::<NoAddress>(error) {
        Some(NoAddress::Private) => return RspFailure::AddressRefused(NoAddress::Private.to_string()),
        Some(NoAddress::Unknown) => return RspFailure::Unreachable(NoAddress::Unknown.to_string()),
        None => {}
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return RspFailure::Tls(tls_reason(error).to_owned());
    }
    if error.is_timeout() {
        return RspFailure::Timeout;
    }
    if !error.is_connect() {
        return RspFailure::Broken("no HTTP answer".to_owned());
    }
    match find::<io::Error>(error).map(innermost_kind) {
        // TCP was connected: who refuses that gives another error.
        Some(
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected,
        ) => RspFailure::Tls("closed".to_owned()),
        Some(kind) => RspFailure::Unreachable(kind.to_string()),
        None => RspFailure::Unreachable("no connection".to_owned()),
    }
}

/// Why the body is not whole.
pub(super) fn within_the_answer(error: &reqwest::Error) -> RspFailure {
    if error.is_timeout() { RspFailure::Timeout } else { RspFailure::Broken("the body is not whole".to_owned()) }
}

/// A stable word.
fn tls_reason(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError, Error as Tls};
    match error {
        Tls::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<Refusal>().map_or("certificate", |refusal| refusal.0)
        }
        Tls::InvalidCertificate(CertificateError::BadSignature) => "signature",
        Tls::InvalidCertificate(_) => "certificate",
        Tls::NoCertificatesPresented => "no-certificate",
        Tls::AlertReceived(_) => "alert",
        Tls::PeerIncompatible(_) => "incompatible",
        Tls::InvalidMessage(_) => "not-tls",
        _ => "handshake",
    }
}

/// The first error of a type among an error and its causes. An I/O error hides the one it wraps from `source`.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn innermost_kind(error: &io::Error) -> ErrorKind {
    let wrapped = error.get_ref().and_then(|wrapped| find::<io::Error>(wrapped));
    wrapped.map_or(error.kind(), innermost_kind)
}
