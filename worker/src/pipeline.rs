//! From a batch of arrivals to verdicts: triage, plan, apply, settle. Holds no AMQP types.
//!
//! Invariant: a verdict is given only for what is committed. The pipeline returns when every
//! arrival has one; while the database is away it waits and tries again, and no attempt is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Client, Pool};
use shared::backoff::Backoff;
use shared::config::ChangedBody;
use shared::db::parked_webhooks::ParkReason;
use shared::db::{self, webhook_payloads};
use shared::error_chain::error_chain;
use shared::message::Message;
use tokio::sync::Notify;

use crate::batch::{Arrival, Outcome, Planned, Trouble, Verdict};
use crate::ladder::Ladder;
use crate::metrics::Metrics;
use crate::planning::{PlanningError, WatchedPlanner};
use crate::rules::Rules;
use crate::settlement::{self, Parked};
use crate::splitter::{Split, Splitter};
use crate::transaction::{self, Applied, ApplyError};

/// Everything that processing a batch needs.
pub(crate) struct Pipeline {
    pub(crate) pool: Pool,
    /// How long the database may take for a transaction.
    pub(crate) patience: Duration,
    pub(crate) planner: WatchedPlanner,
    pub(crate) ladder: Ladder,
    pub(crate) rules: Rules,
    pub(crate) metrics: Arc<Metrics>,
    /// Rung when the outbox has new rows.
    pub(crate) outbox_bell: Arc<Notify>,
    /// Whether the last try of a batch found the database away or busy.
    pub(crate) waiting: AtomicBool,
}

impl Pipeline {
    /// Processes a batch; the verdicts are in the order of the arrivals.
    pub(crate) async fn process(&self, arrivals: Vec<Arrival>) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Ack; arrivals.len()];
        let (healthy, mut unprocessed) = self.triage(arrivals);
        let planned = self.plan(healthy, &mut unprocessed).await;
        unprocessed.extend(self.apply(planned).await);
        for (position, message, trouble) in unprocessed {
            let verdict = self.park_or_retry(&message, trouble).await;
            if let Some(place) = verdicts.get_mut(position) {
                *place = verdict;
            }
        }
        verdicts
    }

    /// Waits until the database answers. Deliveries that nobody can settle are not taken: after
    /// half an hour the broker would take them back and count it against them.
    pub(crate) async fn database_ready(&self) {
        let mut backoff = Backoff::new();
        loop {
            let answer = match self.pool.get().await {
                Ok(client) => self.ask(client, async |client| client.batch_execute("").await).await,
                Err(error) => Err(error_chain(&error)),
            };
            match answer {
                Ok(()) => {
                    self.waiting.store(false, Ordering::Relaxed);
                    return;
                }
                Err(error) => tracing::warn!(error, "the database is away; nothing is taken from the queue"),
            }
            self.waiting.store(true, Ordering::Relaxed);
            backoff.pause().await;
        }
    }

    /// Whether a batch waits for the database.
    pub(crate) fn waits_for_database(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    fn triage(&self, arrivals: Vec<Arrival>) -> (Vec<(usize, Message)>, Vec<Unprocessed>) {
        let (mut healthy, mut unprocessed) = (Vec::new(), Vec::new());
        for (position, arrival) in arrivals.into_iter().enumerate() {
            match self.rules.objection(&arrival) {
                None => healthy.push((position, arrival.message)),
                Some(trouble) => unprocessed.push((position, arrival.message, trouble)),
            }
        }
        (healthy, unprocessed)
    }

    async fn plan(&self, healthy: Vec<(usize, Message)>, unprocessed: &mut Vec<Unprocessed>) -> Vec<Planned> {
        let (positions, messages): (Vec<usize>, Vec<Message>) = healthy.into_iter().unzip();
        let mut ready = Vec::with_capacity(positions.len());
        for (position, (message, plan)) in positions.into_iter().zip(self.planner.plan(messages).await) {
            match plan {
                Ok(plan) => ready.push(Planned { position, key: settlement::key(&message), message, plan }),
                Err(PlanningError::Plan(error)) => {
                    unprocessed.push((position, message, Trouble::Park(ParkReason::Plan, error_chain(&error))));
                }
                Err(error @ PlanningError::Panicked(_)) => {
                    unprocessed.push((position, message, Trouble::Retry(error.to_string())));
                }
            }
        }
        ready
    }

    /// Commits what can be committed; returns what stood alone.
    async fn apply(&self, planned: Vec<Planned>) -> Vec<Unprocessed> {
        let mut troubles = HashMap::new();
        let mut splitter = Splitter::new(planned.len());
        let mut backoff = Backoff::new();
        while let Some(range) = splitter.next() {
            let Some(batch) = planned.get(range.clone()) else { continue };
            match self.apply_once(batch).await {
                Ok(applied) => {
                    backoff.reset();
                    self.waiting.store(false, Ordering::Relaxed);
                    troubles.extend(self.note(range.start, batch, &applied));
                }
                Err(BatchError::Away(error)) => {
                    tracing::warn!(error, batch = batch.len(), "the database is away or busy; the batch waits");
                    self.metrics.database_waits.inc();
                    self.waiting.store(true, Ordering::Relaxed);
                    splitter.again(range);
                    backoff.pause().await;
                }
                Err(BatchError::TooSlow(error)) => {
                    tracing::warn!(error, batch = batch.len(), "the database takes too long; trying in halves");
                    if let Split::Alone(_) = splitter.split(range.clone()) {
                        splitter.again(range);
                        backoff.pause().await;
                    }
                }
                Err(BatchError::Spoiled(error)) => {
                    self.waiting.store(false, Ordering::Relaxed);
                    if let Split::Alone(index) = splitter.split(range) {
                        troubles.insert(index, trouble(&error));
                    }
                }
            }
        }
        let take = |(index, planned): (usize, Planned)| {
            troubles.remove(&index).map(|trouble| (planned.position, planned.message, trouble))
        };
        planned.into_iter().enumerate().filter_map(take).collect()
    }

    async fn apply_once(&self, batch: &[Planned]) -> Result<Applied, BatchError> {
        let client = self.client().await?;
        let timer = std::time::Instant::now();
        let applying = db::answer_within(self.patience, client, async |client| transaction::apply(client, batch).await);
        match applying.await.map_err(|silent| BatchError::Away(silent.to_string()))? {
            Ok(applied) => {
                self.metrics.batch_size.observe(u32::try_from(batch.len()).map_or(f64::MAX, f64::from));
                self.metrics.transaction_duration.observe(timer.elapsed().as_secs_f64());
                if applied.new_effects > 0 {
                    self.outbox_bell.notify_one();
                }
                Ok(applied)
            }
            Err(error @ ApplyError::Database(_)) => Err(BatchError::Away(error_chain(&error))),
            Err(error @ ApplyError::NoPartition) => {
                self.make_partitions().await;
                Err(BatchError::Away(error_chain(&error)))
            }
            Err(error @ ApplyError::TooSlow(_)) => Err(BatchError::TooSlow(error_chain(&error))),
            Err(error) => Err(BatchError::Spoiled(error)),
        }
    }

    async fn make_partitions(&self) {
        let Ok(client) = self.client().await else { return }; // the next try of the batch says so
        let making = async |client: &mut Client| webhook_payloads::make_partitions(client).await;
        let failed = match db::answer_within(self.patience, client, making).await {
            Ok(Ok(_made)) => return,
            Ok(Err(error)) => error_chain(&error),
            Err(silent) => silent.to_string(),
        };
        tracing::error!(error = failed, "cannot make the payload partitions");
    }

    /// Asks the database something that can only fail because of the database.
    async fn ask<T>(
        &self,
        client: Client,
        question: impl AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, String> {
        let answer = db::answer_within(self.patience, client, question).await;
        answer.map_err(|silent| silent.to_string())?.map_err(|error| error_chain(&error))
    }

    async fn client(&self) -> Result<Client, BatchError> {
        self.pool.get().await.map_err(|error| BatchError::Away(error_chain(&error)))
    }

    /// Logs and counts what the commit of a range did; `start` is where the range begins. A changed
    /// body may yet have to be parked.
    fn note(&self, start: usize, batch: &[Planned], applied: &Applied) -> Vec<(usize, Trouble)> {
        self.metrics.conflicting_sales.inc_by(applied.conflicting_sales);
        let mut troubles = Vec::new();
        for (index, (planned, outcome)) in (start..).zip(batch.iter().zip(&applied.outcomes)) {
            self.metrics.processed(&planned.message, *outcome);
            let (message, changed) = (&planned.message, *outcome == Outcome::Duplicate { changed_body: true });
            tracing::info!(
                webhook.source = %message.source, webhook.id = message.id, webhook.topic = message.topic,
                attempt = message.attempt, outcome = outcome.as_str(), "webhook processed"
            );
            if changed && self.rules.changed_body.get(&message.source) == Some(&ChangedBody::Park) {
                let detail = "its id was processed with another body".to_owned();
                troubles.push((index, Trouble::Park(ParkReason::ChangedBody, detail)));
            }
        }
        troubles
    }

    /// Writes down what happens to a webhook that was not processed; waits for the database.
    async fn park_or_retry(&self, message: &Message, trouble: Trouble) -> Verdict {
        let mut backoff = Backoff::new();
        loop {
            let written = match self.pool.get().await {
                Ok(client) => {
                    let write = async |client: &mut Client| self.park_or_retry_once(client, message, &trouble).await;
                    self.ask(client, write).await
                }
                Err(error) => Err(error_chain(&error)),
            };
            match written {
                Ok(verdict) => return verdict,
                Err(error) => {
                    tracing::warn!(webhook.id = message.id, error, "cannot write the failure down; trying again");
                    backoff.pause().await;
                }
            }
        }
    }

    async fn park_or_retry_once(
        &self,
        client: &mut Client,
        message: &Message,
        trouble: &Trouble,
    ) -> Result<Verdict, tokio_postgres::Error> {
        let (reason, detail) = match trouble {
            Trouble::Retry(error) => match self.ladder.next(message.attempt) {
                Some(delay) => {
                    settlement::record_retry(client, message, error).await?;
                    self.metrics.retried(message);
                    tracing::warn!(
                        webhook.source = %message.source, webhook.id = message.id, attempt = message.attempt, error,
                        delay_s = delay.as_secs(), "webhook failed; it goes to the retry ladder"
                    );
                    return Ok(Verdict::Retry(delay));
                }
                None => (ParkReason::RetriesExhausted, error),
            },
            Trouble::Park(reason, detail) => (*reason, detail),
        };
        let operator = self.rules.operator.as_deref();
        let parked = settlement::park(client, message, reason, detail, operator).await?;
        if parked == Parked::Parked {
            self.metrics.parked(message, reason);
            self.outbox_bell.notify_one();
            tracing::error!(
                webhook.source = %message.source, webhook.id = message.id, webhook.topic = message.topic,
                attempt = message.attempt, reason = reason.as_str(), detail, "webhook parked"
            );
        } else {
            self.metrics.processed(message, Outcome::Duplicate { changed_body: false });
        }
        Ok(Verdict::Ack)
    }
}

/// A webhook that was not processed: its position among the arrivals, itself, and why.
type Unprocessed = (usize, Message, Trouble);

/// Why a batch was not committed.
enum BatchError {
    /// Not its fault: try it whole again.
    Away(String),
    /// Perhaps its fault: try it in halves, and what stands alone again.
    TooSlow(String),
    /// A webhook in it is at fault.
    Spoiled(ApplyError),
}

/// What to do with the webhook that stood alone.
fn trouble(error: &ApplyError) -> Trouble {
    match error {
        ApplyError::UnknownSku(_) => Trouble::Park(ParkReason::UnknownSku, error.to_string()),
        ApplyError::Data(_) => Trouble::Park(ParkReason::Data, error_chain(error)),
        ApplyError::Database(_) | ApplyError::TooSlow(_) | ApplyError::NoPartition | ApplyError::Unknown(_) => {
            Trouble::Retry(error_chain(error))
        }
    }
}
