//! A session of an indirect download with an SM-DP+ or SM-DS: what has to be known until its end (SGP.32 v1.2 3.2.3.2).
//!
//! A session belongs to one eUICC and one server. Its transactionId was chosen by the server, so two servers may use the
//! same one; which session a message means is settled by what the eUICC signed.

use super::euicc::words;
use crate::ids::{OperationId, RspAddress, TransactionId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

words!(
    /// How far a session has come.
    Phase {
        /// The server has answered InitiateAuthentication.
        Initiated = "initiated",
        /// The server has answered AuthenticateClient.
        Authenticated = "authenticated",
        /// The bound profile package has gone to the device.
        Bound = "bound",
        /// Installed, cancelled or refused; nothing more is relayed.
        Ended = "ended",
    }
);

/// Octets that are text in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Der(pub Vec<u8>);

impl Serialize for Der {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// What the two sides have said so far. Nothing in it is secret: matching identifiers and codes are not kept here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionFacts {
    /// Whether the server has proven to be an SM-DS.
    pub smds: bool,
    /// serverSigned1.
    pub server_signed1: Der,
    /// CERT.DPauth or CERT.DSauth.
    pub server_certificate: Der,
    /// The object identifier in it, dotted.
    pub server_oid: Option<String>,
    /// Digest of authenticateServerResponse as received, to know a repetition.
    pub authenticate_digest: Option<Der>,
    /// CERT.EUICC that the session is signed with.
    pub euicc_certificate: Option<Der>,
    /// CERT.EUM.
    pub eum_certificate: Option<Der>,
    /// profileMetaData as received.
    pub metadata: Option<Der>,
    /// smdpSigned2.
    pub smdp_signed2: Option<Der>,
    /// smdpSignature2, 64 octets.
    pub smdp_signature2: Option<Der>,
    /// CERT.DPpb.
    pub smdp_certificate: Option<Der>,
    /// Whether the eIM has sent hashCc. It is made anew where it is needed: from a digest a short code could be found.
    pub hash_cc: bool,
    /// The reason with which the device has to cancel, when the eIM has refused something.
    pub cancel_reason: Option<i64>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadSession {
    /// Its row; zero until stored.
    pub seq: i64,
    /// The operation that it serves.
    pub operation: OperationId,
    /// transactionId, chosen by the server.
    pub transaction_id: TransactionId,
    /// The server that was contacted.
    pub address: RspAddress,
    /// How far it has come.
    pub phase: Phase,
    /// What has been said.
    pub facts: SessionFacts,
    /// When it began, milliseconds since 1970.
    pub created_at: i64,
    /// When it last moved.
    pub touched_at: i64,
}
