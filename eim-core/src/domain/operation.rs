//! An operation: what a device is asked to do, and its life until its outcome is known.

use super::euicc::words;
use crate::ids::{AssociationToken, CounterValue, Eid, EimTransactionId, Iccid, OperationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

words!(
    /// What an operation carries.
    Kind {
        /// Profile state operations in a signed eUICC package.
        Psmo = "psmo",
        /// eIM configuration operations in a signed eUICC package.
        Eco = "eco",
        /// An unsigned request for data of IPA and eUICC.
        EuiccData = "euiccData",
        /// A profile download trigger.
        ProfileDownload = "profileDownload",
    }
);

impl Kind {
    /// Whether it travels in a signed eUICC package, of which one at a time may be in flight.
    #[must_use]
    pub const fn is_euicc_package(self) -> bool {
        matches!(self, Self::Psmo | Self::Eco)
    }
}

words!(
    /// Who asked for it.
    Origin {
        /// A user of the API.
        Operator = "operator",
        /// The eIM, on its own account.
        Eim = "eim",
        /// A switch that a user of the API asked for.
        Switch = "switch",
    }
);

words!(
    /// Why the eIM asks on its own account.
    Purpose {
        /// The device said that its state changed.
        Refresh = "refresh",
        /// A result can't be verified without the eUICC's certificates.
        Certificates = "certificates",
        /// A package was delivered and its result did not come.
        StoredResults = "storedResults",
        /// The outcome of an operation is unknown and the profile list will tell.
        Reconcile = "reconcile",
        /// Whether the eUICC trusts the key that it was to be given.
        ProbeNextKey = "probeNextKey",
        /// Whether it still trusts the key from before.
        ProbeOldKey = "probeOldKey",
        /// The counter was lost, and a higher one is tried.
        SearchCounter = "searchCounter",
    }
);

words!(
    /// Where an operation stands.
    OperationState {
        /// Not delivered yet.
        Queued = "queued",
        /// Delivered, no believed result yet.
        Delivered = "delivered",
        /// Done as asked.
        Succeeded = "succeeded",
        /// Not done, or only in part; the error says why.
        Failed = "failed",
        /// Not delivered before validUntil.
        Expired = "expired",
        /// Withdrawn by an operator.
        Cancelled = "cancelled",
        /// A switch was reported as done but the device was not seen again, or the outcome is unknown.
        Unconfirmed = "unconfirmed",
        /// The device went back to the profile it had before.
        RolledBack = "rolledBack",
    }
);

impl OperationState {
    /// Whether nobody waits for its result any more; it keeps this state whatever arrives.
    #[must_use]
    pub const fn was_given_up(self) -> bool {
        matches!(self, Self::Expired | Self::Cancelled)
    }

    /// Whether the operation has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Expired | Self::Cancelled | Self::RolledBack)
    }
}

/// The outcome of one operation of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationResult {
    /// The ASN.1 arm without `Result`, for example `enable`; also `processingTerminated`, `rollback`, `unknownResult`.
    pub operation: String,
    /// The code of the specification; absent where the arm carries data.
    #[serde(default)]
    pub code: Option<i64>,
    /// The name of the code, for example `ok` or `disallowedByPolicy`.
    pub name: String,
    /// What it means and what to do, in a sentence.
    pub message: String,
    /// Data of the arm: profiles, rules, eIMs, a token, raw octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

impl OperationResult {
    /// Whether it says that the operation was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.name == "ok" || (self.operation == "deleteEim" && self.name == "lastEimDeleted")
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationError {
    /// The code of the specification, where there is one.
    #[serde(default)]
    pub code: Option<i64>,
    /// Its name.
    pub name: String,
    /// What it means and what to do, in a sentence.
    pub message: String,
}

impl OperationError {
    /// An error of the eIM's own making, without a code of the specification.
    #[must_use]
    pub fn named(name: &str, message: &str) -> Self {
        Self { code: None, name: name.to_owned(), message: message.to_owned() }
    }
}

/// A result that arrived and was not believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// When, RFC 3339.
    pub at: String,
    /// Why, as a stable word or two.
    pub reason: String,
}

/// The name of the error of an operation that an operator gave up.
pub const ABANDONED: &str = "abandoned";

/// How many refusals an operation keeps; the first ones tell most.
pub const REFUSALS_KEPT: usize = 20;

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The order in which operations were asked for.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// The eUICC it is for.
    pub eid: Eid,
    /// What it carries.
    pub kind: Kind,
    /// Who asked.
    pub origin: Origin,
    /// Why the eIM asked on its own account.
    pub purpose: Option<Purpose>,
    /// The operation that this one is about, for [`Purpose::StoredResults`] and [`Purpose::Reconcile`].
    pub subject: Option<OperationId>,
    /// The request in the API's notation.
    pub request: Value,
    /// Where it stands.
    pub state: OperationState,
    /// The operator's name for it.
    pub label: Option<String>,
    /// Not delivered before, milliseconds since 1970.
    pub not_before: Option<i64>,
    /// Not delivered after, milliseconds since 1970.
    pub valid_until: Option<i64>,
    /// When it was asked for.
    pub created_at: i64,
    /// When it was first delivered.
    pub delivered_at: Option<i64>,
    /// When it ended.
    pub completed_at: Option<i64>,
    /// How many times the package was delivered.
    pub attempts: i64,
    /// How many packages were made for it before (after ecallActive).
    pub retries: i64,
    /// Before this time the same octets are not delivered once more; set from the second delivery on.
    pub again_after: Option<i64>,
    /// counterValue of the package.
    pub counter: Option<CounterValue>,
    /// eimTransactionId of the package.
    pub eim_transaction_id: Option<EimTransactionId>,
    /// The token that the package was signed with.
    pub association_token: Option<AssociationToken>,
    /// The [epoch](super::keys::KeyFacts::epoch) of the eUICC when the package was signed; `None` before that, and for packages of
    /// versions that did not note it.
    pub epoch: Option<i64>,
    /// The octets that are delivered: the whole BF51 or BF52 object. Never made twice.
    pub package: Option<Vec<u8>>,
    /// Whether the results are verified.
    pub verified: Option<bool>,
    /// What was reported, one entry for each operation of the package.
    pub results: Vec<OperationResult>,
    /// Why it failed.
    pub error: Option<OperationError>,
    /// Results that were not believed.
    pub refusals: Vec<Refusal>,
    /// A result that came after the end.
    pub late_result: Option<Value>,
    /// The profiles that were enabled before an enable took effect, for a roll-back.
    pub enabled_before: Vec<Iccid>,
    /// The checks of the guard that an admin has overridden for it.
    pub overridden: Vec<String>,
    /// Whether the stored results were asked for since the package was last delivered.
    pub results_asked: bool,
    /// Whether the eUICC said that it had executed the package before.
    pub replayed: bool,
    /// Activation code and confirmation code, sealed; gone once the operation has ended.
    pub secret: Option<Vec<u8>>,
}

impl Operation {
    /// Whether its eUICC package is on the way: delivered, and no believed result yet.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.kind.is_euicc_package() && self.state == OperationState::Delivered
    }

    /// Puts a package that was delivered back into the queue: the next one is made anew, with the next counter.
    pub fn make_again(&mut self) {
        self.state = OperationState::Queued;
        self.retries += 1;
        self.attempts = 0;
        self.again_after = None;
        self.package = None;
        self.verified = None;
        self.results_asked = false;
        self.replayed = false;
    }

    /// Ends the operation.
    pub fn end(&mut self, state: OperationState, now: i64) {
        self.state = state;
        self.completed_at = Some(now);
        self.secret = None;
    }

    /// Ends the operation with an error.
    pub fn fail(&mut self, error: OperationError, now: i64) {
        self.error = Some(error);
        self.end(OperationState::Failed, now);
    }

    /// Records a result that was not believed.
    pub fn refuse(&mut self, reason: &str, at: String) {
        if self.refusals.len() < REFUSALS_KEPT {
            self.refusals.push(Refusal { at, reason: reason.to_owned() });
        }
    }
}
