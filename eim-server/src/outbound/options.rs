//! What an operator configures for calls to servers.

use eim_core::ids::RspAddress;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// How calls are made and to whom. The default is for servers on the public internet.
#[derive(Debug, Clone)]
pub struct OutboundOptions {
    /// Whether servers in private address ranges and on other ports than 443 may be called. Off, since the addresses
    /// come from devices and activation codes.
    pub allow_private: bool,
    /// The hosts that may be called; any, when empty. Holds for routed hosts, too.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts whose socket address is given, not resolved.
    pub routes: Vec<Route>,
    /// For resolving the name, TCP and TLS.
    pub connect_timeout: Duration,
    /// For the whole call: waiting for its turn, connecting, sending, and the answer to its last octet.
    pub timeout: Duration,
    /// The largest body of an answer, in octets.
    pub response_bytes: usize,
    /// Calls under way to one address.
    pub per_server: usize,
    /// Calls that wait for their turn at one address; one more is refused.
    pub waiting_per_server: usize,
    /// Calls under way to all addresses together.
    pub slots: usize,
    /// After how many failures in a row an address is left alone; 0 for never.
    pub breaker_failures: u32,
    /// For how long it is left alone, before one call tries again.
    pub breaker_pause: Duration,
    /// User-Agent.
    pub user_agent: String,
    /// X-Admin-Protocol.
    pub admin_protocol: String,
}

impl Default for OutboundOptions {
    fn default() -> Self {
        Self {
            allow_private: false,
            allow_hosts: Vec::new(),
            routes: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            response_bytes: 2 * 1024 * 1024,
            per_server: 16,
            waiting_per_server: 256,
            slots: 512,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            user_agent: "gsma-rsp-lpad".to_owned(),
            admin_protocol: "gsma/rsp/v2.5.0".to_owned(),
        }
    }
}

impl OutboundOptions {
    /// The route of a host, whatever its letter case.
    pub(super) fn route(&self, host: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.host.eq_ignore_ascii_case(host))
    }

    pub(super) fn check(&self) -> Result<(), OutboundError> {
        let zeros = [
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("timeout", self.timeout.is_zero()),
            ("response_bytes", self.response_bytes == 0),
            ("per_server", self.per_server == 0),
            ("slots", self.slots == 0),
        ];
        if let Some((name, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(OutboundError::Zero { name });
        }
        for (index, route) in self.routes.iter().enumerate() {
            if self.routes[..index].iter().any(|other| other.host == route.host) {
                return Err(OutboundError::RoutedTwice { host: route.host.clone() });
            }
        }
        Ok(())
    }
}

/// Hosts that may be called: `smdp.example` for one, `*.operator.example` for all below it at any depth, but not
/// `operator.example` itself. Letter case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: String,
    below: bool,
}

impl HostPattern {
    /// Whether a host is one of these.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if self.below {
            host.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        }
    }
}

impl FromStr for HostPattern {
    type Err = OutboundError;

    fn from_str(text: &str) -> Result<Self, OutboundError> {
        let (host, below) = text.strip_prefix("*.").map_or((text, false), |host| (host, true));
        match host_name(host) {
            Some(host) => Ok(Self { host, below }),
            None => Err(OutboundError::HostPattern { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.host)
    }
}

/// Where a host is: `smdp.example=10.1.2.3:8443`. Such a host is not resolved, and it may be in a private range, since
/// the operator named it. An address without a port goes to the port of the route, and one with that port as well;
/// others need [`OutboundOptions::allow_private`] and keep their port. The host is still the name in TLS and HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    host: String,
    target: SocketAddr,
}

impl Route {
    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where it is.
    #[must_use]
    pub const fn target(&self) -> SocketAddr {
        self.target
    }
}

impl FromStr for Route {
    type Err = OutboundError;

    fn from_str(text: &str) -> Result<Self, OutboundError> {
        let parse = || {
            let (host, target) = text.split_once('=')?;
            let target = target.trim().parse::<SocketAddr>().ok().filter(|target| target.port() != 0)?;
            Some(Self { host: host_name(host.trim())?, target })
        };
        parse().ok_or_else(|| OutboundError::Route { text: text.to_owned() })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.host, self.target)
    }
}

/// A host name in lower case, if the text is one and has no port.
fn host_name(text: &str) -> Option<String> {
    let address: RspAddress = text.parse().ok()?;
    (address.host() == text).then(|| address.key())
}

/// Why calls can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Not a host pattern.
    #[error("{text:?} is neither a host name nor one after \"*.\"")]
    HostPattern {
        /// What it is instead.
        text: String,
    },
    /// Not a route.
    #[error("{text:?} is no route such as \"smdp.example=10.1.2.3:8443\"")]
    Route {
        /// What it is instead.
        text: String,
    },
    /// A host has two routes.
    #[error("the host {host} is routed twice")]
    RoutedTwice {
        /// Which one.
        host: String,
    },
    /// An option that must not be zero is.
    #[error("{name} must not be zero")]
    Zero {
        /// Its name in [`OutboundOptions`].
        name: &'static str,
    },
    /// A text can't be the value of an HTTP header.
    #[error("{name} can't be sent in an HTTP header")]
    Header {
        /// Its name in [`OutboundOptions`].
        name: &'static str,
    },
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up: {0}")]
    Client(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_one_host_or_all_below_one() {
        let one: HostPattern = "SMDP.example".parse().unwrap();
        assert!(one.matches("smdp.EXAMPLE") && !one.matches("a.smdp.example") && !one.matches("xsmdp.example"));
        let below: HostPattern = "*.operator.example".parse().unwrap();
        assert!(below.matches("a.operator.example") && below.matches("A.b.Operator.example"));
        for other in ["operator.example", ".operator.example", "xoperator.example", "a.operator.example.org", ""] {
            assert!(!below.matches(other), "{other}");
        }
        assert_eq!((one.to_string(), below.to_string()), ("smdp.example".into(), "*.operator.example".into()));
        for text in ["", "*", "*.", "*.*.example", "a.*.example", "smdp.example:443", "10.0.0.1", "https://a", "a b"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_route_is_a_host_and_a_socket_address() {
        let route: Route = "SMDP.example=10.1.2.3:8443".parse().unwrap();
        assert_eq!((route.host(), route.target()), ("smdp.example", "10.1.2.3:8443".parse().unwrap()));
        assert_eq!(route.to_string(), "smdp.example=10.1.2.3:8443");
        assert!("smdp.example=[fd00::1]:443".parse::<Route>().is_ok());
        for text in
            ["", "smdp.example", "smdp.example=10.1.2.3", "=10.1.2.3:1", "a=b:1", "a:1=10.1.2.3:1", "a=10.1.2.3:0"]
        {
            assert!(text.parse::<Route>().is_err(), "{text}");
        }
    }

    #[test]
    fn options_that_would_stop_all_calls_are_refused() {
        let check = |change: fn(&mut OutboundOptions)| {
            let mut options = OutboundOptions::default();
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|options| options.slots = 0), Err("slots must not be zero".into()));
        assert_eq!(check(|options| options.timeout = Duration::ZERO), Err("timeout must not be zero".into()));
        let twice =
            check(|options| options.routes = vec!["a=10.0.0.1:1".parse().unwrap(), "A=10.0.0.2:1".parse().unwrap()]);
        assert_eq!(twice, Err("the host a is routed twice".into()));
    }
}
