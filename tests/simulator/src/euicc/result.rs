//! Writes and signs answers to packages, and keeps results until they are acknowledged (SGP.32 v1.2 2.11.2.1).

use super::error::EuiccError;
use super::{Euicc, UnsignedError};
use crate::pki::signature_to_der;
use crate::tlv::{element, integer};
use eim_core::asn1::{self, EuiccResultData};
use eim_core::ids::AssociationToken;

/// What an answer repeats from the request, and the token it is bound to.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub eim_id: String,
    pub counter: i64,
    pub eim_transaction_id: Option<Vec<u8>>,
    /// The token in force when the package was verified.
    pub token: Option<AssociationToken>,
}

/// A package result that waits to be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// Its seqNumber.
    pub seq_number: i64,
    /// The eIM that asked for it.
    pub eim_id: String,
    /// `BF51 { A0 .. }`, as it was answered.
    pub octets: Vec<u8>,
}

impl Euicc {
    /// `BF51 { A0 { 30 data, 5F37 signature } }`, kept until it is acknowledged.
    pub(super) fn signed_result(
        &mut self,
        header: &Header,
        seq_number: i64,
        results: &[EuiccResultData],
    ) -> Result<Vec<u8>, EuiccError> {
        let mut list = Vec::new();
        for result in results {
            list.extend(asn1::encode(result)?);
        }
        let mut data = self.header_fields(header);
        data.extend(integer(0x83, seq_number));
        data.extend(element(0x30, &[&list]));
        let octets = self.signed(0xa0, &element(0x30, &[&data]), header);
        self.stored_results.push(StoredResult { seq_number, eim_id: header.eim_id.clone(), octets: octets.clone() });
        Ok(octets)
    }

    /// `BF51 { A1 { 30 data, 5F37 signature } }`; it is not kept.
    pub(super) fn signed_error(&self, header: &Header, code: i64) -> Vec<u8> {
        let mut data = self.header_fields(header);
        data.extend(integer(0x02, code));
        self.signed(0xa1, &element(0x30, &[&data]), header)
    }

    /// `BF51 { A2 { 80 eimId, 82 tx?, 84 token? } }`.
    pub(super) fn unsigned_error(&self, header: &Header, error: UnsignedError) -> Vec<u8> {
        let mut data = element(0x80, &[header.eim_id.as_bytes()]);
        data.extend(self.transaction(header));
        if let UnsignedError::WithToken(token) = error {
            data.extend(integer(0x84, token));
        }
        element(0xbf51, &[&element(0xa2, &[&data])])
    }

    fn header_fields(&self, header: &Header) -> Vec<u8> {
        let mut fields = element(0x80, &[header.eim_id.as_bytes()]);
        fields.extend(integer(0x81, header.counter));
        fields.extend(self.transaction(header));
        fields
    }

    fn transaction(&self, header: &Header) -> Vec<u8> {
        match &header.eim_transaction_id {
            Some(id) if !self.faults.omit_eim_transaction_id => element(0x82, &[id]),
            _ => Vec::new(),
        }
    }

    fn signed(&self, arm: u32, data: &[u8], header: &Header) -> Vec<u8> {
        let token = self.faults.signing_token.unwrap_or(header.token);
        let mut message = data.to_vec();
        message.extend(integer(0x84, token.map_or(0, AssociationToken::value)));
        let signature = self.signature(&message);
        let mut data = data.to_vec();
        if let Some(last) = data.last_mut().filter(|_| self.faults.tamper_after_signing) {
            *last ^= 1;
        }
        element(0xbf51, &[&element(arm, &[&data, &element(0x5f37, &[&signature])])])
    }

    /// Signs with SK.EUICC.ECDSA, or with what the faults say.
    pub(super) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let key = match (&self.faults.signing_key, &self.faults.foreign) {
            (Some(key), _) => key,
            (None, Some(foreign)) => &foreign.key,
            (None, None) => &self.identity.key,
        };
        let signature = key.sign_deterministic(message);
        if self.faults.der_signature { signature_to_der(&signature) } else { signature.to_vec() }
    }
}
