//! The dispatcher: leases rows of the outbox, performs them, settles them.
//!
//! The lease is committed before anything is sent, so a send can be repeated only where its
//! outcome was unknown: between the peer's acceptance and the commit of the settlement. Those rows
//! are marked ambiguous, and the effect's policy says whether they are sent again or held.
//!
//! Of an effect whose destination is away nothing is leased but a probe now and then ([`breaker`]).

mod attempt;
mod breaker;
mod destinations;
mod email;
mod group_commit;
mod http;
mod leasing;
mod mail_probe;
mod peer_certificates;
mod places;
mod resolver;
mod rows;
mod smtp;

#[cfg(test)]
mod simulation;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use shared::backoff::Backoff;
use shared::config::DispatchConfig;
use shared::db::outbox::{Lease, Settled, Settlement, Settling};
use shared::failpoint;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::attempt::{AttemptRules, Performance};
pub(crate) use self::breaker::Word;
pub(crate) use self::destinations::Destinations;
pub(crate) use self::email::EmailPerformer;
pub(crate) use self::group_commit::GroupCommit;
pub use self::http::HttpEffectError;
pub(crate) use self::http::HttpPerformer;
pub(crate) use self::mail_probe::MailProbe;
pub(crate) use self::peer_certificates::PeerCertificates;
use self::places::{Place, Places};
pub(crate) use self::rows::{Rows, Table};
pub(crate) use self::smtp::SmtpPool;
use crate::metrics::{Metrics, PanicPlace};
use crate::panics::panic_text;
use crate::spans;

/// Performs effects of one kind. Must say [`Performance::Unknown`] whenever the peer may have
/// accepted.
pub(crate) trait Perform: Send + Sync {
    fn perform<'a>(&'a self, effect: &'a Lease) -> Pin<Box<dyn Future<Output = Performance> + Send + 'a>>;
}

/// Leases, performs and settles.
pub(crate) struct Dispatcher {
    pub(crate) table: Table,
    pub(crate) config: DispatchConfig,
    pub(crate) rules: AttemptRules,
    /// Who performs each kind.
    pub(crate) performers: HashMap<&'static str, Arc<dyn Perform>>,
    /// What is known of where effects go.
    pub(crate) destinations: Destinations,
    /// What has ended and is being settled.
    pub(crate) settling: GroupCommit<Settling, Settled>,
    pub(crate) metrics: Arc<Metrics>,
    /// Rung when the outbox has new rows.
    pub(crate) bell: Arc<Notify>,
}

impl Dispatcher {
    /// Works until told to stop, then finishes what it has begun.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let places = Places::new(self.config.concurrency);
        let sends = TaskTracker::new();
        while !stop.is_cancelled() {
            let Some(place) = places.wait_for_one().await else { break };
            if stop.is_cancelled() {
                break;
            }
            let leased = self.lease_and_perform(place, &places, &sends).await;
            if leased == 0 {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.bell.notified() => {}
                    () = tokio::time::sleep(Duration::from_millis(self.config.poll_ms)) => {}
                }
            }
        }
        sends.close();
        sends.wait().await;
    }

    /// Leases as many rows as there are free places and begins them all; returns how many.
    async fn lease_and_perform(self: &Arc<Self>, place: Place, places: &Places, sends: &TaskTracker) -> usize {
        let mut taken = vec![place];
        taken.extend(std::iter::from_fn(|| places.another()));
        let leased_at = Instant::now();
        let leases = match leasing::lease(&self.table, &self.destinations, taken.len(), leased_at).await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!(error, "cannot lease from the outbox; trying again");
                return 0;
            }
        };
        let count = leases.len();
        for (lease, place) in leases.into_iter().zip(taken) {
            sends.spawn(Arc::clone(self).perform(lease, leased_at, place));
        }
        count
    }

    async fn perform(self: Arc<Self>, lease: Lease, leased_at: Instant, place: Place) {
        let _sending = Sending::begin(&self.metrics);
        let began = Instant::now();
        let span = spans::sending(&lease);
        let performance = match &span {
            _ if !self.rules.may_begin(leased_at.elapsed()) => Performance::NotBegun,
            Some(span) => span.during(self.attempt(&lease)).await,
            None => self.attempt(&lease).await,
        };
        self.destinations.hear(&lease, Word::of(&performance), Instant::now());
        let settlement = self.rules.settlement(lease.attempts, lease.on_ambiguous, performance);
        self.metrics.effect(&lease.effect, outcome(&settlement), began.elapsed());
        if let Some(span) = span {
            spans::sent(&span, outcome(&settlement), &settlement);
        }
        log(&lease, &settlement);
        failpoint::reach("worker.sent");
        let in_hand = place.sent();
        self.settle(&lease, settlement).await;
        drop(in_hand);
    }

    /// Performs an effect within its deadline. A panic leaves open how far it came.
    async fn attempt(&self, lease: &Lease) -> Performance {
        let Some(performer) = self.performers.get(lease.kind.as_str()) else {
            return Performance::Refused(format!("this worker cannot perform {:?}", lease.kind));
        };
        let performing = async {
            failpoint::reach("worker.leased");
            performer.perform(lease).await
        };
        let performing = AssertUnwindSafe(performing).catch_unwind();
        match tokio::time::timeout(self.rules.deadline(), performing).await {
            Ok(Ok(performance)) => performance,
            Ok(Err(panic)) => {
                self.metrics.panicked(PanicPlace::Sending);
                Performance::Unknown(format!("sending panicked: {}", panic_text(panic.as_ref())))
            }
            Err(_elapsed) => Performance::Unknown(format!("not done within {} ms", self.rules.deadline().as_millis())),
        }
    }

    /// Settles, together with others that have ended, waiting for the database; even after the lease's end, as long as
    /// nobody else has taken the row. What cannot be settled together is settled alone, so that none holds up another.
    async fn settle(&self, lease: &Lease, settlement: Settlement) {
        let settling = Settling { id: lease.id, fence: lease.fence, settlement };
        let together = async |group: &[Settling]| match self.table.settle(group).await {
            Ok(settled) => Some(settled),
            Err(error) => {
                tracing::warn!(sends = group.len(), error, "cannot settle sends together; trying one by one");
                None
            }
        };
        let mut settled = self.settling.commit(settling.clone(), together).await;
        let mut backoff = Backoff::new();
        while settled.is_none() {
            backoff.pause().await;
            match self.table.settle_again(&settling).await {
                Ok(alone) => settled = Some(alone),
                Err(error) => tracing::warn!(effect = lease.effect, error, "cannot settle a send; trying again"),
            }
        }
        if settled == Some(Settled::LeaseLost) {
            self.metrics.leases_lost.inc();
            tracing::error!(
                effect = lease.effect,
                webhook.id = lease.webhook_id,
                trace_id = lease.trace_id(),
                key = lease.dedupe_key,
                "the lease ran out before the send was settled; the row counts as ambiguous"
            );
        }
    }
}

/// Counts a send while it lasts.
struct Sending<'m>(&'m Metrics);

impl<'m> Sending<'m> {
    fn begin(metrics: &'m Metrics) -> Self {
        metrics.sending.inc();
        Self(metrics)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.sending.dec();
    }
}

fn outcome(settlement: &Settlement) -> &'static str {
    match settlement {
        Settlement::Sent => "sent",
        Settlement::Retry { .. } => "retried",
        Settlement::Failed { .. } => "failed",
        Settlement::Ambiguous { .. } => "ambiguous",
    }
}

fn log(lease: &Lease, settlement: &Settlement) {
    let (effect, key, outcome) = (&lease.effect, &lease.dedupe_key, outcome(settlement));
    let (webhook, attempt, trace_id) = (&lease.webhook_id, lease.attempts, lease.trace_id());
    match settlement {
        Settlement::Sent => {
            tracing::info!(effect, key, webhook.id = webhook, trace_id, attempt, outcome, "effect sent")
        }
        Settlement::Retry { error, after } => {
            let delay_s = after.as_secs_f64();
            tracing::warn!(
                effect,
                key,
                webhook.id = webhook,
                trace_id,
                attempt,
                outcome,
                error,
                delay_s,
                "effect not sent"
            );
        }
        Settlement::Failed { error } | Settlement::Ambiguous { error, .. } => {
            tracing::error!(
                effect,
                key,
                webhook.id = webhook,
                trace_id,
                attempt,
                outcome,
                error,
                "effect not settled as sent"
            );
        }
    }
}
