//! One request, watched from its head to its answer: one summary line and one count, whatever happens,
//! also when the sender hangs up. Never a body, a secret or a signature.

use std::time::Instant;

use shared::name::Name;
use shared::provider::Identity;
use shared::trace_context::TraceId;
use shared::verification::{Headers, Verified};

use crate::durable::Kept;
use crate::log_budget::LogBudget;
use crate::metrics::{Metrics, UNKNOWN_SOURCE};
use crate::outcome::Outcome;
use crate::refused::Refused;
use crate::trace::Trace;

/// One budget for the whole process.
static REFUSALS: LogBudget = LogBudget::new();

/// What is known of a request so far. Dropped without an end, it counts as aborted.
pub(crate) struct Observation<'i> {
    metrics: &'i Metrics,
    began: Instant,
    source: Option<&'i Name>,
    /// What vouches for it; `None`: it is not known to be genuine.
    verified: Option<Verified>,
    identity: Option<Identity>,
    trace: Option<Trace>,
    ended: bool,
}

impl<'i> Observation<'i> {
    pub(crate) fn begin(metrics: &'i Metrics) -> Self {
        let began = Instant::now();
        Self { metrics, began, source: None, verified: None, identity: None, trace: None, ended: false }
    }

    pub(crate) fn source(&mut self, source: &'i Name) {
        self.source = Some(source);
    }

    pub(crate) fn identity(&mut self, identity: &Identity) {
        self.identity = Some(identity.clone());
    }

    /// It goes on in the trace of its headers, or begins one.
    pub(crate) fn trace(&mut self, headers: &Headers<'_>) -> &mut Trace {
        self.trace.insert(Trace::begin(headers, self.began))
    }

    /// It is genuine.
    pub(crate) fn verified(&mut self, verified: Verified) {
        self.verified = Some(verified);
        if let Verified::BySecret { index } = verified {
            self.metrics.secret_used(self.source_label(), index);
        }
    }

    pub(crate) fn handshake(mut self) {
        self.end(Outcome::Handshake, None);
    }

    pub(crate) fn accepted(mut self, kept: Kept) {
        let reason = match kept {
            Kept::Queued => None,
            Kept::Spooled => Some("spooled"),
        };
        self.end(Outcome::Accepted, reason);
    }

    pub(crate) fn refused(mut self, refused: &Refused) {
        if let Refused::Signature(refusal) = refused {
            self.metrics.refused(self.source_label(), refusal.code());
        }
        self.end(refused.outcome(), refused.reason());
    }

    fn source_label(&self) -> &str {
        self.source.map_or(UNKNOWN_SOURCE, Name::as_str)
    }

    fn end(&mut self, outcome: Outcome, reason: Option<&'static str>) {
        self.ended = true;
        let elapsed = self.began.elapsed();
        self.metrics.ended(self.source_label(), outcome, elapsed.as_secs_f64());
        if self.verified.is_some() {
            self.metrics.answered(self.source_label(), outcome);
        }
        let id = self.identity.as_ref().map(|identity| identity.id.as_str());
        let topic = self.identity.as_ref().map(|identity| identity.topic.as_str());
        let trace = self.trace.as_ref().and_then(Trace::id);
        if let Some(trace) = &self.trace {
            trace.ended(self.source_label(), id, topic, outcome);
        }
        let summary = Summary {
            source: self.source_label(),
            id,
            topic,
            trace: trace.as_ref().map(TraceId::as_str),
            outcome: outcome.as_str(),
            reason,
            duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        match outcome {
            Outcome::Accepted | Outcome::Handshake => summary.log(),
            // An identity is known only of what was genuine: that is logged, whatever the rate.
            _ if self.identity.is_some() => summary.warn(),
            // Anyone can cause the others at any speed; they are counted.
            _ if self.source.is_some() && REFUSALS.spend() => summary.warn(),
            _ => summary.debug(),
        }
    }
}

/// The one line that is logged of a request.
struct Summary<'o> {
    source: &'o str,
    id: Option<&'o str>,
    topic: Option<&'o str>,
    trace: Option<&'o str>,
    outcome: &'static str,
    reason: Option<&'static str>,
    duration_ms: u64,
}

/// The macros want their level at compile time.
macro_rules! summary {
    ($level:ident, $summary:expr) => {
        tracing::$level!(
            webhook.source = $summary.source,
            webhook.id = $summary.id,
            webhook.topic = $summary.topic,
            trace_id = $summary.trace,
            outcome = $summary.outcome,
            reason = $summary.reason,
            duration_ms = $summary.duration_ms,
            "webhook"
        )
    };
}

impl Summary<'_> {
    fn log(&self) {
        summary!(info, self);
    }

    fn warn(&self) {
        summary!(warn, self);
    }

    fn debug(&self) {
        summary!(debug, self);
    }
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Aborted, None);
        }
    }
}
