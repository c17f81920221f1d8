//! What was sent and what was answered: one side of the comparison that the checker makes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::shop::{Order, Webhook};

/// One webhook's deliveries.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) order: Order,
    pub(crate) body: Bytes,
    /// When the delivery began that got the first 2xx.
    pub(crate) accepted_at: Option<Instant>,
}

/// How one delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A status code.
    Status(u16),
    /// No answer: refused, reset, or not within the provider's patience.
    None,
}

/// All deliveries of a run.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By webhook id.
    pub(crate) webhooks: BTreeMap<String, Sent>,
    /// Deliveries by status; 0 for those without an answer.
    pub(crate) answers: BTreeMap<u16, u64>,
    /// The longest that a 2xx took.
    pub(crate) worst_answer: Duration,
}

impl History {
    /// A delivery begins.
    pub(crate) fn sends(&mut self, webhook: &Webhook) {
        let first = || Sent { order: webhook.order.clone(), body: webhook.body.clone(), accepted_at: None };
        self.webhooks.entry(webhook.id.clone()).or_insert_with(first);
    }

    /// A delivery has ended; tells whether the provider is content.
    pub(crate) fn hears(&mut self, webhook: &Webhook, answer: Answer, began: Instant) -> bool {
        let took = began.elapsed();
        let status = if let Answer::Status(status) = answer { status } else { 0 };
        *self.answers.entry(status).or_default() += 1;
        let accepted = (200..300).contains(&status);
        if accepted {
            self.worst_answer = self.worst_answer.max(took);
            if let Some(sent) = self.webhooks.get_mut(&webhook.id) {
                sent.accepted_at.get_or_insert(began);
            }
        }
        accepted
    }

    /// Webhooks that were answered 2xx.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = (&String, &Sent)> {
        self.webhooks.iter().filter(|(_, sent)| sent.accepted_at.is_some())
    }

    /// Deliveries that got another answer than 2xx.
    pub(crate) fn answered_otherwise(&self) -> u64 {
        self.answers.iter().filter(|(status, _)| **status != 0 && !(200..300).contains(*status)).map(|(_, n)| n).sum()
    }

    /// Deliveries without an answer.
    pub(crate) fn unanswered(&self) -> u64 {
        self.answers.get(&0).copied().unwrap_or(0)
    }
}
