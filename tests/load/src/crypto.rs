//! How fast this machine signs and verifies with ECDSA on P-256, on all cores.

use crate::machine::cores;
use anyhow::Context;
use eim_core::pki::{Curve, SigningKey};
use eim_simulator::pki::seeded_key;
use p256::ecdsa::signature::{Signer, Verifier};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Octets that are signed: about as many as a package has.
const MESSAGE: [u8; 200] = [0x5a; 200];

/// A library on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Signatures in a second, all cores together.
    pub sign: f64,
    /// Verifications in a second, all cores together.
    pub verify: f64,
    /// Signatures that were each verified, in a second, all cores together.
    pub both: f64,
}

impl Rates {
    /// How often in a second all cores can make so many signatures and verifications, and do nothing else.
    #[must_use]
    pub fn limit(self, signs: f64, verifies: f64) -> f64 {
        1.0 / (signs / self.sign + verifies / self.verify)
    }

    /// Processor time of so many signatures and verifications, microseconds.
    #[must_use]
    pub fn cpu_us(self, signs: f64, verifies: f64) -> f64 {
        cores() as f64 * 1e6 / self.limit(signs, verifies)
    }
}

/// The library that the server signs and verifies with.
///
/// # Errors
/// When there is no key.
pub fn of_the_server(each: Duration) -> anyhow::Result<Rates> {
    let key = || anyhow::Ok(seeded_key(Curve::P256, 0, "rate")?);
    let signature = key()?.sign(&MESSAGE);
    let sign = |key: &SigningKey| {
        black_box(key.sign(black_box(&MESSAGE)));
    };
    let verify = |key: &SigningKey| {
        let _ = black_box(key.public_key().verify(black_box(&MESSAGE), &signature));
    };
    rates(each, key, sign, verify)
}

/// The crate p256.
///
/// # Errors
/// When there is no key.
pub fn of_p256(each: Duration) -> anyhow::Result<Rates> {
    let key = || p256::ecdsa::SigningKey::from_slice(&[7; 32]).context("a key");
    let signature: p256::ecdsa::Signature = key()?.sign(&MESSAGE);
    let sign = |key: &p256::ecdsa::SigningKey| {
        black_box::<p256::ecdsa::Signature>(key.sign(black_box(&MESSAGE)));
    };
    let verify = |key: &p256::ecdsa::SigningKey| {
        let _ = black_box(key.verifying_key().verify(black_box(&MESSAGE), &signature));
    };
    rates(each, key, sign, verify)
}

fn rates<K: Send>(
    each: Duration,
    key: impl Fn() -> anyhow::Result<K>,
    sign: impl Fn(&K) + Sync,
    verify: impl Fn(&K) + Sync,
) -> anyhow::Result<Rates> {
    let rate = |work: &(dyn Fn(&K) + Sync)| {
        let keys = (0..cores()).map(|_| key()).collect::<anyhow::Result<Vec<K>>>()?;
        let each_core: Vec<f64> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                keys.into_iter().map(|key| scope.spawn(move || repeat(each, || work(&key)))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        });
        anyhow::Ok(each_core.iter().sum())
    };
    let both = |key: &K| {
        sign(key);
        verify(key);
    };
    Ok(Rates { sign: rate(&sign)?, verify: rate(&verify)?, both: rate(&both)? })
}

fn repeat(duration: Duration, work: impl Fn()) -> f64 {
    let started = Instant::now();
    let mut done = 0_u32;
    while started.elapsed() < duration {
        work();
        done += 1;
    }
    f64::from(done) / started.elapsed().as_secs_f64()
}
