//! Looks at a broker without changing it, for a person who wants to know why something does not work.
//!
//! A queue is first declared passively, which tells whether it is there. Only then is it declared with our arguments:
//! on a queue that exists this compares them, and makes nothing. The messages that are published here go to a queue
//! that does not exist, and come back. Not promised: that a service may read from the queues, which cannot be asked
//! without taking messages.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ErrorKind};

use super::addresses::place;
use super::greeting::{BrokerVersion, GreetingError, greet};
use super::topology::{declare, is_soft};
use super::{Broker, BrokerConnection, ConnectError, Topology};

/// How long the broker may take to give a message back.
const RETURN_TIMEOUT: Duration = Duration::from_secs(2);
/// A broker with an alarm may still take the first message of a connection, and none after it.
const PROBES: usize = 2;
/// Where probes are addressed to: no configuration makes a queue of this name.
const NOWHERE: &str = "oncehook.doctor.nowhere";

/// What was found at one of the broker's addresses.
pub struct AddressReport {
    /// `host:port`.
    pub place: String,
    /// Whether the way there is encrypted.
    pub encrypted: bool,
    /// What it says that it is, and a connection with our user and virtual host.
    pub reached: Result<(BrokerVersion, Result<BrokerConnection, ConnectError>), GreetingError>,
}

/// What a queue is, compared with what is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueStanding {
    /// It is there with our arguments.
    AsConfigured,
    /// There is no such queue yet.
    Missing,
    /// It has other arguments; the broker's words.
    Differs(String),
    /// We may not declare it; the broker's words.
    Refused(String),
}

/// Whether a broker takes messages from us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// It does.
    Open,
    /// An alarm about memory or disk: it takes none from anybody.
    Blocked,
    /// We may not publish; the broker's words.
    Refused(String),
    /// It did not answer in time.
    Silent,
}

impl Broker {
    /// Looks at every address, all at once.
    pub async fn examine(&self, role: &str) -> Vec<AddressReport> {
        join_all((0..self.addresses.count()).map(|turn| self.examine_one(turn, role))).await
    }

    async fn examine_one(&self, turn: usize, role: &str) -> AddressReport {
        let address = self.addresses.at(turn);
        let reached = match greet(address).await {
            Ok(version) => Ok((version, self.connect_to(turn, role).await)),
            Err(error) => Err(error),
        };
        let encrypted = address.scheme == lapin::uri::AMQPScheme::AMQPS;
        AddressReport { place: place(address), encrypted, reached }
    }
}

impl Topology {
    /// Compares every queue with what is configured; makes and changes none.
    ///
    /// # Errors
    /// When the broker fails to answer.
    pub async fn examine(&self, connection: &Connection) -> Result<Vec<(String, QueueStanding)>, lapin::Error> {
        let mut found = Vec::new();
        for spec in self.specs() {
            let standing = match declare(connection, &spec.name, FieldTable::default(), true).await {
                Ok(_exists) => standing(declare(connection, &spec.name, spec.arguments, false).await)?,
                refused => standing(refused)?,
            };
            found.push((spec.name, standing));
        }
        Ok(found)
    }
}

fn standing(declared: Result<lapin::Queue, lapin::Error>) -> Result<QueueStanding, lapin::Error> {
    match declared {
        Ok(_) => Ok(QueueStanding::AsConfigured),
        Err(error) if is_soft(&error, &AMQPSoftError::NOTFOUND) => Ok(QueueStanding::Missing),
        Err(error) if is_soft(&error, &AMQPSoftError::PRECONDITIONFAILED) => Ok(QueueStanding::Differs(words(&error))),
        Err(error) if is_soft(&error, &AMQPSoftError::ACCESSREFUSED) => Ok(QueueStanding::Refused(words(&error))),
        Err(error) => Err(error),
    }
}

/// Whether the broker takes messages on a connection; the connection is of no use afterwards when it does not.
///
/// # Errors
/// When the connection fails.
pub async fn intake(connection: &Connection) -> Result<Intake, lapin::Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for _ in 0..PROBES {
        match tokio::time::timeout(RETURN_TIMEOUT, probe(&channel)).await {
            Ok(Ok(_returned)) => {}
            Ok(Err(error)) if is_soft(&error, &AMQPSoftError::ACCESSREFUSED) => {
                return Ok(Intake::Refused(words(&error)));
            }
            Ok(Err(error)) => return Err(error),
            Err(_elapsed) if connection.status().blocked() => return Ok(Intake::Blocked),
            Err(_elapsed) => return Ok(Intake::Silent),
        }
    }
    Ok(if connection.status().blocked() { Intake::Blocked } else { Intake::Open })
}

async fn probe(channel: &Channel) -> Result<Confirmation, lapin::Error> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default();
    channel.basic_publish("".into(), NOWHERE.into(), options, b"", properties).await?.await
}

/// What the broker said, without the names of our types around it.
fn words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)) => {
            error.get_message().to_string()
        }
        _ => error.to_string(),
    }
}
