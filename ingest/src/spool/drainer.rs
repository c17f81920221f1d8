//! The drainer: publishes what is in the spool, the oldest first, while the broker takes messages.
//!
//! One record at a time, each with its confirm, so that the order of receipt holds within a replica's spool; and
//! no faster than `spool.drain_per_second`, so that fresh webhooks are not delayed (they may overtake). A file goes
//! when all of it is confirmed. Whatever fails is tried again after a pause, never at once.
//!
//! When its own spool is empty, it looks after those whose ingest is gone.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::amqp::{LinkState, PublishError, Publisher};
use shared::backoff::Backoff;
use shared::error_chain::error_chain;
use shared::message::Message;
use shared::spool::{Batch, BatchName, DirectoryError, Limits, Replica, Settlement, Store};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::breaker::Breaker;

/// How often other replicas' directories are looked at.
const ADOPT_EVERY: Duration = Duration::from_secs(10);

/// The drainer's task.
pub(crate) struct Drainer {
    pub(crate) store: Arc<Store<Replica>>,
    /// Where all replicas' directories are.
    pub(crate) root: PathBuf,
    pub(crate) limits: Limits,
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
}

/// Told to stop: what is not settled stays in its file.
struct Stopped;

impl Drainer {
    /// Works until it is told to stop. A publish that is under way then is given up; its file stays.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ended = self.work() => {}
        }
    }

    async fn work(&self) -> Result<(), Stopped> {
        let mut pace = interval(Duration::from_secs(1) / self.per_second.max(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.drain(&self.store, &mut pace).await?;
            for orphan in self.orphans().await {
                self.drain(&orphan, &mut pace).await?;
            }
            tokio::select! {
                () = self.written.notified() => {}
                () = sleep(ADOPT_EVERY) => {}
            }
        }
    }

    /// Publishes all files of a store.
    async fn drain(&self, store: &Arc<Store<Replica>>, pace: &mut Interval) -> Result<(), Stopped> {
        while let Some(name) = store.oldest() {
            let read = self.insist("read", name, store, move |store| match store.read(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some),
            });
            match read.await {
                Some(batch) => self.publish(store, name, batch, pace).await?,
                None => {
                    tracing::error!(file = %name, "a spooled file was taken away by somebody else");
                    store.forget(name);
                }
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
        let mut unpublishable = 0;
        for message in &batch.messages {
            match self.confirm(message, pace).await? {
                Sent::Confirmed => {
                    self.metrics.drained.inc();
                }
                Sent::Unpublishable => unpublishable += 1,
            }
        }
        let settlement = Settlement::of(&batch, unpublishable);
        self.insist("settle", name, store, move |store| store.settle(name, settlement)).await;
        if settlement == Settlement::SetAside {
            self.metrics.set_aside.inc();
            let damage: Vec<String> = batch.damage.iter().map(ToString::to_string).collect();
            tracing::error!(
                file = %name,
                published = batch.messages.len() - unpublishable,
                unpublishable,
                damage = damage.join("; "),
                "a spooled file is damaged and was moved to corrupt/; what could be read of it was published"
            );
        }
        Ok(())
    }

    /// Publishes a record until it is confirmed.
    async fn confirm(&self, message: &Message, pace: &mut Interval) -> Result<Sent, Stopped> {
        let mut backoff = Backoff::new();
        loop {
            let mut link = self.publisher.link();
            link.wait_for(|state| *state == LinkState::Up).await.map_err(|_ended| Stopped)?;
            drop(link);
            pace.tick().await;
            match self.publisher.publish(&self.queue, message).await {
                Ok(()) => {
                    self.breaker.succeeded();
                    return Ok(Sent::Confirmed);
                }
                Err(PublishError::Unencodable) => return Ok(Sent::Unpublishable),
                Err(PublishError::Stopped) => return Err(Stopped),
                Err(error) => {
                    tracing::debug!(%error, "the broker does not take a spooled webhook yet");
                    backoff.pause().await;
                }
            }
        }
    }

    /// Does something with a file, off the async threads, until the disk lets it.
    async fn insist<T: Send + 'static>(
        &self,
        what: &'static str,
        name: BatchName,
        store: &Arc<Store<Replica>>,
        doing: impl Fn(&Store<Replica>) -> io::Result<T> + Clone + Send + 'static,
    ) -> T {
        let mut backoff = Backoff::new();
        loop {
            let (store, doing) = (Arc::clone(store), doing.clone());
            let outcome = tokio::task::spawn_blocking(move || doing(&store)).await;
            match outcome.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
                Ok(done) => return done,
                Err(error) => tracing::error!(file = %name, %error, "cannot {what} a spooled file"),
            }
            backoff.pause().await;
        }
    }

    /// The spools whose ingest is gone, locked, and of those the ones with something in them.
    async fn orphans(&self) -> Vec<Arc<Store<Replica>>> {
        let (root, limits) = (self.root.clone(), self.limits);
        let found = tokio::task::spawn_blocking(move || adopt(&root, limits)).await;
        match found {
            Ok(Ok(stores)) => stores,
            Ok(Err(error)) => {
                tracing::error!(error = error_chain(&error), "cannot look for orphaned spools");
                Vec::new()
            }
            Err(ended) => {
                tracing::error!(error = %ended, "cannot look for orphaned spools");
                Vec::new()
            }
        }
    }
}

fn adopt(root: &std::path::Path, limits: Limits) -> Result<Vec<Arc<Store<Replica>>>, DirectoryError> {
    let mut stores = Vec::new();
    for replica in Replica::orphans(root)? {
        let path = replica.path().display().to_string();
        match Store::open(replica, limits) {
            Ok(store) if store.oldest().is_some() => {
                tracing::info!(directory = path, "adopting an orphaned spool");
                stores.push(Arc::new(store));
            }
            Ok(_empty) => {}
            Err(error) => tracing::error!(directory = path, error = error_chain(&error), "cannot adopt a spool"),
        }
    }
    Ok(stores)
}
