//! The address of the queue.

use std::fmt;
use std::str::FromStr;

/// Where work waits. A broker is refused until it is supported: a server that took the address and did not use it would
/// look as if work were shared between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueUrl {
    /// In this process, over the rows of the database.
    InProcess,
}

impl FromStr for QueueUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "in-process" => Ok(Self::InProcess),
            _ if text.starts_with("amqp://") || text.starts_with("amqps://") => {
                Err("a broker is not supported by this version; leave the value empty or set \"in-process\"")
            }
            _ => Err("expected an empty text or \"in-process\""),
        }
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in-process")
    }
}
