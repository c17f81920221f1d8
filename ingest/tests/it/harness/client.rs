//! An HTTP client of bytes: sends what it is given, in the pieces it is given, and reads one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has come and was not read as an answer yet.
    unread: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Self {
        Self { stream: TcpStream::connect(("127.0.0.1", port)).await.unwrap(), unread: Vec::new() }
    }

    /// Writes bytes; the other side may have closed already.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Writes a request and reads its answer, behind which nothing comes.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.write(request).await;
        let answer = self.answer().await.expect("closed without an answer");
        assert!(self.unread.is_empty(), "more than one answer");
        answer
    }

    /// Reads one answer; `None` if the connection closes first.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("no answer in 10 s")
    }

    /// Whether the other side has said anything by now.
    pub(crate) fn heard(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.stream.try_read(&mut buffer);
        self.unread.extend_from_slice(&buffer[..*read.as_ref().unwrap_or(&0)]);
        read.is_ok()
    }

    /// Reads all answers until the other side closes.
    pub(crate) async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    /// Waits until the other side closes.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 1024];
        let closed = async { while self.stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("still open after 10 s");
    }

    /// Reads one answer's head alone; an answer to HEAD has no more.
    pub(crate) async fn head(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.read_head()).await.expect("no answer in 10 s")
    }

    async fn read_head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        Some(String::from_utf8(self.unread.drain(..end).collect()).unwrap())
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let head = self.read_head().await?;
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: BTreeMap<_, _> = lines.filter_map(header).collect();
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.read_more().await?;
        }
        Some(Answer { status, headers, body: String::from_utf8(self.unread.drain(..length).collect()).unwrap() })
    }

    async fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The problem's name, and that it is a problem at all.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        let kind = json["type"].as_str().unwrap();
        kind.strip_prefix(ingest::PROBLEM_TYPE_PREFIX).unwrap().to_owned()
    }
}
