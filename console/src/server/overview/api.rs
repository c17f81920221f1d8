//! `/api/v1/overview`, and what the charts draw.

use actix_web::web::{Json, Query};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::view::{Overview, Rates};
use crate::server::access::Caller;
use crate::server::monitor::INTERVAL;
use crate::server::monitor::counts::Counts;
use crate::server::monitor::ring::WORK;
use crate::server::problem::{Problem, ProblemDocument};
use crate::server::state::Shared;

/// Ticks that a point of a chart is made of: 10 s.
const TICKS_A_POINT: usize = 5;

/// What flowed, a point every ten seconds, the oldest first. All arrays are of one length.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    /// Seconds since 1970.
    pub(crate) at: Vec<i64>,
    /// Events a minute.
    pub(crate) received: Vec<f64>,
    pub(crate) processed: Vec<f64>,
    pub(crate) duplicates: Vec<f64>,
    pub(crate) refused: Vec<f64>,
    pub(crate) retried: Vec<f64>,
    pub(crate) parked: Vec<f64>,
    /// Messages ready in the work queue.
    pub(crate) ready: Vec<Option<u32>>,
    /// Files in all spools.
    pub(crate) spool_files: Vec<u64>,
    /// Milliseconds; `null` where no webhook was processed.
    pub(crate) p50_ms: Vec<Option<f64>>,
    pub(crate) p95_ms: Vec<Option<f64>>,
    pub(crate) p99_ms: Vec<Option<f64>>,
}

/// Which points.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct SeriesQuery {
    /// Minutes back from now, at most 60.
    #[serde(default = "quarter_of_an_hour")]
    #[param(minimum = 1, maximum = 60)]
    minutes: usize,
}

fn quarter_of_an_hour() -> usize {
    15
}

/// The state of the installation: what needs somebody, rates, latencies, queues, spools, outbox, workers, limits.
#[utoipa::path(get, path = "/api/v1/overview", tag = "overview",
    responses((status = 200, body = Overview), (status = 401, body = ProblemDocument)))]
pub(crate) async fn overview(_caller: Caller, console: Shared) -> Json<Overview> {
    Json(Overview::of(&console, OffsetDateTime::now_utc()))
}

/// What flowed within the last hour, for charts.
#[utoipa::path(get, path = "/api/v1/overview/series", tag = "overview", params(SeriesQuery),
    responses((status = 200, body = Series), (status = 401, body = ProblemDocument)))]
pub(crate) async fn series(
    _caller: Caller,
    console: Shared,
    query: Query<SeriesQuery>,
) -> Result<Json<Series>, Problem> {
    let ticks = query.minutes.clamp(1, 60) * 60 / usize::try_from(INTERVAL.as_secs()).unwrap_or(1);
    let known = console.monitor.known();
    let mut newest: Vec<_> = known.ring.ticks().rev().take(ticks).collect();
    newest.reverse();
    let mut series = Series::empty();
    for point in newest.chunks(TICKS_A_POINT) {
        let Some(last) = point.last() else { continue };
        let counts = point.iter().fold(Counts::default(), |sum, tick| sum.plus(&tick.flow.counts));
        series.push(last.at, &counts, point.len() as f64 * INTERVAL.as_secs_f64());
        series.ready.push(last.ready(WORK));
        series.spool_files.push(last.spool_files);
    }
    Ok(Json(series))
}

impl Series {
    fn empty() -> Self {
        Self {
            at: Vec::new(),
            received: Vec::new(),
            processed: Vec::new(),
            duplicates: Vec::new(),
            refused: Vec::new(),
            retried: Vec::new(),
            parked: Vec::new(),
            ready: Vec::new(),
            spool_files: Vec::new(),
            p50_ms: Vec::new(),
            p95_ms: Vec::new(),
            p99_ms: Vec::new(),
        }
    }

    fn push(&mut self, at: OffsetDateTime, counts: &Counts, seconds: f64) {
        let rates = Rates::of(counts, seconds);
        self.at.push(at.unix_timestamp());
        self.received.push(rates.received);
        self.processed.push(rates.processed);
        self.duplicates.push(rates.duplicates);
        self.refused.push(rates.refused);
        self.retried.push(rates.retried);
        self.parked.push(rates.parked);
        let ms = |share| counts.latency(share).map(|seconds| seconds * 1_000.0);
        self.p50_ms.push(ms(0.5));
        self.p95_ms.push(ms(0.95));
        self.p99_ms.push(ms(0.99));
    }
}
