//! Who takes the effects: a mail server and a service that accept everything, fast enough to limit nobody.
//!
//! Both live on one thread and understand just what worker and limits say.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpStream};

/// The running sinks; they end with the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sinks {
    pub(crate) smtp: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Sinks {
    /// Starts both.
    ///
    /// # Errors
    /// When there is no port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (smtp, http) = (listen()?, listen()?);
        let sinks = Self { smtp: smtp.local_addr()?, http: http.local_addr()? };
        std::thread::spawn(move || {
            runtime.block_on(async { tokio::try_join!(accept(smtp, take_mails), accept(http, take_calls)) })
        });
        Ok(sinks)
    }
}

/// To be handed to the sinks' own runtime.
fn listen() -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Ends when no more connections can be taken; then whoever sends is refused, and the measurement fails.
async fn accept<F>(listener: std::net::TcpListener, serve: impl Fn(TcpStream) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (connection, _) = listener.accept().await?;
        let serving = serve(connection);
        // Whoever speaks differently hears nothing more, and fails.
        tokio::spawn(async move { drop(serving.await) });
    }
}

/// RFC 5321, without any extension.
async fn take_mails(mut connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let (from, mut to) = connection.split();
    let (mut from, mut line) = (BufReader::new(from), String::new());
    to.write_all(b"220 sink.example ESMTP\r\n").await?;
    while next_line(&mut from, &mut line).await? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "DATA" => {
                to.write_all(b"354 go on\r\n").await?;
                while next_line(&mut from, &mut line).await? && line != ".\r\n" {}
                b"250 taken\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            "EHLO" => b"250 sink.example\r\n",
            _ => b"250 ok\r\n",
        };
        to.write_all(answer).await?;
    }
    Ok(())
}

/// HTTP/1.1, kept alive; bodies with a length.
async fn take_calls(mut connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let (from, mut to) = connection.split();
    let (mut from, mut line, mut body) = (BufReader::new(from), String::new(), Vec::new());
    while next_line(&mut from, &mut line).await? {
        let mut length = 0;
        while next_line(&mut from, &mut line).await? && line != "\r\n" {
            let (name, value) = line.split_once(':').context("not a header")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        body.resize(length, 0);
        from.read_exact(&mut body).await?;
        to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
    Ok(())
}

/// Reads a line; `false` at the end.
///
/// What has arrived is acknowledged at once. lettre ends a mail with a small write of its own, which the kernel holds back
/// until the one before it is acknowledged: 40 ms, if the peer's kernel takes its time. That would be measured instead.
async fn next_line(from: &mut BufReader<ReadHalf<'_>>, line: &mut String) -> anyhow::Result<bool> {
    line.clear();
    if from.buffer().is_empty() {
        from.get_ref().as_ref().set_quickack(true)?;
    }
    Ok(from.read_line(line).await? > 0)
}
