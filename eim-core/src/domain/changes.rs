//! What a decision starts from, and what it changes.

use super::association::OtherEim;
use super::audit::AuditNote;
use super::authority::Rights;
use super::euicc::{Euicc, Profile, words};
use super::fleet::desired::{Correcting, DriftFacts, DriftState};
use super::fleet::{OwnerPolicy, Switch};
use super::operation::{Kind, Operation, Origin, Purpose};
use super::session::DownloadSession;
use crate::ids::{Iccid, OperationId, RspAddress, SeqNumber};
use serde_json::{Map, Value};

words!(
    /// What was received.
    ReceivedKind {
        /// A signed euiccPackageResult.
        PackageResult = "packageResult",
        /// A signed euiccPackageError.
        PackageError = "packageError",
        /// A notification.
        Notification = "notification",
        /// A profileDownloadTriggerResult.
        DownloadResult = "downloadResult",
    }
);

words!(
    /// Whether what was received is believed.
    ReceivedStatus {
        /// Its signature verified up to a trusted CI.
        Verified = "verified",
        /// Taken under the lab policy.
        Unverified = "unverified",
        /// No certificate is known yet that could verify it.
        Held = "held",
        /// Its signature, its signer or its content is wrong.
        Refused = "refused",
    }
);

/// Something received from an eUICC, kept as octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its row; zero until stored.
    pub seq: i64,
    /// What it is.
    pub kind: ReceivedKind,
    /// The eUICC's number of it, where it has one.
    pub seq_number: Option<SeqNumber>,
    /// What makes it the same thing, see [`Received::identity`].
    pub identity: Vec<u8>,
    /// The octets as received.
    pub raw: Vec<u8>,
    /// Whether it is believed.
    pub status: ReceivedStatus,
    /// Why it is held or refused.
    pub reason: Option<String>,
    /// The operation that it answers.
    pub operation: Option<OperationId>,
    /// When it arrived, milliseconds since 1970.
    pub at: i64,
}

impl Received {
    /// What makes a received thing the same one: a digest of its kind and of what was signed. The signature has no part in
    /// it, since anybody can write another one that verifies (`n - s` for `s`).
    #[must_use]
    pub fn identity(kind: ReceivedKind, signed: &[u8]) -> Vec<u8> {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(kind.as_str().as_bytes());
        context.update(signed);
        context.finish().as_ref().to_vec()
    }
}

/// One eUICC as the store holds it, with what the decision at hand needs.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The eUICC.
    pub euicc: Euicc,
    /// Whether no operation is open: none delivered, unconfirmed or queued, due or not.
    pub is_idle: bool,
    /// Operations that are delivered or unconfirmed, the next ones queued, and those that a received result names; by
    /// `seq`, each once.
    pub operations: Vec<Operation>,
    /// Its profiles. Empty where the decision at hand does not need them.
    pub profiles: Vec<Profile>,
    /// Results that are held until certificates are known. Empty where the decision at hand does not need them.
    pub held: Vec<Received>,
    /// Sessions of downloads that a message names, and the open ones. Empty where the decision at hand does not need them.
    pub sessions: Vec<DownloadSession>,
    /// The latest session of a download, where sessions were asked for.
    pub last_session: Option<i64>,
    /// The switch that has not ended, of which there is at most one.
    pub switch: Option<Switch>,
    /// The profile owners' policies, where a switch is open or asked for.
    pub policies: Vec<OwnerPolicy>,
    /// Whose profiles are whose, and what was granted, where a switch is open or asked for.
    pub rights: Option<Rights>,
    /// The other eIMs on it. Empty where the decision at hand does not need them.
    pub other_eims: Vec<OtherEim>,
}

impl Snapshot {
    /// The operation with this name.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == id)
    }

    /// The eUICC package in flight, of which there is at most one.
    #[must_use]
    pub fn in_flight(&self) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.in_flight())
    }
}

/// An operation to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOperation {
    /// Its name.
    pub id: OperationId,
    /// What it carries.
    pub kind: Kind,
    /// Who asks.
    pub origin: Origin,
    /// Why the eIM asks on its own account.
    pub purpose: Option<Purpose>,
    /// The operation that it is about.
    pub subject: Option<OperationId>,
    /// The request in the API's notation.
    pub request: Value,
    /// The operator's name for it.
    pub label: Option<String>,
    /// Not delivered before, milliseconds since 1970.
    pub not_before: Option<i64>,
    /// Not delivered after, milliseconds since 1970.
    pub valid_until: Option<i64>,
    /// Activation code and confirmation code, sealed.
    pub secret: Option<Vec<u8>>,
    /// The checks of the guard that an admin has overridden for it.
    pub overridden: Vec<String>,
}

words!(
    /// What became of a notification on its way to its server.
    NotificationState {
        /// Not acknowledged by the server yet.
        Pending = "pending",
        /// Acknowledged by the server.
        Delivered = "delivered",
        /// Not acknowledged for days; it is not sent again.
        GivenUp = "givenUp",
    }
);

/// A verified notification on its way to the server that it names (SGP.22 3.5, SGP.32 v1.2 3.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Its name.
    pub id: OperationId,
    /// What makes it the same one, see [`Received::identity`].
    pub identity: Vec<u8>,
    /// The eUICC's number of it.
    pub seq_number: SeqNumber,
    /// What happened: `install`, `enable`, `disable` or `delete`.
    pub event: String,
    /// The profile that it is about.
    pub iccid: Option<Iccid>,
    /// The server that must get it.
    pub address: RspAddress,
    /// The notification as the server takes it: a compact one is expanded, any other one is as received.
    pub octets: Vec<u8>,
}

/// An entry of an eUICC's timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened, as a stable word.
    pub event_type: &'static str,
    /// The other members.
    pub details: Map<String, Value>,
}

impl Event {
    /// An event with its members; pass an object.
    #[must_use]
    pub fn new(event_type: &'static str, details: Value) -> Self {
        let details = match details {
            Value::Object(details) => details,
            _ => Map::new(),
        };
        Self { event_type, details }
    }
}

/// What happens to the stored profile list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChanges {
    /// Profiles to insert or replace.
    pub put: Vec<Profile>,
    /// Profiles that are gone.
    pub gone: Vec<Iccid>,
}

/// What happens to what is known of other eIMs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OtherEimChanges {
    /// Those to insert or replace.
    pub put: Vec<OtherEim>,
    /// Those that are forgotten, by eimId.
    pub forgotten: Vec<String>,
}

/// What is written of a device's drift.
#[derive(Debug, Clone)]
pub struct DriftChange {
    /// The version of the row that it was decided on; on another one nothing is written.
    pub version: i64,
    /// The desired state that counts, with the version that it was decided on; `None` when none is for the device.
    pub state: Option<(OperationId, i64)>,
    /// How the device stands.
    pub drift: DriftState,
    /// What is done about it.
    pub correcting: Correcting,
    /// When it is looked at again if nothing happens, milliseconds since 1970.
    pub look_at: Option<i64>,
    /// The rest.
    pub facts: DriftFacts,
    /// A correction has ended badly: it counts, and at so many the desired state stops.
    pub bad_of: Option<i64>,
}

/// What a decision changes about one eUICC: written in one transaction, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The eUICC after the change.
    pub euicc: Option<Euicc>,
    /// Operations after the change.
    pub operations: Vec<Operation>,
    /// Operations to be queued, in order.
    pub queue: Vec<NewOperation>,
    /// The profile list.
    pub profiles: ProfileChanges,
    /// What is known of other eIMs.
    pub other_eims: OtherEimChanges,
    /// What was received: new (`seq` zero) or changed.
    pub received: Vec<Received>,
    /// The timeline, in order.
    pub events: Vec<Event>,
    /// Sessions of downloads: new (`seq` zero) or changed.
    pub sessions: Vec<DownloadSession>,
    /// Notifications to be forwarded, in order; with each goes a job for its address.
    pub notifications: Vec<NewNotification>,
    /// The switch: new (`seq` zero) or changed.
    pub switch: Option<Box<Switch>>,
    /// The code of a pool that a new switch takes.
    pub code: Option<String>,
    /// What becomes known of the eUICC's drift, where a decision was made to bring it back.
    pub drift: Option<Box<DriftChange>>,
    /// For the audit log, beside what it learns from the rest.
    pub audit: Vec<AuditNote>,
}

impl Changes {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.euicc.is_none()
            && self.operations.is_empty()
            && self.queue.is_empty()
            && self.profiles == ProfileChanges::default()
            && self.other_eims == OtherEimChanges::default()
            && self.received.is_empty()
            && self.events.is_empty()
            && self.sessions.is_empty()
            && self.notifications.is_empty()
            && self.switch.is_none()
            && self.drift.is_none()
            && self.audit.is_empty()
    }
}
