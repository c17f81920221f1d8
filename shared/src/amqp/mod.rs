//! The broker: one topology declaration, one connection supervisor, one confirmed publisher.
//!
//! lapin's own recovery is young and stays off; every error, close or cancelled consumer drops the
//! connection, and the supervisor makes a new one.

mod publisher;
mod supervisor;
mod topology;

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

pub use self::publisher::{PublishError, Publisher, PublisherConfig};
pub use self::supervisor::{Session, SessionError, supervise};
pub use self::topology::{QueueDepth, Topology, TopologyError};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the broker is and how to speak with it. Never shows its password.
#[derive(Clone)]
pub struct Broker {
    uri: AMQPUri,
    name: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not an AMQP URI. Shows neither the address nor its password.
    #[error("AMQP_URL is not an AMQP address such as amqp://user:password@host:5672/%2f")]
    Address,
    /// The broker does not answer, or refuses.
    #[error("cannot connect to the broker")]
    Refused(#[source] lapin::Error),
    /// The broker took too long.
    #[error("the broker did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
}

/// What a role knows of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// No connection; one is being made.
    Down,
    /// Connected and usable.
    Up,
    /// Connected; the broker takes no messages for want of memory or disk.
    Blocked,
}

impl Broker {
    /// A broker at an AMQP URI; `name` is what the broker's own pages call the connections.
    ///
    /// # Errors
    /// When the URI cannot be read.
    pub fn new(url: &str, name: &str, heartbeat_s: u16) -> Result<Self, ConnectError> {
        let mut uri: AMQPUri = url.parse().map_err(|_shows_the_address: String| ConnectError::Address)?;
        uri.query.heartbeat = Some(heartbeat_s);
        Ok(Self { uri, name: name.to_owned() })
    }

    /// Makes one connection. Must be called from the runtime that will live longest.
    ///
    /// # Errors
    /// When the broker does not answer in time or refuses.
    pub async fn connect(&self, role: &str) -> Result<Connection, ConnectError> {
        let name = format!("{} {role}", self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(ConnectError::Refused(error)),
            Err(_elapsed) => Err(ConnectError::TimedOut),
        }
    }
}
