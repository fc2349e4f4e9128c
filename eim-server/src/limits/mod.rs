//! Bounds on what anybody may ask for: how often, and how much at once. All of fixed size, whatever comes.
//!
//! Nothing here knows HTTP; the fronts make answers of it. The clock is passed in.

mod devices;
mod gate;
mod keys;
mod rate;
mod strangers;
mod table;
mod turns;

pub(crate) use devices::{Admitted, Devices, Subject};
pub(crate) use gate::Gate;
pub(crate) use keys::{Keys, UnderWay};
pub(crate) use rate::{Bucket, Rate};
pub(crate) use turns::Turn;

use std::net::IpAddr;
use std::time::Duration;

/// More than a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// Which limit, as metrics name it.
    pub(crate) reason: &'static str,
    /// After how many seconds to come again, at least 1.
    pub(crate) retry_after_s: u32,
}

impl TooMany {
    fn after(wait: Duration, reason: &'static str) -> Self {
        let seconds = u32::try_from(wait.as_micros().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        Self { reason, retry_after_s: seconds.max(1) }
    }
}

/// What counts as one address: of IPv6 the network that one subscriber gets, whose addresses they choose themselves.
pub(crate) fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_of_one_subscriber_count_as_one() {
        let block = |text: &str| block_of(text.parse().unwrap());
        assert_eq!(block("2001:db8:1:2::3"), block("2001:db8:1:2:ffff::9"));
        assert_ne!(block("2001:db8:1:2::3"), block("2001:db8:1:3::3"));
        assert_eq!(block("::ffff:192.0.2.1"), block("192.0.2.1"));
        assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
    }
}
