//! The spans of a batch's webhooks (`process <queue>`) and of the attempts to send their effects (`send <effect>`).
//!
//! A webhook's span is the parent of what it brings about: its context takes the place of the one that the message came
//! with, and goes from there into the outbox and to the elements of a body. On the retry ladder the message keeps its own:
//! attempts stand beside each other.

use shared::db::outbox::{Lease, Settlement};
use shared::traces::{self, Span, names};

use crate::batch::Arrival;
use crate::ladder::Fate;

/// The spans of a batch, in the order of its arrivals; empty where none are made. They end together, when it is dropped:
/// when every webhook of the batch has its verdict.
#[derive(Default)]
pub(crate) struct Spans(Vec<Option<Span>>);

impl Spans {
    /// Begins one for each arrival of a queue.
    pub(crate) fn begin(queue: &str, arrivals: &mut [Arrival]) -> Self {
        if !traces::is_on() {
            return Self::default();
        }
        Self(arrivals.iter_mut().map(|arrival| begin(queue, arrival)).collect())
    }

    /// This became of a webhook.
    pub(crate) fn settled(&self, position: usize, outcome: &'static str) {
        if let Some(Some(span)) = self.0.get(position) {
            span.set(names::OUTCOME, outcome);
        }
    }

    /// A webhook was not processed, and goes there.
    pub(crate) fn failed(&self, position: usize, fate: &Fate) {
        let Some(Some(span)) = self.0.get(position) else { return };
        let (outcome, error) = match fate {
            Fate::Retry { error, .. } => ("retried", error),
            Fate::Park { detail, .. } => ("parked", detail),
        };
        span.set(names::OUTCOME, outcome);
        span.fail(fate.error_type(), error.clone());
    }
}

fn begin(queue: &str, arrival: &mut Arrival) -> Option<Span> {
    let message = &mut arrival.message;
    let span = Span::consumer(queue, message.traceparent.as_deref())?;
    message.traceparent = Some(span.traceparent());
    if !span.is_recorded() {
        return Some(span);
    }
    span.set(names::MESSAGING_MESSAGE_ID, message.id.clone());
    span.set(names::MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(message.body.len()).unwrap_or(i64::MAX));
    span.set(names::WEBHOOK_SOURCE, message.source.to_string());
    span.set(names::WEBHOOK_ID, message.id.clone());
    span.set(names::WEBHOOK_TOPIC, message.topic.clone());
    span.set(names::ATTEMPT, i64::from(message.attempt));
    Some(span)
}

/// Begins the span of an attempt.
pub(crate) fn sending(lease: &Lease) -> Option<Span> {
    let span = Span::client(|| format!("send {}", lease.effect), lease.traceparent.as_deref())?;
    span.set(names::EFFECT, lease.effect.clone());
    span.set(names::EFFECT_KEY, lease.dedupe_key.clone());
    span.set(names::ATTEMPT, i64::from(lease.attempts));
    lease.webhook_id.iter().for_each(|id| span.set(names::WEBHOOK_ID, id.clone()));
    Some(span)
}

/// How an attempt ended.
pub(crate) fn sent(span: &Span, outcome: &'static str, settlement: &Settlement) {
    span.set(names::OUTCOME, outcome);
    match settlement {
        Settlement::Sent => {}
        Settlement::Retry { error, .. } | Settlement::Failed { error } | Settlement::Ambiguous { error, .. } => {
            span.fail(outcome, error.clone());
        }
    }
}
