//! How many connections each address has. Nothing is kept of one that has none.

use crate::limits::block_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses of a listener.
#[derive(Debug)]
pub(super) struct Peers {
    connections: usize,
    handshakes: usize,
    counts: Mutex<HashMap<IpAddr, Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    handshakes: usize,
}

/// A connection. Over when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    peers: Arc<Peers>,
    address: IpAddr,
    in_handshake: bool,
}

impl Peers {
    pub(super) fn new(connections: usize, handshakes: usize) -> Self {
        Self { connections, handshakes, counts: Mutex::default() }
    }

    /// A place for one more, in whose handshake it begins when there is one. Or which limit is reached.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, in_handshake: bool) -> Result<Place, &'static str> {
        let address = block_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(address).or_default();
        if counts.connections >= self.connections {
            return Err("address");
        }
        if in_handshake && counts.handshakes >= self.handshakes {
            return Err("handshakes");
        }
        counts.connections += 1;
        counts.handshakes += usize::from(in_handshake);
        Ok(Place { peers: Arc::clone(self), address, in_handshake })
    }

    fn change(&self, address: IpAddr, change: impl FnOnce(&mut Counts)) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.get_mut(&address) {
            change(counts);
            if counts.connections == 0 {
                all.remove(&address);
            }
        }
    }
}

impl Place {
    /// The handshake is over.
    pub(super) fn shaken(&mut self) {
        if std::mem::take(&mut self.in_handshake) {
            self.peers.change(self.address, |counts| counts.handshakes -= 1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shaken();
        self.peers.change(self.address, |counts| counts.connections -= 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_handshakes_and_leaves_nothing_behind() {
        let peers = Arc::new(Peers::new(3, 1));
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut first = peers.enter(one, true).unwrap();
        assert_eq!(peers.enter(one, true).unwrap_err(), "handshakes");
        assert!(peers.enter(other, true).is_ok());
        first.shaken();
        let second = peers.enter(one, true).unwrap();
        let third = peers.enter(one, false).unwrap();
        assert_eq!(peers.enter(one, false).unwrap_err(), "address");
        drop((first, second));
        assert!(peers.enter(one, true).is_ok());
        drop(third);
        assert!(peers.counts.lock().unwrap().is_empty());
    }
}
