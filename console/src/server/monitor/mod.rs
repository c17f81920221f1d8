//! Watches the services, every two seconds, so that a page has an answer at once.
//!
//! Five feeds: the ops ports of ingest and the workers ([`services`]), the broker's queues by passive declarations
//! ([`queues`]) and their bytes by the broker's own metrics ([`bytes`]), what Postgres has rows for ([`rows`]), and whether it
//! answers at all ([`alive`]). What flows ([`flow`]) goes into a ring of an hour ([`ring`]); the rest is the latest look. All in
//! memory: a console that starts anew begins to look anew, and history beyond an hour is Prometheus' business.
//!
//! Invariant: a feed that does not answer says so, with the time of its last answer, and holds up neither the others nor
//! a page.

mod alive;
mod bytes;
pub(crate) mod counts;
pub(crate) mod destinations;
pub(crate) mod flow;
pub(crate) mod openmetrics;
pub(crate) mod queues;
pub(crate) mod ring;
pub(crate) mod rows;
pub(crate) mod services;
pub(crate) mod standing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use shared::amqp::{Broker, QueueDepth, Topology};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::bytes::WorkQueue;
use self::ring::Ring;
use self::rows::Rows;
use self::services::Instance;

/// How often everything is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// What is known of the installation now.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Each ingest and each worker that is configured and has an address.
    pub(crate) services: Vec<Instance>,
    /// The queues, or why they are not known.
    pub(crate) queues: Option<Result<Vec<QueueDepth>, String>>,
    /// When the broker last told of them.
    pub(crate) queues_at: Option<OffsetDateTime>,
    /// Bytes of the bodies that are ready in the work queue, or why they are not known; `None` where nobody is asked, and
    /// within where the broker does not tell of that queue (yet).
    pub(crate) work_bytes: Option<Result<Option<u64>, String>>,
    /// When the broker last told of them.
    pub(crate) work_bytes_at: Option<OffsetDateTime>,
    /// Whether Postgres answers at all; `None` until it was asked.
    pub(crate) is_alive: Option<bool>,
    /// What Postgres says, or why it does not.
    pub(crate) rows: Option<Result<Rows, String>>,
    /// When Postgres last said it.
    pub(crate) rows_at: Option<OffsetDateTime>,
    /// What flowed.
    pub(crate) ring: Ring,
}

/// Where to look.
pub(crate) struct Feeds {
    pub(crate) ingest_urls: Option<String>,
    pub(crate) worker_urls: Option<String>,
    /// Where the broker's nodes tell their own metrics.
    pub(crate) broker_metrics_urls: Option<String>,
    pub(crate) broker: Option<Broker>,
    pub(crate) topology: Topology,
    pub(crate) pool: Pool,
    /// One connection, which nobody else waits for.
    pub(crate) own_pool: Pool,
}

impl Known {
    pub(crate) fn set_queues(&mut self, said: Result<Vec<QueueDepth>, String>) {
        keep(&mut self.queues, &mut self.queues_at, said);
    }

    /// Who does not answer keeps the time of the last answer.
    pub(crate) fn set_services(&mut self, mut services: Vec<Instance>) {
        services::remember_answers(&mut services, &self.services);
        self.services = services;
    }

    fn set_work_bytes(&mut self, said: Result<Option<u64>, String>) {
        keep(&mut self.work_bytes, &mut self.work_bytes_at, said);
    }

    pub(crate) fn set_rows(&mut self, said: Result<Rows, String>) {
        keep(&mut self.rows, &mut self.rows_at, said);
    }
}

/// Keeps what a feed says, and when it last said something.
fn keep<T>(known: &mut Option<Result<T, String>>, answered_at: &mut Option<OffsetDateTime>, said: Result<T, String>) {
    if said.is_ok() {
        *answered_at = Some(OffsetDateTime::now_utc());
    }
    *known = Some(said);
}

/// The latest look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Monitor(Arc<Mutex<Known>>);

impl Monitor {
    /// What is known now; held no longer than it takes to read.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until told to stop.
    pub(crate) async fn watch(self, feeds: Feeds, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        let Feeds { ingest_urls, worker_urls, broker_metrics_urls, broker, topology, pool, own_pool } = feeds;
        if let Some((urls, broker)) = broker_metrics_urls.zip(broker.as_ref()) {
            let queue = WorkQueue { virtual_host: broker.virtual_host().to_owned(), name: topology.webhooks() };
            tasks.spawn(bytes::watch(self.clone(), urls, queue));
        }
        tasks.spawn(services::watch(self.clone(), ingest_urls, worker_urls));
        tasks.spawn(rows::watch(self.clone(), pool));
        tasks.spawn(alive::watch(self.clone(), own_pool));
        if let Some(broker) = broker {
            tasks.spawn(queues::watch(self, broker, topology));
        }
        stop.cancelled().await;
        tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_does_not_answer_keeps_the_time_of_its_last_answer() {
        let mut known = Known::default();
        known.set_work_bytes(Err("away".to_owned()));
        assert_eq!(known.work_bytes_at, None);
        known.set_work_bytes(Ok(Some(7)));
        let at = known.work_bytes_at;
        known.set_work_bytes(Err("away".to_owned()));
        assert!(at.is_some() && known.work_bytes_at == at && known.work_bytes == Some(Err("away".to_owned())));
    }
}
