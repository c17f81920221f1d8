//! What a broker says of itself before anybody logs in: its product and version.
//!
//! lapin keeps the server's properties to itself, so the first frame is read here, on a socket of its own: the client
//! sends eight bytes, the broker answers `connection.start`, and the socket is closed. No credentials are sent.
//! The form: <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, 2.2.4 and 2.3.5.

use std::io;
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::types::parsing::parse_field_table;
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri};

const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// How long the broker may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// The broker's own limit for frames before tuning is 4 KiB; what is longer is no greeting.
const MAX_FRAME_BYTES: usize = 64 * 1024;
const METHOD_FRAME: u8 = 1;
/// `connection.start`: class 10, method 10.
const CONNECTION_START: [u8; 4] = [0, 10, 0, 10];
/// Frame type, channel and length.
const FRAME_HEAD_BYTES: usize = 7;
/// Class, method, and the protocol's two version numbers, before the table.
const BEFORE_PROPERTIES: usize = 6;

/// What a broker says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerVersion {
    /// `RabbitMQ`, in all likelihood.
    pub product: String,
    /// As in `3.10.8`.
    pub version: String,
}

/// Why a broker has not said what it is.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The socket, or TLS.
    #[error("the broker's greeting cannot be read")]
    Socket(#[from] io::Error),
    /// It is not a broker, or speaks another protocol.
    #[error("what answers there is not an AMQP 0-9-1 broker")]
    Foreign,
    /// It says nothing.
    #[error("the broker did not greet within {} s", GREETING_TIMEOUT.as_secs())]
    TimedOut,
}

/// Asks a broker what it is.
pub(super) async fn greet(address: &AMQPUri) -> Result<BrokerVersion, GreetingError> {
    match tokio::time::timeout(GREETING_TIMEOUT, ask(address)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(GreetingError::TimedOut),
    }
}

async fn ask(address: &AMQPUri) -> Result<BrokerVersion, GreetingError> {
    let runtime = lapin::runtime::default_runtime().map_err(io::Error::other)?;
    let AMQPAuthority { host, port, .. } = &address.authority;
    let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs((host.clone(), *port))).await?;
    let mut stream = match address.scheme {
        AMQPScheme::AMQP => stream,
        AMQPScheme::AMQPS => stream.into_tls(host, OwnedTLSConfig::default().as_ref()).await?,
    };
    stream.write_all(PROTOCOL_HEADER).await?;
    stream.flush().await?;
    let mut head = [0; FRAME_HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let [kind, _, _, length @ ..] = head;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if kind != METHOD_FRAME || length > MAX_FRAME_BYTES {
        return Err(GreetingError::Foreign);
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    read(&payload).ok_or(GreetingError::Foreign)
}

fn read(payload: &[u8]) -> Option<BrokerVersion> {
    if !payload.starts_with(&CONNECTION_START) {
        return None;
    }
    let (_rest, properties) = parse_field_table(payload.get(BEFORE_PROPERTIES..)?).ok()?;
    Some(BrokerVersion { product: text(&properties, "product")?, version: text(&properties, "version")? })
}

fn text(properties: &FieldTable, name: &str) -> Option<String> {
    match properties.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(table: &[u8]) -> Vec<u8> {
        let length = u32::try_from(table.len()).unwrap().to_be_bytes();
        [&CONNECTION_START, &[0, 9][..], &length, table, b"\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"].concat()
    }

    #[test]
    fn product_and_version_are_read() {
        let table = b"\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        let expected = BrokerVersion { product: "RabbitMQ".to_owned(), version: "3.10.8".to_owned() };
        assert_eq!(read(&greeting(table)), Some(expected));
    }

    #[test]
    fn whatever_else_answers_is_no_broker() {
        let whole = greeting(b"\x07productS\x00\x00\x00\x08RabbitMQ");
        assert_eq!(read(&whole), None, "no version");
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "cut off after {length} bytes");
        }
        assert_eq!(read(b"HTTP/1.1 400 Bad Request"), None);
    }
}
