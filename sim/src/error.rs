//! What can go wrong when the simulator is started or driven.

use std::fmt;
use std::net::SocketAddr;

/// Why the simulator could not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// An address could not be listened on.
    Listen(SocketAddr, std::io::Error),
    /// A file could not be written or a thread not started.
    Io(String, std::io::Error),
    /// The configuration says something that is not understood.
    Config(String),
    /// The certificates could not be made.
    Certificate(String),
    /// No device of this product key and device name is connected, nor has one left a session.
    NotConnected(String),
    /// The device has no subscription that matches the topic.
    NotSubscribed(String),
    /// The device's queue is full.
    QueueFull(String),
    /// The device was sent more messages in this second than the platform sends.
    RateLimited(String),
    /// An argument is outside its range.
    InvalidArgument(String),
    /// The condition did not become true in time.
    Timeout,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                write!(formatter, "cannot listen on {address}: {error}")
            }
            Self::Io(what, error) => write!(formatter, "{what}: {error}"),
            Self::Config(reason) | Self::InvalidArgument(reason) => formatter.write_str(reason),
            Self::Certificate(reason) => write!(formatter, "cannot make certificates: {reason}"),
            Self::NotConnected(identity) => write!(formatter, "{identity} is not connected"),
            Self::NotSubscribed(topic) => {
                write!(
                    formatter,
                    "the device has no subscription that matches {topic}"
                )
            }
            Self::QueueFull(identity) => write!(formatter, "the queue to {identity} is full"),
            Self::RateLimited(identity) => write!(
                formatter,
                "{identity} is sent more than 50 messages in a second, the limit"
            ),
            Self::Timeout => formatter.write_str("the condition did not become true in time"),
        }
    }
}

impl std::error::Error for Error {}
