//! The address of the queue.

use std::fmt;
use std::str::FromStr;

/// Where work waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueUrl {
    /// In this process, over the rows of the database.
    InProcess,
    /// At a RabbitMQ broker that several processes share.
    Broker(BrokerUrl),
}

/// The address of a broker. It may hold a password, so neither `Debug` nor `Display` shows that.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(String);

impl BrokerUrl {
    /// The address with its password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((before, after))) => {
                let user = before.split_once("://").map_or("", |(_, user)| user);
                let user = user.split_once(':').map_or(user, |(user, _)| user);
                write!(f, "{scheme}://{user}@{after}")
            }
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "in-process" => Ok(Self::InProcess),
            _ if text.starts_with("amqp://") || text.starts_with("amqps://") => {
                Ok(Self::Broker(BrokerUrl(text.to_owned())))
            }
            _ => Err("expected an empty text, \"in-process\" or amqp://user:password@host:port/vhost"),
        }
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProcess => f.write_str("in-process"),
            Self::Broker(url) => fmt::Display::fmt(url, f),
        }
    }
}
