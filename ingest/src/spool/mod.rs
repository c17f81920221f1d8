//! The spool: ingest's own disk, for the time the broker takes nothing.
//!
//! [`Spool::keep`] returns `Ok` when the webhook is in a batch file that is fsynced, with its name, and so survives
//! a crash of the process and of the machine. One [`writer`] thread makes the files, one [`drainer`] task publishes
//! and removes them; the form of the files and the order of steps that this rests on is [`shared::spool`], its
//! proof by simulated crashes `simulation/`.
//!
//! Invariant: whatever was answered 2xx is in a file of `new/` until the broker has confirmed it. Not promised: that
//! it is published once only (the claim absorbs what comes twice), an order across replicas, or that a webhook that
//! was answered 503 is not published nevertheless. A disk that loses what it said it had synced loses webhooks.

mod adoption;
mod drainer;
mod metrics;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod writer;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use prometheus_client::registry::Registry;
use shared::amqp::Publisher;
use shared::config::SpoolConfig;
use shared::message::Message;
use shared::spool::{DirectoryError, Limits, Replica, Store};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::adoption::Adoption;
use self::drainer::Drainer;
use self::metrics::{Gauges, Metrics};
use self::writer::{Command, Grouping, Request, Writer};
use crate::breaker::Breaker;
use crate::room;

/// Why the spool can't be used at start.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// No directory could be made and locked.
    #[error("no directory for the spool (spool.directory, or SPOOL_DIR)")]
    Directory(#[from] DirectoryError),
    /// The directory can't be taken stock of.
    #[error("the spool's directory can't be used")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no thread for it.
    #[error("cannot start the spool's thread")]
    Thread(#[source] std::io::Error),
}

/// Why a webhook is not known to be in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSpooled {
    /// It has as many bytes as it may.
    #[error("the spool is full")]
    Full,
    /// Too little would be left free on its disk.
    #[error("the spool's disk is almost full")]
    LowDisk,
    /// The disk could not make it durable.
    #[error("the spool could not be written")]
    Failed,
    /// More webhooks wait for the disk than may.
    #[error("too many webhooks wait for the spool")]
    Busy,
    /// The disk took too long. It may still be kept.
    #[error("the spool took too long")]
    TimedOut,
    /// The spool has stopped.
    #[error("the spool has stopped")]
    Stopped,
}

/// What is needed to begin.
pub(crate) struct SpoolOptions {
    pub(crate) config: SpoolConfig,
    /// Below it, each replica has a directory.
    pub(crate) root: PathBuf,
    /// Webhooks that may wait for the disk.
    pub(crate) queue: usize,
}

/// A handle to the spool. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Spool {
    commands: SyncSender<Command>,
    store: Arc<Store<Replica>>,
    metrics: Metrics,
}

/// The spool's thread and task.
pub(crate) struct Running {
    /// A thread of its own: one of the runtime's would keep a failed service from ending.
    writer: std::thread::JoinHandle<()>,
    /// Closed when that thread ends, however it does.
    writing: oneshot::Receiver<Infallible>,
    drainer: JoinHandle<()>,
    commands: SyncSender<Command>,
    stop: CancellationToken,
}

/// What of the spool has ended.
pub(crate) enum Ended {
    Drainer(Result<(), JoinError>),
    Writer,
}

/// Where the drainer publishes.
pub(crate) struct Outlet {
    pub(crate) publisher: Publisher,
    pub(crate) queue: Arc<str>,
    pub(crate) breaker: Arc<Breaker>,
}

impl Spool {
    /// Locks a directory, takes stock of it, and begins to write and drain. Blocks shortly.
    pub(crate) fn start(
        options: SpoolOptions,
        outlet: Outlet,
        registry: &mut Registry,
    ) -> Result<(Self, Running), SpoolError> {
        let SpoolOptions { config, root, queue } = options;
        let limits = Limits { max_bytes: config.max_bytes, min_free_bytes: config.min_free_bytes };
        let replica = Replica::claim(&root)?;
        let directory = replica.path().display().to_string();
        let store = Store::open(replica, limits).map_err(|error| SpoolError::Store(Box::new(error)))?;
        let store = Arc::new(store);
        let held = store.holdings();
        tracing::info!(directory, files = held.files, corrupt_files = held.corrupt_files, "the spool is open");
        let metrics = Metrics::register(registry);
        let grouping = Grouping { webhooks: config.group, time: Duration::from_millis(config.group_ms) };
        let (commands, receiver) = sync_channel(queue);
        let (written, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let drainer = Drainer {
            store: Arc::clone(&store),
            publisher: outlet.publisher,
            queue: outlet.queue,
            breaker: outlet.breaker,
            per_second: config.drain_per_second,
            metrics: metrics.clone(),
            written: Arc::clone(&written),
            stop: stop.clone(),
        };
        let writer =
            Writer { store: Arc::clone(&store), commands: receiver, grouping, metrics: metrics.clone(), written };
        registry.register_collector(Box::new(Gauges { store: Arc::clone(&store), config }));
        let (writes, writing) = oneshot::channel();
        let write = move || {
            let _until_it_ends: oneshot::Sender<Infallible> = writes;
            writer.run();
        };
        let running = Running {
            writer: Builder::new().name("spool".into()).spawn(write).map_err(SpoolError::Thread)?,
            writing,
            drainer: tokio::spawn(drainer.run(Adoption::new(root, limits))),
            commands: commands.clone(),
            stop,
        };
        Ok((Self { commands, store, metrics }, running))
    }

    /// Makes a webhook durable in time. Its room is given back with its body, however late the disk lets go of it.
    ///
    /// # Errors
    /// When it is not known to be durable, for whatever reason.
    pub(crate) async fn keep(&self, message: Message, room: room::Bytes, answer_by: Instant) -> Result<(), NotSpooled> {
        let (done, kept) = oneshot::channel();
        let request = Box::new(Request { message, _room: room, done });
        self.commands.try_send(Command::Keep(request)).map_err(|error| match error {
            TrySendError::Full(_) => NotSpooled::Busy,
            TrySendError::Disconnected(_) => NotSpooled::Stopped,
        })?;
        match tokio::time::timeout_at(answer_by, kept).await {
            Ok(kept) => kept.unwrap_or(Err(NotSpooled::Stopped)),
            Err(_elapsed) => Err(NotSpooled::TimedOut),
        }
    }

    /// Whether the next webhook can be expected to be kept.
    pub(crate) fn takes_more(&self) -> bool {
        self.store.takes_more()
    }

    /// What a person must look at, although webhooks may be kept.
    pub(crate) fn complaints(&self) -> Vec<&'static str> {
        let held = self.store.holdings();
        let corrupt = (held.corrupt_files > 0).then_some("the spool has corrupt files: see `oncehook spool verify`");
        let deferred = held.deferred_files > 0 || self.metrics.adopted_deferred.get() > 0;
        let deferred = deferred.then_some("the spool has files that cannot be read, published or removed: see the log");
        corrupt.into_iter().chain(deferred).collect()
    }
}

impl Running {
    /// Waits until one of its parts has ended, which none does by itself.
    pub(crate) async fn ended(&mut self) -> Ended {
        tokio::select! {
            ended = &mut self.drainer => Ended::Drainer(ended),
            _closed = &mut self.writing => Ended::Writer,
        }
    }

    /// Finishes the group in hand, and ends. What is spooled stays for the next start.
    pub(crate) async fn stop(self) -> Result<(), JoinError> {
        self.stop.cancel();
        self.drainer.await?;
        // Off the async threads: the channel may be full, and the disk slow.
        let ended = tokio::task::spawn_blocking(move || {
            if self.commands.send(Command::Stop).is_err() {
                tracing::debug!("the spool's writer had ended");
            }
            self.writer.join()
        });
        if ended.await?.is_err() {
            tracing::error!("the spool's writer had panicked");
        }
        Ok(())
    }
}
