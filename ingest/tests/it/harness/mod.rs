//! A running ingest on a real broker, with queues of its own, and a client that sends exact bytes.
//!
//! [`run`] always stops the service and deletes the queues, also when the test fails.

mod client;
mod program;
mod queue;
mod way;

use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;

use futures_util::FutureExt as _;
use ingest::{Application, Settings};
use secrecy::SecretString;
use shared::provider::{Catalogue, Provider};
use shared::verification::{Outgoing, Signer};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use client::{Answer, Connection};
pub(crate) use program::{Program, program};
pub(crate) use queue::Broker;
pub(crate) use testing::services::setting;
pub(crate) use testing::wait::until;
pub(crate) use way::{by_way_of, free_address};

/// Every source's secret, in the form its provider wants.
pub(crate) const SECRETS: [(&str, &str); 4] = [
    ("shopify", "hush-shopify"),
    ("github", "hush-github"),
    ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("generic", "hush-generic"),
];

/// A running ingest.
pub(crate) struct Ingest {
    pub(crate) port: u16,
    pub(crate) ops_port: u16,
    pub(crate) broker: Broker,
    pub(crate) stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// Runs `test` against an ingest with the four default sources, an unverified one named `open`, and `extra` as
/// further configuration.
pub(crate) async fn run(extra: &str, test: impl AsyncFnOnce(&mut Ingest)) {
    let broker = Broker::connect().await;
    run_with(broker, None, extra, test).await;
}

/// The same, with ingest sent to another address for its broker.
pub(crate) async fn run_without_broker(extra: &str, test: impl AsyncFnOnce(&mut Ingest)) {
    let broker = Broker::connect().await;
    // Port 1 refuses.
    run_with(broker, Some("amqp://127.0.0.1:1/%2f"), extra, test).await;
}

/// The same, with ingest sent to an address where a broker may be or come up.
pub(crate) async fn run_at(amqp_url: &str, extra: &str, test: impl AsyncFnOnce(&mut Ingest)) {
    run_with(Broker::connect().await, Some(amqp_url), extra, test).await;
}

/// The same, with a spool that was filled before.
pub(crate) async fn run_on(broker: Broker, test: impl AsyncFnOnce(&mut Ingest)) {
    run_with(broker, Some(&setting("AMQP_URL")), "", test).await;
}

/// The same, sent to an address where a broker may be or come up, with a spool that was prepared before.
pub(crate) async fn run_on_at(broker: Broker, amqp_url: &str, extra: &str, test: impl AsyncFnOnce(&mut Ingest)) {
    run_with(broker, Some(amqp_url), extra, test).await;
}

async fn run_with(broker: Broker, amqp_url: Option<&str>, extra: &str, test: impl AsyncFnOnce(&mut Ingest)) {
    let settings = Settings {
        config: configuration(&broker.prefix, extra),
        amqp_url: Some(SecretString::from(amqp_url.map_or_else(|| setting("AMQP_URL"), str::to_owned))),
        spool_dir: Some(spool_dir(&broker.prefix)),
        listen: ([127, 0, 0, 1], 0).into(),
        ops_listen: ([127, 0, 0, 1], 0).into(),
    };
    let application = Application::build(&settings).unwrap();
    let (port, ops_port, stop) = (application.port(), application.ops_port(), CancellationToken::new());
    let stopping = stop.clone();
    let running = tokio::spawn(async move {
        application.run_until_stopped(stopping.cancelled()).await.unwrap();
    });
    let mut ingest = Ingest { port, ops_port, broker, stop, running: Some(running) };
    if amqp_url.is_none() {
        ingest.ready().await;
    }
    let outcome = AssertUnwindSafe(test(&mut ingest)).catch_unwind().await;
    ingest.stop().await;
    ingest.broker.clean_up().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Writes the configuration of a test's ingest. `extra` may be more settings of `[queue]`.
pub(crate) fn configuration(prefix: &str, extra: &str) -> PathBuf {
    let (queue, extra) = extra.strip_prefix("[queue]\n").map_or(("", extra), |queue| (queue, ""));
    let mut text = format!("[queue]\nprefix = {prefix:?}\nretry_delays_s = [5]\n{queue}");
    for (source, secret) in SECRETS {
        let file = secret_file(prefix, source, secret);
        text.push_str(&format!(
            "[sources.{source}]\nprovider = \"{source}\"\nmax_body_bytes = 65536\nsecrets = [{{ file = {file:?} }}]\n"
        ));
    }
    text.push_str("[sources.open]\nprovider = \"generic\"\nverification = \"none\"\n");
    text.push_str(extra);
    let file = folder(prefix).join("oncehook.toml");
    fs::write(&file, text).unwrap();
    file
}

/// Where a test's ingest spools.
pub(crate) fn spool_dir(prefix: &str) -> PathBuf {
    folder(prefix).join("spool")
}

/// A test's own folder.
fn folder(prefix: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(prefix);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A file with a secret of a test's own sources.
pub(crate) fn folder_file(name: &str, secret: &str) -> PathBuf {
    let file = folder(&format!("secrets-{}", uuid::Uuid::new_v4().simple())).join(name);
    fs::write(&file, secret).unwrap();
    file
}

fn secret_file(prefix: &str, source: &str, secret: &str) -> PathBuf {
    let file = folder(prefix).join(source);
    fs::write(&file, format!("{secret}\n")).unwrap();
    file
}

impl Ingest {
    /// Opens a connection for webhooks.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.port).await
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, request: &[u8]) -> Answer {
        self.connect().await.exchange(request).await
    }

    /// `GET` on the ops port.
    pub(crate) async fn ops(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\n\r\n");
        Connection::open(self.ops_port).await.exchange(request.as_bytes()).await
    }

    /// Waits until ingest says that it is ready, and not just degraded.
    pub(crate) async fn ready(&self) {
        until("ingest is ready", async || self.ops("/readyz").await.body.contains("\"ready\"").then_some(())).await;
    }

    /// Waits until a line stands in the metrics.
    pub(crate) async fn counted(&self, line: &str) {
        let whole = format!("{line}\n");
        until(line, async || self.ops("/metrics").await.body.contains(&whole).then_some(())).await;
    }

    /// Stops ingest as SIGTERM would, and waits until it has ended.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

/// A webhook, signed as its provider signs.
#[derive(Clone)]
pub(crate) struct Webhook {
    pub(crate) source: String,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Webhook {
    /// A genuine one.
    pub(crate) fn new(source: &str, id: &str, topic: &str, body: &[u8]) -> Self {
        let provider = provider(source);
        let (_, secret) = SECRETS.into_iter().find(|(name, _)| *name == source).unwrap();
        let signer = Signer::new(&provider, SecretString::from(secret)).unwrap();
        let signed = signer.sign(Outgoing { id, topic, body, at: OffsetDateTime::now_utc() }).unwrap();
        Self { source: source.to_owned(), body: signed.body, headers: signed.headers }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    /// The request's head, without `content-length` and the empty line.
    pub(crate) fn head(&self) -> String {
        let mut head = format!("POST /webhooks/{} HTTP/1.1\r\nhost: test\r\n", self.source);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// The whole request.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut request = format!("{}content-length: {}\r\n\r\n", self.head(), self.body.len()).into_bytes();
        request.extend_from_slice(&self.body);
        request
    }

    /// The whole request, its body in chunks of `size` bytes.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut request = format!("{}transfer-encoding: chunked\r\n\r\n", self.head()).into_bytes();
        for chunk in self.body.chunks(size) {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        request
    }
}

fn provider(source: &str) -> Provider {
    Catalogue::built_in().unwrap().get(source).unwrap().clone()
}
