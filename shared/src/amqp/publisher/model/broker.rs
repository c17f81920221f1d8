//! The model's broker: a channel that may do whatever lapin and RabbitMQ may do.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use shuttle::future::{spawn, yield_now};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Fate, Fault, Script};
use crate::amqp::SessionError;
use crate::amqp::publisher::PublishError;
use crate::amqp::publisher::requests::Outgoing;
use crate::amqp::publisher::window::{Confirm, ConfirmChannel};

/// What all parts of one run share.
pub(super) struct World {
    pub(super) script: Script,
    /// Messages that are on their queue.
    pub(super) stored: Mutex<BTreeSet<u8>>,
    /// What each requester heard.
    pub(super) heard: Mutex<Vec<(u8, Result<(), PublishError>)>>,
    /// What happened that must not.
    pub(super) broken: Mutex<Vec<String>>,
    pub(super) stop: CancellationToken,
    pub(super) gone: CancellationToken,
    steps: AtomicUsize,
}

/// One connection, and its channel.
pub(super) struct Link {
    world: Arc<World>,
    outstanding: Mutex<Outstanding>,
    /// Held by whoever settles: lapin has one thread for it.
    settling: tokio::sync::Mutex<()>,
    late: CancellationToken,
    lost: CancellationToken,
}

/// What the channel waits for, as lapin keeps it.
#[derive(Default)]
struct Outstanding {
    unsettled: Vec<(u8, oneshot::Sender<Confirm>)>,
    /// Messages that came back and are not yet attached to a confirm.
    returns: usize,
    /// Whether it was given up.
    failed: bool,
}

pub(super) struct ModelChannel(Arc<Link>);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl World {
    pub(super) fn new(script: Script) -> Arc<Self> {
        Arc::new(Self {
            script,
            stored: Mutex::default(),
            heard: Mutex::default(),
            broken: Mutex::default(),
            stop: CancellationToken::new(),
            gone: CancellationToken::new(),
            steps: AtomicUsize::new(0),
        })
    }

    fn fate(&self, message: u8) -> Fate {
        self.script.fates[usize::from(message)]
    }

    fn breaks(&self, law: &str, message: u8) {
        lock(&self.broken).push(format!("message {message}: {law}"));
    }
}

impl Link {
    pub(super) fn open(world: &Arc<World>) -> (Arc<Self>, ModelChannel) {
        let link = Arc::new(Self {
            world: Arc::clone(world),
            outstanding: Mutex::default(),
            settling: tokio::sync::Mutex::default(),
            late: CancellationToken::new(),
            lost: CancellationToken::new(),
        });
        (Arc::clone(&link), ModelChannel(link))
    }

    /// What a publish leads to, at any later moment: all that is outstanding is settled, one after the other, as one
    /// acknowledgement of several messages does.
    async fn serve(self: Arc<Self>) {
        self.step();
        if !self.lost.is_cancelled() {
            let _one_at_a_time = self.settling.lock().await;
            self.settle().await;
        }
    }

    /// The connection ends, and all confirms with it.
    pub(super) fn lose(&self) {
        self.lost.cancel();
        lock(&self.outstanding).unsettled.clear();
    }

    /// One step of the broker: the script's fault strikes before it.
    fn step(&self) {
        let step = self.world.steps.fetch_add(1, Ordering::Relaxed);
        match self.world.script.fault {
            Some((Fault::Lost, at)) if at == step => self.lose(),
            Some((Fault::Late, at)) if at == step => self.late.cancel(),
            Some((Fault::Stop, at)) if at == step => self.world.stop.cancel(),
            Some((Fault::Gone, at)) if at == step => self.world.gone.cancel(),
            _ => {}
        }
    }

    /// As lapin does it: messages that came back wait in a row, and whichever confirm is settled next takes the first of
    /// them. Others may look on between any two.
    async fn settle(&self) {
        for (position, (message, confirm)) in self.acknowledged().into_iter().enumerate() {
            // Where nothing comes back, it is all one in which order confirms are seen.
            if position > 0 && self.world.script.fates.contains(&Fate::Unroutable) {
                yield_now().await;
            }
            let said = match self.world.fate(message) {
                _ if self.take_return() => Confirm::Returned,
                Fate::Refused => Confirm::Nack,
                _ => Confirm::Ack,
            };
            let _given_up = confirm.send(said);
        }
    }

    /// What the broker acknowledges together, in the order in which lapin settles it.
    fn acknowledged(&self) -> Vec<(u8, oneshot::Sender<Confirm>)> {
        let fate = |message: u8| self.world.fate(message);
        let mut outstanding = lock(&self.outstanding);
        let is_heard = |(message, _): &mut (u8, _)| fate(*message) != Fate::Silent;
        let mut settled: Vec<_> = outstanding.unsettled.extract_if(.., is_heard).collect();
        outstanding.returns += settled.iter().filter(|(message, _)| fate(*message) == Fate::Unroutable).count();
        if !settled.is_empty() {
            let first = self.world.script.first_settled % settled.len();
            settled.rotate_left(first);
        }
        if !outstanding.unsettled.is_empty() {
            self.late.cancel(); // nobody hears of these before the budget runs out
        }
        settled
    }

    fn take_return(&self) -> bool {
        let mut outstanding = lock(&self.outstanding);
        let waits = outstanding.returns > 0;
        outstanding.returns = outstanding.returns.saturating_sub(1);
        waits
    }
}

impl ConfirmChannel for ModelChannel {
    async fn publish(&self, message: Outgoing) -> Result<Confirm, SessionError> {
        let (link, message) = (&self.0, message.body[0]);
        let lost = || SessionError::Broken("the connection was lost");
        link.step();
        if link.lost.is_cancelled() {
            return Err(lost());
        }
        let (settle, confirm) = oneshot::channel();
        {
            let mut outstanding = lock(&link.outstanding);
            if outstanding.failed {
                link.world.breaks("published on a channel that failed", message);
            }
            if matches!(link.world.fate(message), Fate::Stored | Fate::Silent) {
                lock(&link.world.stored).insert(message);
            }
            outstanding.unsettled.push((message, settle));
        }
        spawn(Arc::clone(link).serve());
        confirm.await.map_err(|_lost| lost())
    }

    async fn too_late(&self) {
        self.0.late.cancelled().await;
        lock(&self.0.outstanding).failed = true;
    }

    /// At any later moment.
    async fn slow(&self) {
        yield_now().await;
    }
}
