//! What becomes of a body with several webhooks: they go their own way, and where some can't, the body is parked as well.

use shared::backoff::Backoff;
use shared::db::parked_webhooks::ParkReason;
use shared::error_chain::error_chain;
use shared::message::Message;

use crate::batch::Verdict;
use crate::bundles::Opened;
use crate::ladder::Fate;
use crate::pipeline::Pipeline;
use crate::settlement;

impl Pipeline {
    /// Writes down what there is to be written down of the body itself; waits for the database.
    pub(crate) async fn scatter(&self, message: &Message, opened: Opened) -> Verdict {
        self.metrics.scattered(message, opened.elements.len());
        tracing::info!(
            webhook.source = %message.source, webhook.id = message.id, trace_id = message.trace_id(),
            elements = opened.elements.len(),
            "a body with several webhooks is taken apart"
        );
        match opened.problem {
            Some(problem) => {
                self.record(message, &Fate::Park { reason: ParkReason::Unreadable, detail: problem }).await;
            }
            // It may have been parked or retried before, and can be taken apart now.
            None => self.resolve(message).await,
        }
        if opened.elements.is_empty() { Verdict::Ack } else { Verdict::Scatter(opened.elements) }
    }

    async fn resolve(&self, message: &Message) {
        let mut backoff = Backoff::new();
        loop {
            let resolved = match self.pool.get().await {
                Ok(client) => self.ask(client, async |client| settlement::resolve(client, message).await).await,
                Err(error) => Err(error_chain(&error)),
            };
            let Err(error) = resolved else { return };
            let trace_id = message.trace_id();
            tracing::warn!(
                webhook.id = message.id,
                trace_id,
                error,
                "cannot note that a body is taken apart; trying again"
            );
            backoff.pause().await;
        }
    }
}
