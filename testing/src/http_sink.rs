//! A service of one's own, as an `http` effect sees it: takes calls, remembers them, fails when asked to.
//!
//! What it does is up to the path:
//!
//! ```text
//! /ok           200
//! /status/503   that status, always
//! /once/503     that status at the first call of an idempotency key, then 200
//! /busy-once    429 with Retry-After: 1 at the first call of a key, then 200
//! /drop-once    remembers the first call of a key and hangs up without an answer, then 200
//! /redirect     302 to /ok
//! /flaky        by the key's first hex digit: /drop-once (0-1), /once/503 (2-3), /once/502 (4), or /ok
//! ```

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpStream};

/// A call as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The path.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// What it was answered; 0 if it was not.
    pub answered: u16,
}

/// The running sink.
#[derive(Clone)]
pub struct HttpSink {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// How a call is answered.
enum Answer {
    Status(u16, &'static str),
    HangUp,
}

impl Call {
    /// Its idempotency key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.headers.get("idempotency-key").map_or("", String::as_str)
    }
}

impl HttpSink {
    /// Starts one on a free port; it ends with the runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), calls: Arc::default() };
        let serving = sink.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let sink = serving.clone();
                tokio::spawn(async move { sink.serve(connection).await });
            }
        });
        sink
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(&self, mut connection: TcpStream) {
        let (from, mut to) = connection.split();
        let mut from = BufReader::new(from);
        while let Some(call) = read(&mut from).await {
            let answer = self.answer(call);
            let Answer::Status(status, headers) = answer else { return };
            let head = format!("HTTP/1.1 {status} So\r\ncontent-length: 2\r\n{headers}\r\nok");
            if to.write_all(head.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, mut call: Call) -> Answer {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier: HashSet<&str> = calls.iter().map(Call::key).collect();
        let first = !earlier.contains(call.key());
        let answer = answer(&call.path, call.key(), first);
        call.answered = if let Answer::Status(status, _) = answer { status } else { 0 };
        calls.push(call);
        answer
    }
}

fn answer(path: &str, key: &str, first: bool) -> Answer {
    let status = |text: &str| Answer::Status(text.parse().unwrap(), "");
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["status", number] => status(number),
        ["once", number] if first => status(number),
        ["busy-once"] if first => Answer::Status(429, "retry-after: 1\r\n"),
        ["drop-once"] if first => Answer::HangUp,
        ["redirect"] => Answer::Status(302, "location: /ok\r\n"),
        ["flaky"] => match key.chars().next() {
            Some('0' | '1') => answer("/drop-once", key, first),
            Some('2' | '3') => answer("/once/503", key, first),
            Some('4') => answer("/once/502", key, first),
            _ => Answer::Status(200, ""),
        },
        _ => Answer::Status(200, ""),
    }
}

/// One call; `None` when the client has nothing more to say.
async fn read(from: &mut BufReader<ReadHalf<'_>>) -> Option<Call> {
    let Request { path, headers, body } = read_request(from).await?;
    Some(Call { path, headers, body: String::from_utf8(body).ok()?, answered: 0 })
}

/// A request as it arrived.
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// One request; `None` when the client has nothing more to say.
pub(crate) async fn read_request(from: &mut BufReader<ReadHalf<'_>>) -> Option<Request> {
    let mut line = String::new();
    from.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        from.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body).await.ok()?;
    Some(Request { path, headers, body })
}
