//! The few seams to the outside that have two real implementations: time, randomness, the signing key, calls to
//! SM-DP+ and SM-DS, and calls to webhooks.

mod key_ring;
mod rsp;
mod webhook;

pub use key_ring::{KeyRing, KeyRingError, RingKey};
pub use rsp::{PortFuture, RspCall, RspFailure, RspFunction, RspReply, RspTransport};
pub use webhook::{WebhookCall, WebhookTransport};

use crate::ids::OperationId;
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the time comes from. Nothing in this library reads the system clock but [`SystemClock`].
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// The time now in milliseconds since 1970, as the store keeps it.
    fn now_ms(&self) -> i64 {
        self.now().timestamp_millis()
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that stands still until it is moved: for rehearsals and tests.
#[derive(Debug)]
pub struct MockClock(AtomicI64);

impl MockClock {
    /// A clock that stands at this time.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(AtomicI64::new(now.timestamp_millis()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: chrono::TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for MockClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.now_ms()).unwrap_or_default()
    }

    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Where random octets come from.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer with random octets.
    fn fill(&self, buffer: &mut [u8]);
}

impl dyn Entropy {
    /// Random octets of a fixed number.
    #[must_use]
    pub fn octets<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }

    /// A fresh name for an operation created at this time.
    #[must_use]
    pub fn operation_id(&self, created_at_ms: i64) -> OperationId {
        OperationId::new(created_at_ms, self.octets())
    }
}

/// The random number generator of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        use ring::rand::SecureRandom;
        if ring::rand::SystemRandom::new().fill(buffer).is_err() {
            // Without randomness every eimTransactionId and key would be guessable: stopping is the safe answer.
            std::process::abort();
        }
    }
}

/// Random octets that follow from a seed: for rehearsals and tests. Not for keys of a real eIM.
#[derive(Debug)]
pub struct SeededEntropy(std::sync::Mutex<(u64, u64)>);

impl SeededEntropy {
    /// A generator that gives the same octets for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(std::sync::Mutex::new((seed, 0)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in buffer.chunks_mut(32) {
            let mut input = [0; 16];
            input[..8].copy_from_slice(&state.0.to_be_bytes());
            input[8..].copy_from_slice(&state.1.to_be_bytes());
            state.1 += 1;
            let digest = ring::digest::digest(&ring::digest::SHA256, &input);
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    }
}

/// What a key signs to show that it can. An eUICC verifies octets that begin with 30, so this is never a package.
pub const KEY_CHECK: &[u8] = b"eim signing key check";

/// A signing key of the eIM, wherever it is kept: in a file or in a hardware module.
pub trait EimSigner: Send + Sync + 'static {
    /// Signs the octets with ECDSA and SHA-256.
    ///
    /// # Errors
    /// When the key could not be used.
    fn sign(&self, octets: &[u8]) -> Result<[u8; 64], SignerError>;

    /// Looks whether the key could be used, without signing. One that is at hand always says nothing of itself.
    ///
    /// # Errors
    /// When it is away.
    fn look(&self) -> Result<(), SignerError> {
        Ok(())
    }

    /// The public key as DER of a SubjectPublicKeyInfo.
    fn public_key(&self) -> &[u8];

    /// Whether signing may take long or wait for something outside, so that it must not be done on a thread that serves others.
    fn blocks(&self) -> bool {
        false
    }
}

/// The signing key could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the eIM signing key could not be used: {0}")]
pub struct SignerError(pub String);
