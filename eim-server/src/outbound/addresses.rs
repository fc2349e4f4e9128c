//! Resolving names, and which addresses may be connected to.
//!
//! The check is made on the addresses that are then connected to, so that a name that resolves to something else the
//! second time gains nothing.

use super::options::{OutboundOptions, Route};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Routes first, then the resolver of the system.
pub(super) struct Resolver {
    routes: Vec<Route>,
    allow_private: bool,
}

/// Why there is no address to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAddress {
    #[error("the name can't be resolved")]
    Unknown,
    #[error("all addresses of the host are in private ranges")]
    Private,
}

impl Resolver {
    pub(super) fn new(options: &OutboundOptions) -> Self {
        Self { routes: options.routes.clone(), allow_private: options.allow_private }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let route = self.routes.iter().find(|route| route.host().eq_ignore_ascii_case(name.as_str()));
        if let Some(target) = route.map(Route::target) {
            return Box::pin(async move { Ok(Box::new(std::iter::once(target)) as Addrs) });
        }
        let allow_private = self.allow_private;
        Box::pin(async move {
            // Port 0 stands for the port of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NoAddress::Unknown)?;
            let addresses = permitted(found.collect(), allow_private)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn permitted(mut found: Vec<SocketAddr>, allow_private: bool) -> Result<Vec<SocketAddr>, NoAddress> {
    if found.is_empty() {
        return Err(NoAddress::Unknown);
    }
    found.retain(|address| allow_private || is_public(address.ip()));
    if found.is_empty() { Err(NoAddress::Private) } else { Ok(found) }
}

/// Whether an address belongs to the public internet (IANA special-purpose registries, RFC 6890).
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

const fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        [0 | 10 | 127, ..]              // this network, private, loopback
        | [100, 64..=127, ..]           // carrier-grade NAT
        | [169, 254, ..]                // link local: metadata services of clouds
        | [172, 16..=31, ..]            // private
        | [192, 0, 0 | 2, _]            // protocol assignments, documentation
        | [192, 168, ..]                // private
        | [198, 18 | 19, ..]            // benchmarking
        | [198, 51, 100, _]             // documentation
        | [203, 0, 113, _]              // documentation
        | [224..=255, ..] // multicast, reserved, broadcast
    )
}

/// Global unicast is 2000::/3; whatever is outside of it is refused, but for the forms that hold an IPv4 address and
/// reach the same host as that.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // IPv4-mapped; NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Teredo, benchmarking, ORCHID; documentation; 6to4; documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_public_internet_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.1.2.3",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn no_form_of_a_private_address_is_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn private_addresses_are_left_out_and_none_left_is_a_refusal() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = list(&["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"]);
        assert_eq!(permitted(mixed.clone(), false), Ok(list(&["1.1.1.1:0"])));
        assert_eq!(permitted(mixed.clone(), true), Ok(mixed));
        assert_eq!(permitted(list(&["10.0.0.1:0"]), false), Err(NoAddress::Private));
        assert_eq!(permitted(Vec::new(), true), Err(NoAddress::Unknown));
    }
}
