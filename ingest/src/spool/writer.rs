//! The writer: one thread that makes one batch file after the other of what requests hand in.
//!
//! Group commit: a file closes when it has `spool.group` webhooks, or enough bytes, or `spool.group_ms` after its
//! first. Everyone in a file gets the same answer, after its last fsync. Told to stop, it finishes the group in hand.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use shared::error_chain::error_chain;
use shared::message::Message;
use shared::spool::{BatchBuilder, Disk, Store, StoreError};
use tokio::sync::{Notify, oneshot};

use super::NotSpooled;
use super::metrics::Metrics;
use crate::room;

/// Bytes of bodies that close a file: memory stays bounded, and a file far below the largest that is read.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// What the writer is told.
pub(crate) enum Command {
    /// Keep this webhook.
    Keep(Box<Request>),
    /// Finish what is in hand and end.
    Stop,
}

/// A webhook to be kept, and who waits for it.
pub(crate) struct Request {
    pub(crate) message: Message,
    /// What the body takes of `ingest.max_in_flight_bytes`: it counts until the body is dropped, although its sender
    /// may have been answered 503 long before.
    pub(crate) _room: room::Bytes,
    pub(crate) done: oneshot::Sender<Result<(), NotSpooled>>,
}

/// When a file closes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grouping {
    pub(crate) webhooks: usize,
    pub(crate) time: Duration,
}

/// The writer's thread.
pub(crate) struct Writer<D> {
    pub(crate) store: Arc<Store<D>>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) grouping: Grouping,
    pub(crate) metrics: Metrics,
    /// Told of each new file.
    pub(crate) written: Arc<Notify>,
}

impl<D: Disk> Writer<D> {
    /// Works until it is told to stop, or nobody is left to tell it anything.
    pub(crate) fn run(self) {
        let mut going_on = true;
        while going_on {
            let (group, more) = self.next_group();
            going_on = more;
            self.commit(group);
        }
    }

    /// Waits for a first webhook and collects others; `false` when this is the last group.
    fn next_group(&self) -> (Vec<Request>, bool) {
        let first = match self.commands.recv() {
            Ok(Command::Keep(first)) => *first,
            Ok(Command::Stop) | Err(_) => return (Vec::new(), false),
        };
        let closes_at = Instant::now() + self.grouping.time;
        let mut bytes = first.message.body.len();
        let mut group = vec![first];
        while group.len() < self.grouping.webhooks && bytes < GROUP_BYTES {
            match self.commands.recv_timeout(closes_at.saturating_duration_since(Instant::now())) {
                Ok(Command::Keep(request)) => {
                    bytes += request.message.body.len();
                    group.push(*request);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return (group, false),
            }
        }
        (group, true)
    }

    /// Writes a group's file and tells everyone in it.
    fn commit(&self, mut group: Vec<Request>) {
        group.retain(|request| !request.done.is_closed()); // nobody waits for these any more
        let mut batch = BatchBuilder::default();
        let mut kept = Vec::with_capacity(group.len());
        let mut received_at = None;
        for request in group {
            match batch.push(&request.message) {
                Ok(()) => {
                    received_at = received_at.or(Some(request.message.received_at));
                    kept.push(request);
                }
                Err(error) => {
                    tracing::error!(webhook.id = request.message.id, trace_id = request.message.trace_id(), %error, "a webhook does not fit into the spool");
                    answer(request, Err(NotSpooled::Failed));
                }
            }
        }
        let Some(received_at) = received_at else { return };
        let written = self.store.write(&batch.finish(), received_at).map_err(|error| self.refuse(&error));
        if written.is_ok() {
            self.metrics.spooled.inc_by(kept.len() as u64);
            self.metrics.group.observe(u32::try_from(kept.len()).map_or(f64::MAX, f64::from));
            self.written.notify_one();
        }
        for request in kept {
            answer(request, written);
        }
    }

    fn refuse(&self, error: &StoreError) -> NotSpooled {
        match error {
            StoreError::Full => NotSpooled::Full,
            StoreError::LowDisk => NotSpooled::LowDisk,
            StoreError::Io { .. } => {
                self.metrics.write_failures.inc();
                tracing::error!(error = error_chain(error), "the spool cannot be written");
                NotSpooled::Failed
            }
        }
    }
}

fn answer(request: Request, answer: Result<(), NotSpooled>) {
    if request.done.send(answer).is_err() {
        tracing::debug!("a webhook was spooled after its sender had gone");
    }
}
