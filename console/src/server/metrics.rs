//! What the console counts of itself: how long its pages take, who is refused, what is being done. Labels come from closed
//! sets: the routes' patterns, never a path that was asked for.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shared::metrics::{durations, register_build, register_limit};

use super::state::Console;

/// The route of what matches none.
const NOWHERE: &str = "none";

/// As OpenTelemetry's conventions for servers name them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    http_route: String,
    http_response_status_code: u16,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    action: &'static str,
    outcome: &'static str,
}

/// Handles to everything counted. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    jobs: Family<JobLabels, Counter>,
    pub(crate) running: Gauge,
}

impl Metrics {
    /// Registers all of them, and the limit beside what it limits.
    pub(crate) fn register(registry: &mut Registry, jobs_at_once: usize) -> Self {
        register_build(registry, "console");
        let metrics = Self {
            requests: Family::new_with_constructor(durations),
            refusals: Family::default(),
            jobs: Family::default(),
            running: Gauge::default(),
        };
        registry.register(
            "http_server_request_duration_seconds",
            "From a request's head to its answer, by page",
            metrics.requests.clone(),
        );
        registry.register(
            "console_login_refusals",
            "Tokens that opened nothing: wrong ones, and those that were shown after too many of them",
            metrics.refusals.clone(),
        );
        registry.register(
            "console_jobs",
            "Redrives, discards, replays, and effects sent again, held or cancelled: those that have ended, dry runs left out",
            metrics.jobs.clone(),
        );
        registry.register("console_jobs_running", "Jobs that run, dry runs too", metrics.running.clone());
        register_limit(
            registry,
            "console_jobs_running",
            "Beyond this many, none is begun (CONSOLE_JOBS)",
            jobs_at_once,
        );
        for reason in ["wrong_token", "too_many"] {
            drop(metrics.refusals.get_or_create(&RefusalLabels { reason }));
        }
        for action in
            ["parked.redrive", "parked.discard", "webhooks.replay", "outbox.resend", "outbox.hold", "outbox.cancel"]
        {
            for outcome in ["done", "refused", "failed"] {
                drop(metrics.jobs.get_or_create(&JobLabels { action, outcome }));
            }
        }
        metrics
    }

    /// A token was wrong.
    pub(crate) fn wrong_token(&self) {
        self.refusals.get_or_create(&RefusalLabels { reason: "wrong_token" }).inc();
    }

    /// A token was shown after too many wrong ones, and was not looked at.
    pub(crate) fn too_many_tokens(&self) {
        self.refusals.get_or_create(&RefusalLabels { reason: "too_many" }).inc();
    }

    /// A job has ended.
    pub(crate) fn job_ended(&self, action: &'static str, outcome: &'static str) {
        self.jobs.get_or_create(&JobLabels { action, outcome }).inc();
    }
}

/// The middleware that counts requests. The outermost: what it sees is what leaves.
pub(crate) async fn measure(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = Instant::now();
    let metrics = request.app_data::<Data<Console>>().map(|console| console.metrics.clone());
    let answer = next.call(request).await?;
    if let Some(metrics) = metrics {
        let http_route = answer.request().match_pattern().unwrap_or_else(|| NOWHERE.to_owned());
        let labels = RequestLabels { http_route, http_response_status_code: answer.status().as_u16() };
        metrics.requests.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
    }
    Ok(answer)
}
