//! What waits in Postgres, for the metrics: the outbox, and what is parked.
//!
//! Every worker asks for itself, every few seconds, whether it is scraped or not: a scrape never waits for Postgres, and
//! the answer does not depend on which worker lives. All of them say the same; whoever adds up takes the maximum
//! (`docs/adr/0015-every-worker-tells-the-backlog.md`). What is older than three rounds is not told at all.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use shared::config::{Config, OPERATOR_ALERT};
use shared::db::outbox::backlog::Backlog;
use shared::db::parked_webhooks::backlog::Waiting;
use shared::db::{self, outbox, parked_webhooks};
use shared::error_chain::error_chain;
use tokio_util::sync::CancellationToken;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a round may take before its connection is given up.
const WITHIN: Duration = Duration::from_secs(10);

/// What waits in Postgres, as it was seen last. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BacklogWatch {
    seen: Arc<Mutex<Option<Seen>>>,
    /// The configured effects, of which it is always told whether they are paused.
    effects: Arc<BTreeSet<String>>,
}

struct Seen {
    at: Instant,
    outbox: Backlog,
    parked: Vec<Waiting>,
}

impl BacklogWatch {
    /// Registers the gauges; they are there once [`Self::run`] has asked.
    pub(crate) fn register(config: &Config, registry: &mut Registry) -> Self {
        let effects = config.effects.email.keys().chain(config.effects.http.keys()).map(ToString::to_string);
        let effects = Arc::new(effects.chain([OPERATOR_ALERT.to_owned()]).collect());
        let watch = Self { seen: Arc::default(), effects };
        registry.register_collector(Box::new(watch.clone()));
        watch
    }

    /// Asks until told to stop.
    pub(crate) async fn run(self, pool: Pool, stop: CancellationToken) {
        let watching = async {
            loop {
                match look(&pool).await {
                    Ok(seen) => *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen),
                    Err(error) => tracing::debug!(error, "cannot count what waits; the metrics do without"),
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn look(pool: &Pool) -> Result<Seen, String> {
    let client = pool.get().await.map_err(|error| error_chain(&error))?;
    let look = async |client: &mut Client| {
        let outbox = outbox::backlog::read(&***client).await?;
        Ok::<_, tokio_postgres::Error>((outbox, parked_webhooks::backlog::read(&***client).await?))
    };
    let answer = db::answer_within(WITHIN, client, look).await.map_err(|silent| silent.to_string())?;
    let (outbox, parked) = answer.map_err(|error| error_chain(&error))?;
    Ok(Seen { at: Instant::now(), outbox, parked })
}

impl fmt::Debug for BacklogWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BacklogWatch").finish_non_exhaustive()
    }
}

impl Collector for BacklogWatch {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Seen { outbox, parked, .. }) = seen.as_ref().filter(|seen| seen.at.elapsed() <= 3 * INTERVAL) else {
            return Ok(());
        };
        let states = [
            ("pending", outbox.pending),
            ("sending", outbox.sending),
            ("held", outbox.held),
            ("failed", outbox.failed),
        ];
        let help = "Rows of the outbox that are not done, at most 100000 a state; held and failed wait for a person, who may have held them";
        let mut rows = encoder.encode_descriptor("webhook_outbox_rows", help, None, MetricType::Gauge)?;
        for (state, count) in states {
            ConstGauge::new(count).encode(rows.encode_family(&[("state", state)])?)?;
        }
        let help = "1 where a person has paused an effect: its rows wait on purpose, and are not late";
        let mut paused = encoder.encode_descriptor("webhook_effect_paused", help, None, MetricType::Gauge)?;
        for effect in self.effects.iter().chain(outbox.paused.iter().filter(|one| !self.effects.contains(*one))) {
            let is_paused = i64::from(outbox.paused.contains(effect));
            ConstGauge::new(is_paused).encode(paused.encode_family(&[("effect", effect.as_str())])?)?;
        }
        let mut gauge = |name: &str, help: &str, value: f64| {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        let failing = u32::try_from(outbox.failing).map_or(f64::MAX, f64::from);
        gauge("webhook_outbox_failing", "Pending rows that were tried before in vain, at most 100000", failing)?;
        let help = "For how long the oldest pending row of an effect that is not paused has been due; 0 if none is";
        gauge("webhook_outbox_oldest_due_age_seconds", help, outbox.oldest_due_s.unwrap_or(0.0))?;
        let help = "How long ago the oldest row of an effect that is not paused was planned that is tried in vain; 0 if none is";
        gauge("webhook_outbox_oldest_failing_age_seconds", help, outbox.oldest_failing_s.unwrap_or(0.0))?;
        let help =
            "Webhooks that are parked and wait for a person, at most 100000 together; not there where none waits";
        let mut waiting = encoder.encode_descriptor("webhook_parked_waiting", help, None, MetricType::Gauge)?;
        for Waiting { source, reason, rows } in parked {
            let labels = [("source", source.as_str()), ("reason", reason.as_str())];
            ConstGauge::new(*rows).encode(waiting.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
