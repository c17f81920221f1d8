//! One connection, made within a deadline and ended for good.
//!
//! lapin gives every connection a thread, which goes on when nobody waits for the connection any more: it has no
//! deadline for the handshake, and its polite close waits for the peer's word. A peer that takes connections and
//! never speaks would cost a thread and a socket for each try. So the socket is opened here, and lapin gets it when it
//! is open; a second handle to it stays here, and whoever drops that shuts the socket down: then the thread ends.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

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
    match tokio::time::timeout(CONNECT_TIMEOUT, attempt(address, properties)).await {
        Ok(attempted) => attempted.map_err(|source| ConnectError::Refused { address: place(address), source }),
        Err(_elapsed) => Err(ConnectError::TimedOut { address: place(address) }),
    }
}

async fn attempt(address: &AMQPUri, properties: ConnectionProperties) -> lapin::Result<BrokerConnection> {
    let runtime = lapin::runtime::default_runtime()?;
    let AMQPAuthority { host, port, .. } = &address.authority;
    let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs((host.clone(), *port))).await?;
    let socket = match &stream {
        AsyncTcpStream::Plain(plain) => Socket::beside(plain.get_ref())?,
        _ => return Err(io::Error::other("a socket that is not plain").into()),
    };
    let stream = match address.scheme {
        AMQPScheme::AMQP => stream,
        AMQPScheme::AMQPS => stream.into_tls(host, OwnedTLSConfig::default().as_ref()).await?,
    };
    // lapin may ask again; there is one socket, and then no second try.
    let stream = Mutex::new(Some(stream));
    let open = async move |_address, _runtime| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
    };
    let connection = Connection::connector(address.clone(), runtime, open, properties).await?;
    Ok(BrokerConnection { connection, _socket: socket })
}

/// The second handle to a connection's socket. Dropped, it ends the connection, or what was to become one.
struct Socket(TcpStream);

impl Socket {
    /// What is said on it goes out at once: a small frame would wait 40 ms for the answer to the one before it.
    fn beside(socket: impl AsFd) -> io::Result<Self> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        socket.set_nodelay(true)?;
        Ok(Self(socket))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown(Shutdown::Both) {
            tracing::trace!(%error, "the connection was gone before it was ended");
        }
    }
}
