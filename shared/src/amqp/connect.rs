//! One connection, made within a deadline and ended for good.
//!
//! lapin gives every connection a thread, which goes on when nobody waits for the connection any more: it has no
//! deadline for the handshake, and its polite close waits for the peer's word. A peer that takes connections and
//! never speaks would cost a thread and a socket for each try. So every connection keeps a second handle to its
//! socket, and whoever drops it shuts the socket down: then the thread ends.

use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio_util::sync::CancellationToken;

use super::addresses::place;

/// How long a connection may take to be made: name, TCP, TLS and AMQP's handshake. For each address anew, so
/// that one that never answers does not hold up the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection to an address. Shows no credentials.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The broker is not there, or refuses.
    #[error("cannot connect to {address}")]
    Refused {
        /// `host:port`.
        address: String,
        /// What happened.
        source: lapin::Error,
    },
    /// The broker took too long.
    #[error("{address} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut {
        /// `host:port`.
        address: String,
    },
}

/// A connection to the broker; dropped, its socket is closed, whatever the peer says to that.
pub struct BrokerConnection {
    connection: Connection,
    _socket: Socket,
}

impl Deref for BrokerConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Makes one connection.
pub(super) async fn connect(
    address: &AMQPUri,
    properties: ConnectionProperties,
) -> Result<BrokerConnection, ConnectError> {
    let refused = |source| ConnectError::Refused { address: place(address), source };
    let runtime = lapin::runtime::default_runtime().map_err(refused)?;
    let socket = Socket::default();
    let (reactor, kept) = (runtime.clone(), socket.0.clone());
    let opening = async move |address: AMQPUri, _same_runtime| {
        let AMQPAuthority { host, port, .. } = address.authority;
        let opening = async {
            let stream = AsyncTcpStream::connect(&reactor, reactor.to_socket_addrs((host.clone(), port))).await?;
            if let AsyncTcpStream::Plain(plain) = &stream {
                kept.keep(plain.get_ref())?;
            }
            match address.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => stream.into_tls(&host, OwnedTLSConfig::default().as_ref()).await,
            }
        };
        tokio::select! {
            opened = opening => opened.map_err(lapin::Error::from),
            () = kept.unwanted.cancelled() => Err(unwanted().into()),
        }
    };
    let connecting = Connection::connector(address.clone(), runtime, opening, properties);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok(BrokerConnection { connection, _socket: socket }),
        Ok(Err(error)) => Err(refused(error)),
        Err(_elapsed) => Err(ConnectError::TimedOut { address: place(address) }),
    }
}

/// The second handle to a connection's socket. Dropped, it ends the connection, or what is to become one.
#[derive(Default)]
struct Socket(Kept);

/// What lapin's thread has of it.
#[derive(Clone, Default)]
struct Kept {
    unwanted: CancellationToken,
    handle: Arc<Mutex<Option<TcpStream>>>,
}

impl Kept {
    /// Takes a second handle, unless it is not wanted any more.
    fn keep(&self, socket: impl AsFd) -> std::io::Result<()> {
        let handle = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        let mut place = self.handle();
        if self.unwanted.is_cancelled() {
            return Err(unwanted());
        }
        *place = Some(handle);
        Ok(())
    }

    fn handle(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.unwanted.cancel();
        if let Some(socket) = self.0.handle().take()
            && let Err(error) = socket.shutdown(Shutdown::Both)
        {
            tracing::trace!(%error, "the connection was gone before it was ended");
        }
    }
}

fn unwanted() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "nobody waits for this connection any more")
}
