//! The broker: one topology declaration, one connection supervisor, one confirmed publisher.
//!
//! lapin's own recovery is young and stays off; every error, close or cancelled consumer drops the
//! connection, and the supervisor makes a new one.

mod addresses;
mod connect;
mod examine;
mod greeting;
mod metrics;
mod publisher;
mod supervisor;
mod topology;

use lapin::ConnectionProperties;

use self::addresses::Addresses;
pub use self::addresses::AddressesError;
pub use self::connect::{BrokerConnection, ConnectError};
pub use self::examine::{AddressReport, Intake, QueueStanding, intake};
pub use self::greeting::{BrokerVersion, GreetingError};
pub use self::metrics::MessagingMetrics;
pub use self::publisher::{PublishError, Publisher, PublisherConfig};
pub use self::supervisor::{Session, SessionError, set_up, supervise};
pub use self::topology::{QueueDepth, Topology, TopologyError};
use crate::error_chain::error_chain;

/// Where the broker is and how to speak with it. Never shows its password.
#[derive(Clone)]
pub struct Broker {
    addresses: Addresses,
    name: String,
}

/// No address of the broker can be connected to: why not, for each.
#[derive(Debug, thiserror::Error)]
#[error("no connection to the broker: {}", .0.iter().map(|error| error_chain(error)).collect::<Vec<_>>().join("; "))]
pub struct UnreachableError(Vec<ConnectError>);

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
    /// A broker at one address, or at several with commas between them (the nodes of a cluster); `name` is what
    /// the broker's own pages call the connections.
    ///
    /// # Errors
    /// When an address cannot be read: all mistakes at once.
    pub fn new(addresses: &str, name: &str, heartbeat_s: u16) -> Result<Self, AddressesError> {
        Ok(Self { addresses: Addresses::parse(addresses, heartbeat_s)?, name: name.to_owned() })
    }

    /// The same, to be spoken with in frames of so many bytes at most.
    fn with_frames_of(self, bytes: u32) -> Self {
        Self { addresses: self.addresses.with_frames_of(bytes), ..self }
    }

    /// Where its queues are.
    #[must_use]
    pub fn virtual_host(&self) -> &str {
        &self.addresses.at(0).vhost
    }

    /// Makes one connection, to the first address that answers. Must be called from the runtime that will live
    /// longest.
    ///
    /// # Errors
    /// When none of them answers in time.
    pub async fn connect(&self, role: &str) -> Result<BrokerConnection, UnreachableError> {
        let mut errors = Vec::new();
        for turn in 0..self.addresses.count() {
            match self.connect_to(turn, role).await {
                Ok(connection) => return Ok(connection),
                Err(error) => errors.push(error),
            }
        }
        Err(UnreachableError(errors))
    }

    /// Makes one connection to the address whose turn it is.
    async fn connect_to(&self, turn: usize, role: &str) -> Result<BrokerConnection, ConnectError> {
        let name = format!("{} {role}", self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        connect::connect(self.addresses.at(turn), properties).await
    }
}
