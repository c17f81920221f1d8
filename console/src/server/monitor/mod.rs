//! Watches the services, every two seconds, so that a page has an answer at once.
//!
//! Four feeds: the ops ports of ingest and the workers ([`services`]), the broker's queues by passive declarations
//! ([`queues`]), what Postgres has rows for ([`rows`]), and whether it answers at all ([`alive`]). What flows goes into a ring of an hour ([`ring`]); the rest is
//! the latest look. All in memory: a console that starts anew begins to look anew, and history beyond an hour is
//! Prometheus' business.
//!
//! Invariant: a feed that does not answer says so, with the time of its last answer, and holds up neither the others nor
//! a page.

mod alive;
pub(crate) mod counts;
pub(crate) mod destinations;
pub(crate) mod openmetrics;
pub(crate) mod queues;
pub(crate) mod ring;
pub(crate) mod rows;
pub(crate) mod services;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::Pool;
use shared::amqp::{Broker, QueueDepth, Topology};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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
    /// Whether Postgres answers at all; `None` until it was asked.
    pub(crate) is_alive: Option<bool>,
    /// What Postgres says, or why it does not.
    pub(crate) rows: Option<Result<Rows, String>>,
    /// What flowed.
    pub(crate) ring: Ring,
}

/// Where to look.
pub(crate) struct Feeds {
    pub(crate) ingest_urls: Option<String>,
    pub(crate) worker_urls: Option<String>,
    pub(crate) broker: Option<Broker>,
    pub(crate) topology: Topology,
    pub(crate) pool: Pool,
    /// One connection, which nobody else waits for.
    pub(crate) own_pool: Pool,
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
        let Feeds { ingest_urls, worker_urls, broker, topology, pool, own_pool } = feeds;
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
