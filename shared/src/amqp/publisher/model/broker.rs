//! The model's broker: channels that may do whatever lapin and RabbitMQ may do.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use shuttle::future::{spawn, yield_now};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Fate, Fault, Script};
use crate::amqp::SessionError;
use crate::amqp::publisher::PublishError;
use crate::amqp::publisher::group::{Confirm, ConfirmChannel};
use crate::amqp::publisher::requests::Request;

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

/// One connection.
pub(super) struct Link {
    world: Arc<World>,
    channels: Vec<Mutex<Outstanding>>,
    late: CancellationToken,
    lost: CancellationToken,
}

/// What a channel waits for, as lapin keeps it.
#[derive(Default)]
struct Outstanding {
    unsettled: Vec<(u8, oneshot::Sender<Confirm>)>,
    /// Messages that came back and are not yet attached to a confirm.
    returns: usize,
    /// Whether the group is complete and its confirms are waited for.
    awaited: bool,
    /// Whether a group on it was given up.
    failed: bool,
}

pub(super) struct ModelChannel {
    link: Arc<Link>,
    number: usize,
}

/// One message's confirm. Lost with the connection.
pub(super) struct Confirming {
    link: Arc<Link>,
    channel: usize,
    confirm: oneshot::Receiver<Confirm>,
}

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
    pub(super) fn open(world: &Arc<World>) -> (Arc<Self>, Vec<ModelChannel>) {
        let link = Arc::new(Self {
            world: Arc::clone(world),
            channels: (0..world.script.channels).map(|_| Mutex::default()).collect(),
            late: CancellationToken::new(),
            lost: CancellationToken::new(),
        });
        let channels = (0..world.script.channels).map(|number| ModelChannel { link: Arc::clone(&link), number });
        let channels = channels.collect();
        (link, channels)
    }

    /// What a publish leads to, at any later moment: all that is outstanding on its channel is
    /// settled together, as one acknowledgement of several messages does.
    async fn serve(self: Arc<Self>, channel: usize) {
        self.step();
        if !self.lost.is_cancelled() {
            self.settle(&mut lock(&self.channels[channel]));
        }
    }

    /// The connection ends, and all confirms with it.
    pub(super) fn lose(&self) {
        self.lost.cancel();
        self.channels.iter().for_each(|channel| lock(channel).unsettled.clear());
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

    /// As lapin does it: messages that came back wait in a row, and whichever confirm is settled
    /// next takes the first of them.
    fn settle(&self, channel: &mut Outstanding) {
        let fate = |message: u8| self.world.fate(message);
        let is_heard = |(message, _): &mut (u8, _)| fate(*message) != Fate::Silent;
        let mut settled: Vec<_> = channel.unsettled.extract_if(.., is_heard).collect();
        channel.returns += settled.iter().filter(|(message, _)| fate(*message) == Fate::Unroutable).count();
        if !settled.is_empty() {
            let first = self.world.script.first_settled % settled.len();
            settled.rotate_left(first);
        }
        for (message, confirm) in settled {
            let said = match fate(message) {
                _ if channel.returns > 0 => Confirm::Returned,
                Fate::Refused => Confirm::Nack,
                _ => Confirm::Ack,
            };
            channel.returns = channel.returns.saturating_sub(1);
            let _given_up = confirm.send(said);
        }
        channel.awaited &= !channel.unsettled.is_empty();
        if !channel.unsettled.is_empty() {
            self.late.cancel(); // nobody hears of these before the budget runs out
        }
    }
}

impl ConfirmChannel for ModelChannel {
    type Confirming = Confirming;

    async fn publish(&self, request: &mut Request) -> Result<Confirming, SessionError> {
        let (link, message) = (&self.link, request.body[0]);
        link.step();
        if !lock(&link.channels[self.number]).unsettled.is_empty() {
            yield_now().await; // what was published before may be settled meanwhile
        }
        if link.lost.is_cancelled() {
            return Err(SessionError::Broken("the connection was lost"));
        }
        let (settle, confirm) = oneshot::channel();
        let mut channel = lock(&link.channels[self.number]);
        if channel.failed {
            link.world.breaks("published on a channel that failed", message);
        }
        if channel.awaited {
            link.world.breaks("published before the group before it has ended", message);
        }
        if matches!(link.world.fate(message), Fate::Stored | Fate::Silent) {
            lock(&link.world.stored).insert(message);
        }
        channel.unsettled.push((message, settle));
        drop(channel);
        spawn(Arc::clone(link).serve(self.number));
        Ok(Confirming { link: Arc::clone(link), channel: self.number, confirm })
    }

    async fn too_late(&self) {
        self.link.late.cancelled().await;
        lock(&self.link.channels[self.number]).failed = true;
    }
}

impl Future for Confirming {
    type Output = Result<Confirm, SessionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let confirm = self.confirm.poll_unpin(context);
        if confirm.is_pending() {
            lock(&self.link.channels[self.channel]).awaited = true;
        }
        confirm.map(|confirm| confirm.map_err(|_lost| SessionError::Broken("the connection was lost")))
    }
}
