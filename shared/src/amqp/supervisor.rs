//! Keeps one role connected: connect, run its session, and on any end begin again.
//!
//! A session never repairs anything itself. Whatever goes wrong (an error, a closed channel, a
//! cancelled consumer) ends it, the connection is dropped with all its channels, and a new one is
//! made after a pause ([`Backoff`]).
//!
//! Of several addresses, a role takes the first that works, in the order in which they are given, and keeps to it.
//! When it is lost, the next one's turn comes; all of them are tried before there is a pause. Roles do not ask
//! each other: those of one process may be on different nodes.

use std::future::Future;
use std::time::{Duration, Instant};

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{Connection, ErrorKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Broker, BrokerConnection, LinkState};
use crate::backoff::Backoff;
use crate::error_chain::error_chain;

/// A session that lived this long had a healthy broker: the next pause is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// How long declaring the queues and opening channels may take: quorum queues wait for elections.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long closing a connection politely may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a role does with a connection, until something goes wrong or it is told to stop.
pub trait Session: Send {
    /// Sets up its channels, marks the link up, and works. `Ok` means: told to stop, and done.
    fn run(
        &mut self,
        connection: &Connection,
        link: &watch::Sender<LinkState>,
        stop: &CancellationToken,
    ) -> impl Future<Output = Result<(), SessionError>> + Send;
}

/// Why a session ended; always followed by a new connection.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The broker or the connection failed.
    #[error("the connection to the broker failed")]
    Broker(#[from] lapin::Error),
    /// The queues could not be declared.
    #[error("the queues could not be declared")]
    Topology(#[from] super::TopologyError),
    /// The session cannot trust its connection any longer.
    #[error("{0}")]
    Broken(&'static str),
}

impl SessionError {
    /// Whether the broker closed a channel because of a message that it was just given (406: it is too large).
    pub(super) fn is_about_a_message(&self) -> bool {
        let Self::Broker(error) = self else { return false };
        let ErrorKind::ProtocolError(closed) = error.kind() else { return false };
        *closed.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
    }
}

/// Runs a role's sessions until it is told to stop; returns when the last one is done.
pub async fn supervise(
    broker: Broker,
    role: &'static str,
    link: watch::Sender<LinkState>,
    stop: CancellationToken,
    mut session: impl Session,
) {
    let mut turn = Turn { broker, role, next: 0 };
    let mut backoff = Backoff::new();
    while !stop.is_cancelled() {
        let connected = tokio::select! {
            connected = turn.connect() => connected,
            () = stop.cancelled() => break,
        };
        if let Some(connection) = connected {
            let began = Instant::now();
            let outcome = session.run(&connection, &link, &stop).await;
            link.send_replace(LinkState::Down);
            close(&connection).await;
            match outcome {
                Ok(()) => break,
                Err(error) => tracing::warn!(role, error = error_chain(&error), "lost the broker, connecting anew"),
            }
            turn.pass_on();
            if began.elapsed() > HEALTHY_AFTER {
                backoff.reset();
            }
        }
        tokio::select! {
            () = backoff.pause() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// A session's first steps, with a deadline: a broker may send heartbeats and never answer. `None`: told to stop
/// meanwhile.
///
/// # Errors
/// When a step fails, or all of them take longer than 30 s.
pub async fn set_up<T>(
    stop: &CancellationToken,
    steps: impl Future<Output = Result<T, SessionError>>,
) -> Result<Option<T>, SessionError> {
    set_up_within(SET_UP_TIMEOUT, stop, steps).await
}

async fn set_up_within<T>(
    timeout: Duration,
    stop: &CancellationToken,
    steps: impl Future<Output = Result<T, SessionError>>,
) -> Result<Option<T>, SessionError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(None),
        done = tokio::time::timeout(timeout, steps) => {
            done.unwrap_or(Err(SessionError::Broken("the broker does not answer"))).map(Some)
        }
    }
}

/// Whose turn it is of the broker's addresses, for one role.
struct Turn {
    broker: Broker,
    role: &'static str,
    next: usize,
}

impl Turn {
    /// Tries each address once, beginning with the one whose turn it is; `None` when none of them answers.
    async fn connect(&mut self) -> Option<BrokerConnection> {
        for _ in 0..self.broker.addresses.count() {
            match self.broker.connect_to(self.next, self.role).await {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    tracing::warn!(role = self.role, error = error_chain(&error), "no connection to the broker");
                    self.pass_on();
                }
            }
        }
        None
    }

    fn pass_on(&mut self) {
        self.next = (self.next + 1) % self.broker.addresses.count();
    }
}

async fn close(connection: &Connection) {
    if connection.status().connected() {
        let closing = connection.close(200, "session ended".into());
        match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection was gone before it was closed"),
            Err(_elapsed) => tracing::debug!("the broker did not confirm the close in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_broker_that_never_answers_holds_up_neither_the_next_address_nor_the_end() {
        let stop = CancellationToken::new();
        let silent = set_up_within(Duration::from_millis(10), &stop, pending::<Result<(), _>>()).await;
        assert!(matches!(silent, Err(SessionError::Broken(_))), "{silent:?}");
        stop.cancel();
        assert!(matches!(set_up(&stop, pending::<Result<(), _>>()).await, Ok(None)));
    }
}
