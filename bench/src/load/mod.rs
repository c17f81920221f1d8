//! The load generator: a hand-written HTTP/1.1 client that keeps its connections and does nothing that it need not.
//!
//! It shares the machine with what it measures, so it must be cheap: requests are built once, and only the webhook's id
//! is written anew into each. All connections live on one thread. Whatever is not answered 200 ends the measurement.

mod closed;
mod connection;
mod open;
mod pace;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use hdrhistogram::Histogram;

pub(crate) use self::closed::closed;
use self::connection::Connection;
pub(crate) use self::open::open;
pub(crate) use self::pace::pace;
use crate::shop::Shop;
use crate::usage;

/// Connections that are opened side by side.
const OPENED_AT_ONCE: usize = 16;

/// How long a measurement takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Not counted.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) counted: Duration,
}

/// Where the requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Whole requests, one for each connection, all of the same form.
    requests: Vec<Request>,
}

/// A request, built but for its id.
#[derive(Debug, Clone)]
struct Request {
    bytes: Vec<u8>,
    /// Where the 36 bytes of the webhook's id begin.
    id_at: usize,
}

/// What a measurement saw.
#[derive(Debug)]
pub(crate) struct Load {
    /// Answers, or confirms, within the time that counts.
    pub(crate) answered: u64,
    /// The same with those of the warm-up.
    pub(crate) all: u64,
    /// Microseconds from the start, or from when it should have been, to the answer.
    pub(crate) latency: Histogram<u64>,
    /// The time that counts.
    pub(crate) seconds: f64,
    /// The share of one processor that the benchmark itself took, the warm-up included.
    pub(crate) own_cpu_share: f64,
}

impl Load {
    /// Answers a second.
    #[allow(clippy::cast_precision_loss, reason = "answers of a few seconds are far below 2^53")]
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// The time, in milliseconds, within which this share of the answers came.
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a few seconds are far below 2^53")]
    pub(crate) fn latency_ms(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1000.0
    }
}

impl Target {
    /// Signed webhooks for so many connections, to the path of the source `shopify`.
    pub(crate) fn new(address: SocketAddr, shop: &mut Shop, connections: usize) -> Self {
        Self { address, requests: (0..connections).map(|_| Request::new(address, shop)).collect() }
    }

    /// Opens them all, few at a time: a server gives up whoever connects and is then not scheduled for a second.
    async fn connections(&self) -> anyhow::Result<Vec<Connection>> {
        let opening = self.requests.iter().map(|request| Connection::open(self.address, request.clone()));
        futures_util::stream::iter(opening).buffered(OPENED_AT_ONCE).try_collect().await
    }
}

impl Request {
    fn new(address: SocketAddr, shop: &mut Shop) -> Self {
        let body = shop.body();
        let head = format!(
            "POST /webhooks/shopify HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Shopify-Captain-Hook\r\n\
             Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             X-Shopify-Topic: orders/paid\r\nX-Shopify-Shop-Domain: shop.example\r\nX-Shopify-API-Version: 2026-01\r\n\
             X-Shopify-Hmac-Sha256: {}\r\nX-Shopify-Webhook-Id: ",
            body.len(),
            shop.signature(&body),
        );
        let id_at = head.len();
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(shop.webhook_id().as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&body);
        Self { bytes, id_at }
    }
}

/// Counts answers while a measurement lasts.
pub(crate) struct Tally {
    latency: Histogram<u64>,
    all: u64,
    began: Instant,
    span: Span,
    cpu_seconds: f64,
}

impl Tally {
    /// Begins a measurement.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub(crate) fn begin(span: Span) -> anyhow::Result<Self> {
        // Microseconds up to a minute, in three digits.
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self { latency, all: 0, began: Instant::now(), span, cpu_seconds: usage::own_cpu_seconds()? })
    }

    /// When it ends.
    pub(crate) fn end(&self) -> Instant {
        self.began + self.span.warm_up + self.span.counted
    }

    /// Counts one that began at `start`, or should have, if its time (`when`) is one that counts.
    pub(crate) fn count(&mut self, start: Instant, when: Instant) {
        self.all += 1;
        if when >= self.began + self.span.warm_up && when < self.end() {
            let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.latency.saturating_record(micros);
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub(crate) fn finish(&self) -> anyhow::Result<Load> {
        let used = usage::own_cpu_seconds()? - self.cpu_seconds;
        Ok(Load {
            answered: self.latency.len(),
            all: self.all,
            latency: self.latency.clone(),
            seconds: self.span.counted.as_secs_f64(),
            own_cpu_share: used / self.began.elapsed().as_secs_f64(),
        })
    }
}
