//! The functions that the eIM relays to SM-DP+ and SM-DS for an indirect download (SGP.32 v1.2 3.2.3.2, 6.4.1.1 to
//! 6.4.1.3, 6.4.1.8): load, judge, call, judge, save, answer.
//!
//! What eUICC and server have signed is verified here on its way and passed on octet by octet. A session is found by its
//! transactionId, and which of several is meant by what the eUICC signed. No transaction is open during a call.

mod authenticate_client;
mod cancel_session;
mod get_bound_profile_package;
mod initiate_authentication;

pub(super) use authenticate_client::answer as authenticate_client;
pub(super) use cancel_session::answer as cancel_session;
pub(super) use get_bound_profile_package::answer as get_bound_profile_package;
pub(super) use initiate_authentication::answer as initiate_authentication;

use super::download_trigger::secrets;
use super::{Caller, DECIDED_AGAIN, EsipaError, home};
use crate::Eim;
use crate::asn1::{self, CodeTable};
use crate::domain::{DownloadSession, OperationError, OperationState, Phase, Snapshot, Work, download};
use crate::ids::{Eid, OperationId, RspAddress, TransactionId};
use crate::pki::{self, SessionField, TrustError, VerifiedChain};
use crate::ports::{RspCall, RspFailure, RspFunction, RspReply};
use crate::rsp::{RspError, ServerKind, explain_failure};
use crate::store::{ResultKeys, Saved};
use serde_json::json;

/// undefinedError in every error of the relay functions.
const UNDEFINED_ERROR: i64 = 127;

/// The name of the interruption that ends a session.
const SESSION_LOST: &str = "sessionLost";

/// Why a function is answered with an error.
#[derive(Debug)]
struct Refusal {
    /// The code in the answer.
    code: i64,
    /// What it means for the download.
    consequence: Consequence,
}

#[derive(Debug)]
enum Consequence {
    /// None for the download: the message may be anybody's. What was found wrong in it is noted.
    None,
    /// It may pass: the download stays open.
    Interrupted { name: &'static str, message: String },
    /// The download ends; the device cancels the session with this reason, where the eIM wants one.
    Ended { error: OperationError, cancel_reason: Option<i64> },
}

impl Refusal {
    const fn only(code: i64) -> Self {
        Self { code, consequence: Consequence::None }
    }

    fn ended(code: i64, error: OperationError) -> Self {
        Self { code, consequence: Consequence::Ended { error, cancel_reason: None } }
    }

    fn passing(name: &'static str, message: &str) -> Self {
        let consequence = Consequence::Interrupted { name, message: message.to_owned() };
        Self { code: UNDEFINED_ERROR, consequence }
    }

    /// Whether the download waits for something of this name.
    fn lacks(&self, wanted: &str) -> bool {
        matches!(&self.consequence, Consequence::Interrupted { name, .. } if *name == wanted)
    }

    /// Whether the download ends with an error of this name.
    fn ends_as(&self, wanted: &str) -> bool {
        matches!(&self.consequence, Consequence::Ended { error, .. } if error.name == wanted)
    }

    /// What a server signed, or says about itself, is not in order.
    fn distrusted(code: i64, error: &TrustError, kind: ServerKind) -> Self {
        let message = format!(
            "What the {} sent is not in order: {error}. Nothing of it was used. Tell its provider.",
            kind.as_str()
        );
        Self::ended(code, OperationError { code: Some(code), name: error.reason().to_owned(), message })
    }
}

/// Calls a server and puts whatever stands in the way into the words of ESipa.
async fn call<T>(
    function: RspFunction,
    kind: ServerKind,
    address: &RspAddress,
    body: Vec<u8>,
    read: impl FnOnce(&RspReply) -> Result<T, RspError>,
    eim: &Eim,
) -> Result<T, Refusal> {
    let reply = match eim.rsp().call(RspCall { address: address.clone(), function, body }).await {
        Ok(reply) => reply,
        Err(failure) => {
            tracing::warn!(function = function.as_str(), %address, %failure, "a server could not be called");
            return Err(match &failure {
                // Nothing but the configuration or another address will change that.
                RspFailure::AddressRefused(_) => {
                    Refusal::ended(UNDEFINED_ERROR, OperationError::named(failure.reason(), explain_failure(&failure)))
                }
                _ => Refusal::passing(failure.reason(), explain_failure(&failure)),
            });
        }
    };
    read(&reply).map_err(|error| {
        tracing::warn!(function = function.as_str(), %address, %error, "a server did not do as asked");
        let message = error.explain(function, kind);
        match &error {
            RspError::Http { status } if *status < 500 && !matches!(status, 408 | 429) => {
                Refusal::ended(UNDEFINED_ERROR, OperationError::named("serverRefused", &message))
            }
            RspError::Http { .. } => Refusal::passing("serverError", &message),
            RspError::Malformed { .. } => Refusal::passing("unreadableAnswer", &message),
            RspError::Session => {
                Refusal::distrusted(UNDEFINED_ERROR, &TrustError::Session { field: SessionField::TransactionId }, kind)
            }
            // The server has lost the session, or has ended it before its answer came: the device begins again.
            RspError::Refused(status) if error.name(function, kind) == "invalidTransactionId" => {
                let consequence = Consequence::Interrupted { name: SESSION_LOST, message };
                Refusal { code: status.code(function, kind), consequence }
            }
            RspError::Refused(status) => {
                let code = status.code(function, kind);
                let name = error.name(function, kind).to_owned();
                Refusal::ended(code, OperationError { code: Some(code), name, message })
            }
        }
    })
}

/// A session with the eUICC that it is of.
struct Candidate {
    snapshot: Snapshot,
    session: DownloadSession,
}

impl Candidate {
    fn eid(&self) -> Eid {
        self.snapshot.euicc.eid
    }

    const fn kind(&self) -> ServerKind {
        if self.session.facts.smds { ServerKind::SmDs } else { ServerKind::SmDpPlus }
    }

    /// Whether somebody still waits for the download that the session serves.
    fn is_wanted(&self) -> bool {
        let operation = self.snapshot.operation(self.session.operation);
        operation.is_some_and(|operation| operation.state == OperationState::Delivered)
    }

    /// hashCc of the confirmation code that the eIM holds, if it does.
    fn hash_cc(&self, eim: &Eim) -> Option<[u8; 32]> {
        let secrets = secrets(self.snapshot.operation(self.session.operation)?, eim)?;
        Some(pki::hash_cc(secrets.confirmation_code()?, self.session.transaction_id.octets()))
    }

    /// The chain of the eUICC's certificates: those of the session, else those that are stored.
    fn chain(&self, eim: &Eim) -> Option<Result<VerifiedChain, TrustError>> {
        let facts = &self.session.facts;
        let of_session = facts.eum_certificate.as_ref().zip(facts.euicc_certificate.as_ref());
        let euicc = &self.snapshot.euicc;
        let stored = euicc.eum_certificate.as_ref().zip(euicc.euicc_certificate.as_ref());
        let (eum, certificate) = of_session.map(|(eum, euicc)| (&eum.0, &euicc.0)).or(stored)?;
        Some(eim.chains().verify(eum, certificate, eim.clock().now(), &self.eid()))
    }
}

fn keys(transaction: &TransactionId) -> ResultKeys {
    ResultKeys { sessions: vec![transaction.clone()], without_held: true, ..ResultKeys::default() }
}

/// The sessions that a transactionId may mean, the latest first: usually one.
async fn candidates(transaction_id: &[u8], eim: &Eim) -> Result<Vec<Candidate>, EsipaError> {
    let Ok(transaction) = TransactionId::from_octets(transaction_id) else { return Ok(vec![]) };
    let mut found = Vec::new();
    for eid in eim.store().eids_of_session(&transaction).await? {
        let now = eim.clock().now_ms();
        let Some((snapshot, _)) = home(&eid, eim).await?.store().result_snapshot(eid, keys(&transaction), now).await?
        else {
            continue;
        };
        for session in snapshot.sessions.iter().filter(|session| session.phase != Phase::Ended) {
            found.push(Candidate { snapshot: snapshot.clone(), session: session.clone() });
        }
    }
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.session.seq));
    Ok(found)
}

/// Changes the eUICC of a session, once more when somebody else was faster.
async fn change(candidate: &Candidate, eim: &Eim, decide: impl Fn(&mut Work)) -> Result<(), EsipaError> {
    change_euicc(candidate.eid(), &keys(&candidate.session.transaction_id), eim, decide).await
}

async fn change_euicc(eid: Eid, keys: &ResultKeys, eim: &Eim, decide: impl Fn(&mut Work)) -> Result<(), EsipaError> {
    let eim = &home(&eid, eim).await?;
    for _ in 0..DECIDED_AGAIN {
        let now = eim.clock().now_ms();
        let Some((snapshot, _)) = eim.store().result_snapshot(eid, keys.clone(), now).await? else { return Ok(()) };
        let version = snapshot.euicc.version;
        let mut work = eim.work(snapshot, now);
        decide(&mut work);
        let changes = work.finish();
        if changes.is_empty() || eim.save(eid, version, changes, now).await? == Saved::Done {
            return Ok(());
        }
    }
    Err(EsipaError::Contended { function: "a relayed function" })
}

/// Whether a session is the latest of its eUICC: what becomes of an older one does not concern the download any more.
fn is_current(work: &Work, session: &DownloadSession) -> bool {
    work.state.last_session.is_none_or(|last| last == session.seq)
}

/// Whether the connection is that of a device to which none of the sessions belong, as far as it has said who it is.
fn is_stranger(candidates: &[Candidate], caller: &Caller) -> bool {
    caller.last_named().is_some_and(|named| candidates.iter().all(|candidate| candidate.eid() != named))
}

/// Notes what a refusal means for the download.
fn note(work: &mut Work, operation: OperationId, function: RspFunction, address: &str, refusal: &Refusal) {
    match &refusal.consequence {
        Consequence::None => {
            let details = json!({ "operation": operation, "function": function.as_str(), "code": refusal.code });
            work.event("downloadRefused", details);
            if let Some(error) = found_wrong(function, refusal.code) {
                download::found_wrong(work, operation, error);
            }
        }
        Consequence::Interrupted { name, message } => {
            download::interrupt(work, operation, function.as_str(), address, name, message);
        }
        Consequence::Ended { error, .. } => download::fail(work, operation, error.clone()),
    }
}

/// What the eIM found wrong in what the eUICC signed, in words.
fn found_wrong(function: RspFunction, code: i64) -> Option<OperationError> {
    let table = match function {
        RspFunction::AuthenticateClient => CodeTable::AuthenticateClientErrorEsipa,
        RspFunction::GetBoundProfilePackage => CodeTable::GetBoundProfilePackageErrorEsipa,
        _ => return None,
    };
    let name = asn1::code_name(table, code).filter(|name| *name != "invalidTransactionId")?;
    let message = "The eIM could not verify what was sent for this download in the eUICC's name, so nothing of it went to the \
                   server. Check that the CI of the eUICC is among the trusted ones and that its certificates are those registered.";
    Some(OperationError { code: Some(code), name: name.to_owned(), message: message.to_owned() })
}

/// The same for a session, which learns with what reason it is to be cancelled, and ends when the server has lost its own.
async fn note_refusal(
    candidate: &Candidate,
    function: RspFunction,
    refusal: &Refusal,
    eim: &Eim,
) -> Result<(), EsipaError> {
    let session = &candidate.session;
    change(candidate, eim, |work| {
        if refusal.lacks(SESSION_LOST) {
            download::end_session(work, session.seq);
        }
        if !is_current(work, session) {
            return;
        }
        note(work, session.operation, function, session.address.as_str(), refusal);
        if let Consequence::Ended { cancel_reason, .. } = &refusal.consequence
            && let Some(session) = download::session_mut(work, session.seq)
        {
            session.facts.cancel_reason = cancel_reason.or(session.facts.cancel_reason);
        }
    })
    .await
}
