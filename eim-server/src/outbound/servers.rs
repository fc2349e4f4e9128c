//! What is remembered of each server while calls to it are made: how many, how many wait, and whether it is alive.

use super::breaker::{Breaker, Patience};
use super::options::OutboundOptions;
use eim_core::ids::RspAddress;
use eim_core::ports::{RspFailure, RspReply};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// So many addresses are remembered; devices may name as many as they like.
const REMEMBERED: usize = 4096;

pub(super) struct Servers {
    state: Mutex<State>,
    per_server: usize,
    admitted_per_server: usize,
    patience: Patience,
    remembered: usize,
}

#[derive(Default)]
struct State {
    servers: HashMap<String, Server>,
    /// Counts the calls, to tell which server was called last.
    calls: u64,
}

struct Server {
    permits: Arc<Semaphore>,
    /// Calls that are under way or wait.
    admitted: usize,
    last_call: u64,
    breaker: Breaker,
}

/// A call that is under way or waits; it leaves when dropped.
pub(super) struct Visit<'a> {
    servers: &'a Servers,
    key: String,
    is_trial: bool,
}

impl Servers {
    pub(super) fn new(options: &OutboundOptions) -> Self {
        let per_server = options.per_server.min(Semaphore::MAX_PERMITS);
        Self {
            state: Mutex::default(),
            per_server,
            admitted_per_server: per_server.saturating_add(options.waiting_per_server),
            patience: Patience::new(options.breaker_failures, options.breaker_pause),
            remembered: REMEMBERED,
        }
    }

    /// Takes a call in, or refuses it at once.
    pub(super) fn enter(&self, address: &RspAddress, now_ms: i64) -> Result<Visit<'_>, RspFailure> {
        // With the port, so that an address that names 443 is the same as one that names none.
        let key = format!("{}:{}", address.host().to_ascii_lowercase(), address.port());
        let mut state = self.state();
        if !state.servers.contains_key(&key) && state.servers.len() >= self.remembered {
            state.forget_one()?;
        }
        state.calls += 1;
        let last_call = state.calls;
        let server = state.servers.entry(key.clone()).or_insert_with(|| Server {
            permits: Arc::new(Semaphore::new(self.per_server)),
            admitted: 0,
            last_call,
            breaker: Breaker::default(),
        });
        server.last_call = last_call;
        if !server.breaker.lets_through(now_ms, self.patience) {
            return Err(RspFailure::CircuitOpen);
        }
        if server.admitted >= self.admitted_per_server {
            return Err(RspFailure::Busy);
        }
        server.admitted += 1;
        Ok(Visit { servers: self, key, is_trial: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and the numbers are whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room: among the servers without a call, one that isn't failing goes first, then the one not called for
    /// longest.
    fn forget_one(&mut self) -> Result<(), RspFailure> {
        let idle = self.servers.iter().filter(|(_, server)| server.admitted == 0);
        let key = idle
            .min_by_key(|(_, server)| (!server.breaker.is_closed(), server.last_call))
            .map(|(key, _)| key.clone())
            .ok_or(RspFailure::Busy)?;
        self.servers.remove(&key);
        Ok(())
    }
}

impl Visit<'_> {
    /// What is held while the call is under way.
    pub(super) fn permits(&self) -> Arc<Semaphore> {
        // The entry is there as long as the visit: servers with calls are not forgotten.
        self.with(|server, _| server.permits.clone()).unwrap_or_else(|| Arc::new(Semaphore::new(0)))
    }

    /// It is the call's turn. The server may have been found dead while it waited.
    pub(super) fn begin(&mut self, now_ms: i64) -> Result<(), RspFailure> {
        let begun = self.with(|server, patience| server.breaker.begin(now_ms, patience));
        self.is_trial = begun.and_then(Result::ok).ok_or(RspFailure::CircuitOpen)?;
        Ok(())
    }

    /// The call is over. Any HTTP answer is a sign of life; a refusal of ours says nothing about the server.
    pub(super) fn settle(&mut self, result: &Result<RspReply, RspFailure>, now_ms: i64) {
        let alive = match result {
            Ok(_) | Err(RspFailure::TooLarge(_) | RspFailure::Redirect(_)) => true,
            Err(RspFailure::Unreachable(_) | RspFailure::Tls(_) | RspFailure::Timeout | RspFailure::Broken(_)) => false,
            Err(_) => return,
        };
        let was_trial = std::mem::take(&mut self.is_trial);
        self.with(|server, patience| {
            if alive {
                server.breaker.succeeded();
            } else {
                server.breaker.failed(was_trial, now_ms, patience);
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Server, Patience) -> T) -> Option<T> {
        self.servers.state().servers.get_mut(&self.key).map(|server| f(server, self.servers.patience))
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let is_trial = self.is_trial;
        self.with(|server, _| {
            server.admitted -= 1;
            if is_trial {
                server.breaker.trial_was_dropped();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Servers {
        let options =
            OutboundOptions { per_server: 1, waiting_per_server: 1, breaker_failures: 1, ..OutboundOptions::default() };
        Servers { remembered: 2, ..Servers::new(&options) }
    }

    fn address(text: &str) -> RspAddress {
        text.parse().unwrap()
    }

    #[test]
    fn a_full_queue_refuses_and_a_call_that_ends_makes_room() {
        let servers = servers();
        let first = servers.enter(&address("a.example"), 0).ok().unwrap();
        let second = servers.enter(&address("A.example:443"), 0);
        assert!(second.is_ok());
        assert_eq!(servers.enter(&address("a.example"), 0).err(), Some(RspFailure::Busy));
        assert!(servers.enter(&address("a.example:8443"), 0).is_ok(), "another port is another server");
        drop(first);
        assert!(servers.enter(&address("a.example"), 0).is_ok());
    }

    #[test]
    fn remembers_a_bounded_number_of_addresses_and_failing_ones_longest() {
        let servers = servers();
        let mut failing = servers.enter(&address("failing.example"), 0).ok().unwrap();
        failing.begin(0).unwrap();
        failing.settle(&Err(RspFailure::Timeout), 0);
        drop(failing);
        for number in 0..10 {
            drop(servers.enter(&address(&format!("a{number}.example")), 0).ok().unwrap());
        }
        assert_eq!(servers.state().servers.len(), 2);
        assert_eq!(servers.enter(&address("failing.example"), 0).err(), Some(RspFailure::CircuitOpen));
        let held = ["b.example", "c.example"].map(|text| servers.enter(&address(text), 0).ok().unwrap());
        assert_eq!(servers.enter(&address("d.example"), 0).err(), Some(RspFailure::Busy));
        drop(held);
        assert!(servers.enter(&address("d.example"), 0).is_ok());
    }

    #[test]
    fn a_call_that_waited_while_the_circuit_opened_is_not_made() {
        let servers = servers();
        let mut calls = [0, 1].map(|_| servers.enter(&address("a.example"), 0).ok().unwrap());
        calls[0].begin(0).unwrap();
        calls[0].settle(&Err(RspFailure::Broken(String::new())), 0);
        assert_eq!(calls[1].begin(0), Err(RspFailure::CircuitOpen));
    }

    #[test]
    fn a_trial_that_is_dropped_or_refused_by_us_lets_the_next_try() {
        let servers = servers();
        let enter = |now_ms| servers.enter(&address("a.example"), now_ms);
        let mut call = enter(0).ok().unwrap();
        call.begin(0).unwrap();
        call.settle(&Err(RspFailure::Tls("alert".into())), 0);
        drop(call);
        for _ in 0..2 {
            let mut trial = enter(30_000).ok().unwrap();
            trial.begin(30_000).unwrap();
            assert_eq!(enter(30_000).err(), Some(RspFailure::CircuitOpen));
            trial.settle(&Err(RspFailure::AddressRefused(String::new())), 30_000);
        }
        let mut trial = enter(30_000).ok().unwrap();
        trial.begin(30_000).unwrap();
        trial.settle(&Ok(RspReply { status: 500, body: Vec::new() }), 30_000);
        assert!(enter(30_000).is_ok());
    }
}
