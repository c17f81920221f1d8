//! One kept connection: writes a request, reads its answer, and insists that it is 200.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::Request;

/// The longest answer that is understood.
const MAX_ANSWER_BYTES: usize = 4096;

/// A connection with a request of its own.
pub(super) struct Connection {
    stream: TcpStream,
    request: Request,
    chance: fastrand::Rng,
    answer: Vec<u8>,
}

impl Connection {
    /// Opens it and sends a first webhook: a server soon closes a connection that says nothing.
    pub(super) async fn open(address: SocketAddr, request: Request) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, request, chance: fastrand::Rng::new(), answer: vec![0; MAX_ANSWER_BYTES] };
        connection.exchange().await?;
        Ok(connection)
    }

    /// Sends a webhook under a fresh id and waits for its answer.
    ///
    /// # Errors
    /// When the answer is anything but 200.
    pub(super) async fn exchange(&mut self) -> anyhow::Result<()> {
        let Request { bytes, id_at } = &mut self.request;
        let place = bytes.get_mut(*id_at..*id_at + 36).context("the request has no place for an id")?;
        Uuid::from_u128(self.chance.u128(..)).hyphenated().encode_lower(place);
        self.stream.write_all(bytes).await?;
        let mut read = 0;
        loop {
            let room = self.answer.get_mut(read..).filter(|room| !room.is_empty());
            let more = self.stream.read(room.context("the answer is too long")?).await?;
            anyhow::ensure!(more > 0, "the connection was closed instead of an answer");
            read += more;
            if is_whole(self.answer.get(..read).unwrap_or_default())? {
                return Ok(());
            }
        }
    }
}

/// Whether an answer has arrived in full.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
    anyhow::ensure!(text.starts_with("HTTP/1.1 200 "), "answered {:?}", text.lines().next().unwrap_or_default());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(answer.len() >= head + 4 + length.context("the answer has no length")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_and_nothing_but_200_will_do() {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert!(is_whole(ok).unwrap());
        assert!((0..ok.len()).all(|read| !is_whole(&ok[..read]).unwrap()));
        assert!(is_whole(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
