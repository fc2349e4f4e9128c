//! Misbehaviour of servers that tests ask for.

use super::json::RspFunction;
use crate::pki::ServerCertificateFault;

/// A refusal of one function, whatever the call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// The function.
    pub function: RspFunction,
    /// subjectCode.
    pub subject: String,
    /// reasonCode.
    pub reason: String,
}

impl Refuse {
    /// Refuses this function with these codes.
    #[must_use]
    pub fn new(function: RspFunction, subject: &str, reason: &str) -> Self {
        Self { function, subject: subject.to_owned(), reason: reason.to_owned() }
    }
}

/// Misbehaviour below the functions. Calls are carried out first where the fault is a lost answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportFault {
    /// This HTTP status with an empty body; the call is not carried out.
    HttpStatus(u16),
    /// 200 with a page of HTML; the call is not carried out.
    Html,
    /// 200 with text that is no JSON; the call is not carried out.
    GarbageJson,
    /// 307 to another path of the same server; the call is not carried out.
    Redirect,
    /// 200 with a JSON object of this many octets; the call is not carried out.
    AnswerBytes(usize),
    /// The call is carried out, and no answer comes until the server is stopped.
    Silence,
    /// The call is carried out, and the connection ends in the middle of the answer.
    CloseMidAnswer,
}

/// What is wrong with a server's TLS certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// It ended on 2025-01-01.
    Expired,
    /// Its name is `wrong-name.example`.
    WrongName,
    /// It was issued by a CI of the same name with another key.
    UntrustedCi,
}

/// What a server does wrong. The default is nothing; several may be combined. An SM-DS heeds those that concern
/// InitiateAuthentication, AuthenticateClient and the transport.
#[derive(Debug, Clone, Default)]
pub struct SmdpFaults {
    /// Functions that are refused.
    pub refuse: Vec<Refuse>,
    /// What is wrong with CERT.DPauth (or CERT.DSauth).
    pub auth_certificate: Option<ServerCertificateFault>,
    /// What is wrong with CERT.DPpb.
    pub pb_certificate: Option<ServerCertificateFault>,
    /// serverSignature1 is over something else.
    pub bad_server_signature1: bool,
    /// smdpSignature2 is over something else.
    pub bad_smdp_signature2: bool,
    /// serverSigned1 names `other.example`.
    pub wrong_server_address: bool,
    /// serverSigned1 has another euiccChallenge.
    pub wrong_euicc_challenge: bool,
    /// The answer to this function has another transactionId beside the right signed data.
    pub wrong_transaction_id: Option<RspFunction>,
    /// smdpSigned2 has another transactionId.
    pub wrong_signed2_transaction_id: bool,
    /// BF23 in the Bound Profile Package has another transactionId.
    pub wrong_bpp_transaction_id: bool,
    /// euiccCiPKIdToBeUsed is one that nobody knows.
    pub unknown_ci_key_id: bool,
    /// Every session gets this transactionId, 1 to 16 octets.
    pub fixed_transaction_id: Option<Vec<u8>>,
    /// The Bound Profile Package ends in the middle.
    pub truncated_bpp: bool,
    /// The last MAC of the Bound Profile Package is wrong.
    pub corrupt_bpp_mac: bool,
    /// The Bound Profile Package has a data object that is part of no command.
    pub unknown_bpp_tag: bool,
    /// Base64 has line breaks.
    pub line_breaks: bool,
    /// So many notifications are answered with 503 and forgotten.
    pub unacknowledged_notifications: u32,
    /// Misbehaviour below the functions.
    pub transport: Option<TransportFault>,
    /// The function that has it; all if `None`.
    pub transport_on: Option<RspFunction>,
    /// How many calls have it; all if `None`.
    pub transport_times: Option<u32>,
}

impl SmdpFaults {
    /// No misbehaviour.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The transport fault that this call has, which uses it up.
    pub(super) fn next_transport(&mut self, function: RspFunction) -> Option<TransportFault> {
        if function == RspFunction::HandleNotification && self.unacknowledged_notifications > 0 {
            self.unacknowledged_notifications -= 1;
            return Some(TransportFault::HttpStatus(503));
        }
        let fault = self.transport.filter(|_| self.transport_on.is_none_or(|on| on == function))?;
        match &mut self.transport_times {
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(fault)
            }
            None => Some(fault),
        }
    }
}
