//! Profile download as far as authentication goes: challenge, AuthenticateServer, PrepareDownload, CancelSession
//! (SGP.22 v2.5 5.7.7, 5.7.13, 5.7.5, 5.7.14).
//!
//! There is one session at a time; a new challenge ends the one before. Certificates are judged as of 2026-01-01. What
//! is random on a card comes from the EID and a count here, so that the same calls give the same octets.

use super::Euicc;
use super::error::{EuiccError, command};
use crate::bpp;
use crate::tlv::{Tlv, element, integer};
use eim_core::asn1::{self, Raw, ServerSigned1, SmdpSigned2};
use eim_core::pki::{
    self, Oid, PublicKey, ServerExpectation, ServerRole, SessionField, TrustError, TrustStore, VerifiedServer,
};
use sha2::{Digest, Sha256};
use std::fmt;

const INVALID_CERTIFICATE: i64 = 1;
const INVALID_SIGNATURE: i64 = 2;
const NO_SESSION_CONTEXT: i64 = 4;
/// AuthenticateErrorCode.
const INVALID_OID: i64 = 5;
/// DownloadErrorCode, and of CancelSession.
const INVALID_TRANSACTION_ID: i64 = 5;
const EUICC_CHALLENGE_MISMATCH: i64 = 6;
const CI_PK_UNKNOWN: i64 = 7;
const UNDEFINED_ERROR: i64 = 127;

/// When certificates are judged.
pub(crate) const NOW: &str = "2026-01-01T00:00:00Z";

/// A session with one RSP server.
#[derive(Debug, Clone)]
pub(super) struct RspSession {
    challenge: [u8; 16],
    server: Option<Server>,
    download: Option<Download>,
}

/// The server, once it proved who it is.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub transaction_id: Vec<u8>,
    pub address: String,
    /// registeredID of its certificate; none for an SM-DS that shows none.
    pub oid: Option<Oid>,
    auth: VerifiedServer,
    euicc_signature1: Vec<u8>,
}

/// What PrepareDownload leaves for the package.
#[derive(Debug, Clone)]
pub(super) struct Download {
    pub pb_key: PublicKey,
    pub key: OneTimeKey,
}

/// A one-time key pair.
#[derive(Clone)]
pub(super) struct OneTimeKey {
    pub secret: [u8; 32],
    pub public: [u8; 65],
}

impl fmt::Debug for OneTimeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneTimeKey(..)")
    }
}

impl Euicc {
    /// Makes it trust this CI (CERT.CI.ECDSA, DER) when servers show their certificates; builder form. Without one every
    /// server is refused.
    #[must_use]
    pub fn trusting(mut self, ci_certificate: impl Into<std::sync::Arc<[u8]>>) -> Self {
        self.trusted_cis.push(ci_certificate.into());
        self
    }

    /// ES10b.GetEUICCChallenge: begins a session.
    pub fn get_euicc_challenge(&mut self) -> [u8; 16] {
        self.sessions += 1;
        let mut challenge = [0; 16];
        challenge.iter_mut().zip(self.seeded(b"challenge")).for_each(|(octet, random)| *octet = random);
        self.session = Some(RspSession { challenge, server: None, download: None });
        challenge
    }

    /// ES10b.GetEUICCInfo: EUICCInfo1, `BF20`.
    ///
    /// # Errors
    /// [`EuiccError::Answer`] when a test made it so that it can't be written.
    pub fn euicc_info1(&self) -> Result<Vec<u8>, EuiccError> {
        Ok(asn1::encode(&self.info1())?)
    }

    /// ES10b.GetEUICCInfo: EUICCInfo2, `BF22`.
    ///
    /// # Errors
    /// [`EuiccError::Answer`] when a test made it so that it can't be written.
    pub fn euicc_info2(&self) -> Result<Vec<u8>, EuiccError> {
        Ok(asn1::encode(&self.info2())?)
    }

    /// Whether an SM-DP+ was authenticated in the session, so that it can be cancelled there.
    #[must_use]
    pub fn has_cancellable_session(&self) -> bool {
        let server = self.session.as_ref().and_then(|session| session.server.as_ref());
        server.is_some_and(|server| server.auth.signer().role == ServerRole::DpAuth)
    }

    /// ES10b.AuthenticateServer. `server_signed1` is the `30`, `server_signature1` the `5F37` or its value, `ci_pk_id`
    /// the value of euiccCiPKIdToBeUsed, `server_certificate` DER, `ctx_params1` the `A0`. Gives `BF38`; its error arm
    /// ends the session.
    ///
    /// # Errors
    /// [`EuiccError::Command`] when serverSigned1 is none.
    pub fn authenticate_server(
        &mut self,
        server_signed1: &[u8],
        server_signature1: &[u8],
        ci_pk_id: &[u8],
        server_certificate: &[u8],
        ctx_params1: &[u8],
    ) -> Result<Vec<u8>, EuiccError> {
        let signed: Raw<ServerSigned1> =
            asn1::decode(server_signed1).map_err(|_| command("AuthenticateServerRequest"))?;
        let transaction_id = signed.value().transaction_id.to_vec();
        let checked = match self.faults.authenticate_error {
            Some(code) => Err(code),
            None => self.check_server(&signed, value(server_signature1), ci_pk_id, server_certificate),
        };
        let auth = match checked {
            Ok(auth) => auth,
            Err(code) => {
                self.session = None;
                return Ok(refusal(0xbf38, &transaction_id, code));
            }
        };
        let address = signed.value().server_address.clone();
        let euicc_signed1 = element(
            0x30,
            &[
                &element(0x80, &[&transaction_id]),
                &element(0x83, &[address.as_bytes()]),
                &element(0x84, &[&signed.value().server_challenge]),
                &self.euicc_info2()?,
                ctx_params1,
            ],
        );
        let signature = self.signature_unless(self.faults.wrong_euicc_signature1, &euicc_signed1);
        if let Some(session) = &mut self.session {
            session.server = Some(Server {
                transaction_id,
                address,
                oid: auth.signer().oid.clone(),
                auth,
                euicc_signature1: signature.clone(),
            });
        }
        let shown = self.faults.foreign.as_deref().unwrap_or(&self.identity);
        let parts: [&[u8]; 4] =
            [&euicc_signed1, &element(0x5f37, &[&signature]), &shown.certificate, &shown.eum_certificate];
        Ok(element(0xbf38, &[&element(0xa0, &parts)]))
    }

    /// The server's certificate, its signature, and that it answers our challenge; else the AuthenticateErrorCode.
    fn check_server(
        &self,
        signed: &Raw<ServerSigned1>,
        signature: &[u8],
        ci_pk_id: &[u8],
        certificate: &[u8],
    ) -> Result<VerifiedServer, i64> {
        let session = self.session.as_ref().filter(|session| session.server.is_none()).ok_or(NO_SESSION_CONTEXT)?;
        if ci_pk_id != self.identity.ci_key_id || self.trusted_cis.is_empty() {
            return Err(CI_PK_UNKNOWN);
        }
        let server = self
            .server(certificate, ServerRole::DpAuth)
            .or_else(|| self.server(certificate, ServerRole::DsAuth))
            .ok_or(INVALID_CERTIFICATE)?;
        if server.signer().role == ServerRole::DpAuth && server.signer().oid.is_none() {
            return Err(INVALID_OID);
        }
        let expected = ServerExpectation {
            address: &signed.value().server_address,
            oid: None,
            euicc_challenge: Some(&session.challenge),
            transaction_id: None,
        };
        match pki::verify_server_signed1(&server, signed, signature, &expected) {
            Ok(_) => Ok(server),
            Err(TrustError::Session { field: SessionField::EuiccChallenge }) => Err(EUICC_CHALLENGE_MISMATCH),
            Err(_) => Err(INVALID_SIGNATURE),
        }
    }

    fn server(&self, certificate: &[u8], role: ServerRole) -> Option<VerifiedServer> {
        let store = TrustStore::from_certificates(self.trusted_cis.iter()).ok()?;
        pki::verify_server_certificate(&store, certificate, role, NOW.parse().ok()?).ok()
    }

    /// ES10b.PrepareDownload. `smdp_signed2` is the `30`, `smdp_signature2` the `5F37` or its value, `smdp_certificate`
    /// DER. Gives `BF21`; after its error arm the session can still be cancelled.
    ///
    /// # Errors
    /// [`EuiccError::Command`] when smdpSigned2 is none.
    pub fn prepare_download(
        &mut self,
        smdp_signed2: &[u8],
        smdp_signature2: &[u8],
        smdp_certificate: &[u8],
        hash_cc: Option<[u8; 32]>,
    ) -> Result<Vec<u8>, EuiccError> {
        let signed: Raw<SmdpSigned2> = asn1::decode(smdp_signed2).map_err(|_| command("PrepareDownloadRequest"))?;
        let transaction_id = signed.value().transaction_id.to_vec();
        let smdp_signature2 = value(smdp_signature2);
        let checked = match self.faults.prepare_error {
            Some(code) => Err(code),
            None => self.check_download(&signed, smdp_signature2, smdp_certificate),
        };
        let known = signed.value().bpp_euicc_otpk.as_ref().map(|otpk| otpk.to_vec());
        let prepared = checked.and_then(|pb_key| Ok((pb_key, self.one_time_key(known.as_deref())?)));
        let (pb_key, key) = match prepared {
            Ok(prepared) => prepared,
            Err(code) => return Ok(refusal(0xbf21, &transaction_id, code)),
        };
        let hash = hash_cc.map(|hash| element(0x04, &[&hash])).unwrap_or_default();
        let euicc_signed2 =
            element(0x30, &[&element(0x80, &[&transaction_id]), &element(0x5f49, &[&key.public]), &hash]);
        let message = [euicc_signed2.clone(), element(0x5f37, &[smdp_signature2])].concat();
        let signature = self.signature_unless(self.faults.wrong_euicc_signature2, &message);
        if let Some(session) = &mut self.session {
            session.download = Some(Download { pb_key, key });
        }
        Ok(element(0xbf21, &[&element(0xa0, &[&euicc_signed2, &element(0x5f37, &[&signature])])]))
    }

    /// CERT.DPpb, its owner, and its signature; else the DownloadErrorCode.
    fn check_download(
        &self,
        signed: &Raw<SmdpSigned2>,
        signature: &[u8],
        certificate: &[u8],
    ) -> Result<PublicKey, i64> {
        let server = self.session.as_ref().and_then(|session| session.server.as_ref()).ok_or(NO_SESSION_CONTEXT)?;
        if *signed.value().transaction_id != *server.transaction_id {
            return Err(INVALID_TRANSACTION_ID);
        }
        let binding = self.server(certificate, ServerRole::DpPb).ok_or(INVALID_CERTIFICATE)?;
        match pki::verify_smdp_signed2(&server.auth, &binding, signed, signature, &server.euicc_signature1) {
            Ok(_) => Ok(binding.key().clone()),
            Err(TrustError::OidMismatch) => Err(INVALID_CERTIFICATE),
            Err(TrustError::CertificatePolicy { .. }) => Err(NO_SESSION_CONTEXT),
            Err(_) => Err(INVALID_SIGNATURE),
        }
    }

    /// The key that the server bound a package to before, if we still have it; else a new one.
    fn one_time_key(&mut self, known: Option<&[u8]>) -> Result<OneTimeKey, i64> {
        if let Some(key) = self.one_time_keys.iter().find(|key| known == Some(&key.public[..])) {
            return Ok(key.clone());
        }
        let secret = self.seeded(b"one-time key");
        let key = OneTimeKey { secret, public: bpp::otpk(&secret).map_err(|_| UNDEFINED_ERROR)? };
        self.one_time_keys.push(key.clone());
        Ok(key)
    }

    /// ES10b.CancelSession: `BF41 { A0 { 30 signed, 5F37 } }` or `BF41 { 81 code }`. It ends the session.
    pub fn cancel_session(&mut self, transaction_id: &[u8], reason: i64) -> Vec<u8> {
        let error = |code| element(0xbf41, &[&integer(0x81, code)]);
        let server = self.session.as_ref().and_then(|session| session.server.as_ref());
        let Some(server) = server.filter(|server| server.transaction_id == transaction_id) else {
            return error(INVALID_TRANSACTION_ID);
        };
        let Some(oid) = &server.oid else { return error(UNDEFINED_ERROR) };
        let signed = element(
            0x30,
            &[&element(0x80, &[transaction_id]), &element(0x81, &[oid.octets()]), &integer(0x82, reason)],
        );
        let signature = self.signature_unless(self.faults.wrong_cancel_signature, &signed);
        self.session = None;
        element(0xbf41, &[&element(0xa0, &[&signed, &element(0x5f37, &[&signature])])])
    }

    /// The server and the keys of a session in which a download was prepared; the session is over then.
    pub(super) fn take_download(&mut self) -> Option<(Server, Download)> {
        let session = self.session.take_if(|session| session.server.is_some() && session.download.is_some())?;
        session.server.zip(session.download)
    }

    /// A signature, or one that does not verify.
    fn signature_unless(&self, wrong: bool, message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        if let Some(last) = message.last_mut().filter(|_| wrong) {
            *last ^= 1;
        }
        self.signature(&message)
    }

    fn seeded(&self, label: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"eim-simulator eUICC ")
            .chain_update(label)
            .chain_update(self.identity.eid.octets())
            .chain_update(self.sessions.to_be_bytes())
            .finalize()
            .into()
    }
}

/// `tag { A1 { 80 transactionId, 02 code } }`.
fn refusal(tag: u32, transaction_id: &[u8], code: i64) -> Vec<u8> {
    element(tag, &[&element(0xa1, &[&element(0x80, &[transaction_id]), &integer(0x02, code)])])
}

/// The value of a signature that may come as its data object.
fn value(signature: &[u8]) -> &[u8] {
    Tlv::only(signature).filter(|tlv| tlv.tag == 0x5f37).map_or(signature, |tlv| tlv.content)
}
