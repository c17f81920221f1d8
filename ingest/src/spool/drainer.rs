//! The drainer: publishes what is in the spool, the oldest first, while the broker takes messages.
//!
//! One record at a time, each with its confirm, so that the order of receipt holds within a replica's spool; and
//! no faster than `spool.drain_per_second`, so that fresh webhooks are not delayed (they may overtake). A file goes
//! when all of it is confirmed. Whatever fails is tried again after a pause, never at once.
//!
//! A file that cannot be read, published or taken away is put off, and those behind it go first: of the order, they
//! keep what can be kept. A message that the broker answers by closing the channel, alone, can never be published.
//!
//! When its own spool is empty, it looks after those whose ingest is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use shared::amqp::{LinkState, PublishError, Publisher};
use shared::backoff::Backoff;
use shared::failpoint;
use shared::message::Message;
use shared::spool::{Batch, BatchName, Deferral, Progress, Replica, Settlement, Store};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::adoption::Adoption;
use super::metrics::Metrics;
use crate::breaker::Breaker;

/// A round: how often other replicas' directories are looked at, and files that were put off come nearer their turn.
const ROUND: Duration = Duration::from_secs(10);
/// How often the connection may be lost with a record in hand before others go first.
const LOSSES: u32 = 3;

/// The drainer's task.
pub(crate) struct Drainer {
    pub(crate) store: Arc<Store<Replica>>,
    pub(crate) publisher: Publisher,
    pub(crate) queue: Arc<str>,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) per_second: u32,
    pub(crate) metrics: Metrics,
    /// Tells of new files.
    pub(crate) written: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

/// What became of one record.
enum Sent {
    Confirmed,
    /// It can never be published.
    Unpublishable,
    /// The connection was lost each time that it was tried.
    Lost,
}

/// Told to stop: what is not settled stays in its file.
struct Stopped;

impl Drainer {
    /// Works until it is told to stop. A publish that is under way then is given up; its file stays.
    pub(crate) async fn run(self, adoption: Adoption) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ended = self.work(adoption) => {}
        }
    }

    async fn work(&self, mut adoption: Adoption) -> Result<(), Stopped> {
        let mut pace = interval(Duration::from_secs(1) / self.per_second.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.drain(&self.store, &mut pace).await?;
            for orphan in adoption.stores() {
                self.drain(orphan, &mut pace).await?;
            }
            self.metrics.adopted_deferred.set(adoption.deferred_files());
            tokio::select! {
                () = self.written.notified() => {}
                _now = round.tick() => {
                    adoption.look().await;
                    self.store.pass_round();
                    adoption.stores().iter().for_each(|store| store.pass_round());
                }
            }
        }
    }

    /// Publishes all files of a store whose turn it is.
    async fn drain(&self, store: &Arc<Store<Replica>>, pace: &mut Interval) -> Result<(), Stopped> {
        while let Some(name) = store.oldest() {
            match attempt(store, move |store| store.read(name)).await {
                Ok(batch) => self.publish(store, name, batch, pace).await?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::error!(file = %name, "a spooled file was taken away by somebody else");
                    store.forget(name);
                }
                Err(error) => defer(store, name, None, &format!("it cannot be read: {error}")),
            }
        }
        Ok(())
    }

    /// Publishes one file and settles it.
    async fn publish(
        &self,
        store: &Arc<Store<Replica>>,
        name: BatchName,
        batch: Batch,
        pace: &mut Interval,
    ) -> Result<(), Stopped> {
        let mut progress = store.progress(name, &batch);
        let mut lost = 0;
        for (record, message) in batch.messages.iter().enumerate() {
            if !progress.is_open(record) {
                continue;
            }
            match self.confirm(message, pace).await? {
                Sent::Confirmed => {
                    progress.confirm(record);
                    self.metrics.drained.inc();
                }
                Sent::Unpublishable => progress.give_up(record),
                Sent::Lost => lost += 1,
            }
        }
        failpoint::reach("spool.published");
        if lost > 0 {
            defer(store, name, Some(progress), &format!("the connection is lost with {lost} of its webhooks"));
            return Ok(());
        }
        let unpublishable = progress.unpublishable();
        let settlement = Settlement::of(&batch, unpublishable);
        if let Err(error) = attempt(store, move |store| store.settle(name, settlement)).await {
            defer(store, name, Some(progress), &format!("it is published and cannot be taken away: {error}"));
            return Ok(());
        }
        if settlement == Settlement::SetAside {
            self.metrics.set_aside.inc();
            let damage: Vec<String> = batch.damage.iter().map(ToString::to_string).collect();
            tracing::error!(
                file = %name,
                published = batch.messages.len() - unpublishable,
                unpublishable,
                damage = damage.join("; "),
                "a spooled file is damaged, or the broker never takes something of it, and was moved to corrupt/; the rest was published"
            );
        }
        Ok(())
    }

    /// Publishes a record until it is confirmed, or it is plain that others should go first.
    async fn confirm(&self, message: &Message, pace: &mut Interval) -> Result<Sent, Stopped> {
        let (mut backoff, mut losses) = (Backoff::new(), 0);
        while losses < LOSSES {
            let mut link = self.publisher.link();
            link.wait_for(|state| *state == LinkState::Up).await.map_err(|_ended| Stopped)?;
            drop(link);
            pace.tick().await;
            // Once lost it goes alone, so that neither is it blamed for others, nor they for it.
            let published = match losses {
                0 => self.publisher.publish(&self.queue, message).await,
                _ => self.publisher.publish_alone(&self.queue, message).await,
            };
            match published {
                Ok(()) => {
                    self.breaker.succeeded();
                    return Ok(Sent::Confirmed);
                }
                Err(error) if error.is_for_good() => return Ok(Sent::Unpublishable),
                Err(PublishError::Stopped) => return Err(Stopped),
                Err(error) => {
                    tracing::debug!(%error, "the broker does not take a spooled webhook yet");
                    losses += u32::from(error == PublishError::Lost);
                    backoff.pause().await;
                }
            }
        }
        Ok(Sent::Lost)
    }
}

/// Does something with a file, off the async threads.
async fn attempt<T: Send + 'static>(
    store: &Arc<Store<Replica>>,
    doing: impl FnOnce(&Store<Replica>) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || doing(&store)).await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
}

/// Lets others go first. Said loudly once; `/readyz` and the metrics say it for as long as it lasts.
fn defer(store: &Store<Replica>, file: BatchName, progress: Option<Progress>, why: &str) {
    match store.defer(file, progress) {
        Deferral::First => tracing::error!(%file, why, "a spooled file is put off and stays in new/"),
        Deferral::Again => tracing::debug!(%file, why, "a spooled file is put off again"),
    }
}
