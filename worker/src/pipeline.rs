//! From a batch of arrivals to verdicts: triage, plan, apply, settle. Holds no AMQP types.
//!
//! Invariant: a verdict is given only for what is committed. The pipeline returns when every
//! arrival has one; while the database is away it waits and tries again, and no attempt is counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool};
use shared::backoff::Backoff;
use shared::db::parked_webhooks::ParkReason;
use shared::db::{self, migrate, webhook_payloads};
use shared::error_chain::error_chain;
use shared::message::Message;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

use crate::batch::{Arrival, Outcome, Planned, Trouble, Verdict};
use crate::bundles::Opened;
use crate::course::{BatchError, Course, Pace, Step, Unprocessed};
use crate::in_hand;
use crate::ladder::{Fate, Ladder};
use crate::metrics::{Metrics, PanicPlace};
use crate::planning::{PlanningError, WatchedPlanner};
use crate::replays::Replays;
use crate::rules::Rules;
use crate::settlement::{self, Failed, Parked};
use crate::spans::Spans;
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
    /// What the last try of a batch waited for.
    pub(crate) waits_for: watch::Sender<WaitsFor>,
}

/// What a batch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    Nothing,
    /// The database, which is away or busy.
    Database,
    /// Somebody who migrates the database, which is older than this worker.
    Schema,
}

impl Pipeline {
    /// Triages and plans a batch. Nothing has happened yet: what is prepared may be dropped.
    pub(crate) async fn prepare(&self, arrivals: Vec<Arrival>, spans: Spans) -> Prepared {
        let (began, count) = (Instant::now(), arrivals.len());
        let oldest = in_hand::oldest(arrivals.iter().map(|arrival| &arrival.message));
        let Triage { healthy, bundles, mut unprocessed } = self.triage(arrivals);
        let planned = self.plan(healthy, &mut unprocessed).await;
        Prepared { began, oldest, count, bundles, planned, unprocessed, spans }
    }

    /// Processes a batch; the verdicts are in the order of the arrivals.
    pub(crate) async fn process(&self, prepared: Prepared) -> Vec<Verdict> {
        let Prepared { began, count, bundles, planned, unprocessed, spans, .. } = prepared;
        let mut scattered = Vec::with_capacity(bundles.len());
        for (position, message, opened) in bundles {
            scattered.push((position, self.scatter(&message, opened).await));
            spans.settled(position, "scattered");
        }
        let mut course = Course::new(count, planned, unprocessed);
        let mut backoff = Backoff::new();
        loop {
            let pace = match course.next(&self.ladder) {
                Step::Commit(batch) => match self.commit(batch, &spans).await {
                    Ok(troubles) => {
                        backoff.reset();
                        self.metrics.settled("", batch.len() - troubles.len(), began.elapsed());
                        course.committed(troubles);
                        Pace::GoOn
                    }
                    Err(error) => course.failed(error),
                },
                Step::Record(position, message, fate) => {
                    self.record(message, &fate).await;
                    spans.failed(position, &fate);
                    self.metrics.settled(fate.error_type(), 1, began.elapsed());
                    course.recorded(fate.verdict());
                    Pace::GoOn
                }
                Step::Done(mut verdicts) => {
                    for (position, verdict) in scattered {
                        if let Some(place) = verdicts.get_mut(position) {
                            *place = verdict;
                        }
                    }
                    return verdicts;
                }
            };
            if pace == Pace::Pause {
                backoff.pause().await;
            }
        }
    }

    /// Waits until the database answers and has the schema that is needed. Deliveries that nobody can settle are not
    /// taken: after half an hour the broker would take them back and count it against them.
    pub(crate) async fn database_ready(&self) {
        let mut backoff = Backoff::new();
        loop {
            let missing = match self.pool.get().await {
                Ok(client) => self.ask(client, async |client| migrate::missing(client).await).await,
                Err(error) => Err(error_chain(&error)),
            };
            let waits_for = match missing {
                Ok(missing) if missing.is_empty() => WaitsFor::Nothing,
                Ok(missing) => {
                    let missing = missing.join(", ");
                    tracing::warn!(missing, "the database is not migrated; nothing is taken from the queue");
                    WaitsFor::Schema
                }
                Err(error) => {
                    tracing::warn!(error, "the database is away; nothing is taken from the queue");
                    WaitsFor::Database
                }
            };
            self.waits_for.send_replace(waits_for);
            if waits_for == WaitsFor::Nothing {
                return;
            }
            backoff.pause().await;
        }
    }

    /// What a batch, or the next one, waits for.
    pub(crate) fn waits_for(&self) -> WaitsFor {
        *self.waits_for.borrow()
    }

    fn triage(&self, arrivals: Vec<Arrival>) -> Triage {
        let mut triage = Triage::default();
        for (position, arrival) in arrivals.into_iter().enumerate() {
            let objection = self.rules.objection(&arrival);
            let message = arrival.message;
            if let Some(trouble) = objection {
                triage.unprocessed.push((position, message, trouble)); // and nobody looks into it
            } else if let Some(opened) = self.rules.bundles.open(&message) {
                triage.bundles.push((position, message, opened));
            } else {
                triage.healthy.push((position, message));
            }
        }
        triage
    }

    async fn plan(&self, healthy: Vec<(usize, Message)>, unprocessed: &mut Vec<Unprocessed>) -> Vec<Planned> {
        let (positions, messages): (Vec<usize>, Vec<Message>) = healthy.into_iter().unzip();
        let mut ready = Vec::with_capacity(positions.len());
        for (position, (message, plan)) in positions.into_iter().zip(self.planner.plan(messages).await) {
            match plan {
                Ok(plan) => {
                    let (key, defence) = (settlement::key(&message), self.rules.defence(&message));
                    ready.push(Planned { position, key, message, plan, defence });
                }
                Err(PlanningError::Plan(error)) => {
                    unprocessed.push((position, message, Trouble::Park(ParkReason::Plan, error_chain(&error))));
                }
                Err(error @ PlanningError::Panicked(_)) => {
                    self.metrics.panicked(PanicPlace::Planning);
                    unprocessed.push((position, message, Trouble::Retry(error.to_string())));
                }
            }
        }
        ready
    }

    /// Commits a batch, and tells the outcome to logs and metrics. Returns what is yet to be written
    /// down of it, by position.
    async fn commit(&self, batch: &[Planned], spans: &Spans) -> Result<Vec<(usize, Trouble)>, BatchError> {
        let outcome = self.commit_once(batch).await;
        let is_away = matches!(outcome, Err(BatchError::Away(_)));
        self.waits_for.send_replace(if is_away { WaitsFor::Database } else { WaitsFor::Nothing });
        match &outcome {
            Ok(applied) => return Ok(self.note(batch, applied, spans)),
            Err(BatchError::Away(error)) => {
                tracing::warn!(error, batch = batch.len(), "the database is away or busy; the batch waits");
                self.metrics.database_waits.inc();
            }
            Err(BatchError::TooSlow(error)) => {
                tracing::warn!(error, batch = batch.len(), "the database takes too long; trying in halves");
            }
            Err(BatchError::Spoiled(_)) => {}
        }
        outcome.map(|_applied| Vec::new())
    }

    async fn commit_once(&self, batch: &[Planned]) -> Result<Applied, BatchError> {
        let client = self.client().await?;
        let timer = std::time::Instant::now();
        let applying = db::answer_within(self.patience, client, async |client| transaction::apply(client, batch).await);
        let applied = applying.await.map_err(|silent| BatchError::Away(silent.to_string()))?;
        if let Err(ApplyError::NoPartition) = applied {
            self.make_partitions().await;
        }
        let applied = applied.map_err(|error| blame(&error))?;
        self.metrics.committed(batch, timer.elapsed());
        if applied.new_effects > 0 {
            self.outbox_bell.notify_one();
        }
        Ok(applied)
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
    pub(crate) async fn ask<T>(
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

    /// Logs and counts what a commit did, and finds what its outcomes call for.
    fn note(&self, batch: &[Planned], applied: &Applied, spans: &Spans) -> Vec<(usize, Trouble)> {
        self.metrics.conflicting_sales.inc_by(applied.conflicting_sales);
        self.note_replays(batch, &applied.replays);
        let mut troubles = Vec::new();
        for (offset, (planned, outcome)) in batch.iter().zip(&applied.outcomes).enumerate() {
            let message = &planned.message;
            self.metrics.processed(message, *outcome);
            spans.settled(planned.position, outcome.as_str());
            tracing::info!(
                webhook.source = %message.source, webhook.id = message.id, webhook.topic = message.topic,
                trace_id = message.trace_id(), attempt = message.attempt, outcome = outcome.as_str(), "webhook processed"
            );
            troubles.extend(self.rules.afterthought(message, *outcome).map(|trouble| (offset, trouble)));
        }
        troubles
    }

    fn note_replays(&self, batch: &[Planned], replays: &Replays) {
        for planned in batch {
            let (first, dropped) = match (replays.flagged.get(&planned.key), replays.dropped.get(&planned.key)) {
                (Some(first), _) => (first, false),
                (None, Some(first)) => (first, true),
                (None, None) => continue,
            };
            self.metrics.replayed(&planned.message, dropped);
            tracing::warn!(
                webhook.source = %planned.message.source, webhook.id = planned.message.id,
                trace_id = planned.message.trace_id(), first, dropped,
                "this body was processed before, under another id that its provider does not sign"
            );
        }
    }

    /// Writes down what happens to a webhook that was not processed; waits for the database.
    pub(crate) async fn record(&self, message: &Message, fate: &Fate) {
        // Nobody looks into what ends whoever handles it, or is not what it says to be.
        let keys = if fate.is_safe_to_read() { self.planner.search_keys(message.clone()).await } else { Vec::new() };
        let failed = Failed { message, keys: &keys };
        let mut backoff = Backoff::new();
        loop {
            let written = match self.pool.get().await {
                Ok(client) => self.ask(client, async |client| self.record_once(client, failed, fate).await).await,
                Err(error) => Err(error_chain(&error)),
            };
            let Err(error) = written else { return };
            let trace_id = message.trace_id();
            tracing::warn!(webhook.id = message.id, trace_id, error, "cannot write the failure down; trying again");
            backoff.pause().await;
        }
    }

    async fn record_once(
        &self,
        client: &mut Client,
        failed: Failed<'_>,
        fate: &Fate,
    ) -> Result<(), tokio_postgres::Error> {
        let message = failed.message;
        let (reason, detail) = match fate {
            Fate::Retry { delay, error } => {
                settlement::record_retry(client, failed, error).await?;
                self.metrics.retried(message);
                tracing::warn!(
                    webhook.source = %message.source, webhook.id = message.id, trace_id = message.trace_id(),
                    attempt = message.attempt, error, delay_s = delay.as_secs(), "webhook failed; it goes to the retry ladder"
                );
                return Ok(());
            }
            Fate::Park { reason, detail } => (*reason, detail),
        };
        let operator = self.rules.operator.as_deref();
        match settlement::park(client, failed, reason, detail, operator).await? {
            Parked::Parked => {
                self.metrics.parked(message, reason);
                self.outbox_bell.notify_one();
                tracing::error!(
                    webhook.source = %message.source, webhook.id = message.id, webhook.topic = message.topic,
                    trace_id = message.trace_id(), attempt = message.attempt, reason = reason.as_str(), detail, "webhook parked"
                );
            }
            Parked::Duplicate => self.metrics.processed(message, Outcome::Duplicate { changed_body: false }),
        }
        Ok(())
    }
}

/// A batch that waits to be committed.
pub(crate) struct Prepared {
    began: Instant,
    oldest: Option<OffsetDateTime>,
    /// How many arrivals it has.
    count: usize,
    /// To be taken apart.
    bundles: Vec<(usize, Message, Opened)>,
    planned: Vec<Planned>,
    unprocessed: Vec<Unprocessed>,
    spans: Spans,
}

impl Prepared {
    /// Since when the oldest webhook is on its way of those that were never tried.
    pub(crate) fn oldest(&self) -> Option<OffsetDateTime> {
        self.oldest
    }
}

/// A batch of arrivals, sorted by what is to be done with them, each with its position.
#[derive(Default)]
struct Triage {
    /// To be planned.
    healthy: Vec<(usize, Message)>,
    /// To be taken apart.
    bundles: Vec<(usize, Message, Opened)>,
    /// Not to be tried.
    unprocessed: Vec<Unprocessed>,
}

/// Whose fault it is that a batch was not committed, and what becomes of the webhook at fault.
fn blame(error: &ApplyError) -> BatchError {
    let text = error_chain(error);
    match error {
        ApplyError::Database(_) | ApplyError::NoPartition => BatchError::Away(text),
        ApplyError::TooSlow(_) => BatchError::TooSlow(text),
        ApplyError::UnknownSku(_) => BatchError::Spoiled(Trouble::Park(ParkReason::UnknownSku, text)),
        ApplyError::Data(_) => BatchError::Spoiled(Trouble::Park(ParkReason::Data, text)),
        ApplyError::Unknown(_) => BatchError::Spoiled(Trouble::Retry(text)),
    }
}
