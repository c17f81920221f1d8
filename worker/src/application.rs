//! Builds the worker from its parts, runs it, and stops it in order: consumers first, then the
//! sends that have begun, then the publisher.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use prometheus_client::registry::Registry;
use secrecy::ExposeSecret;
use shared::amqp::{Broker, LinkState, MessagingMetrics, Publisher, PublisherConfig, Topology, supervise};
use shared::config::{Config, QueueConfig};
use shared::db::{self, DatabaseConfig, migrate, webhook_payloads};
use shared::ops::{self, Readiness};
use shared::plan::Planner;
use shared::smtp::SmtpConfig;
use shared::traces;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backlog::BacklogWatch;
use crate::connections;
use crate::consumer::{self, LaneConsumer, LaneLimits};
use crate::dispatch::{
    AttemptRules, Destinations, Dispatcher, EmailPerformer, GroupCommit, HttpPerformer, MailProbe, PeerCertificates,
    Perform, SmtpPool, Table,
};
use crate::error::WorkerError;
use crate::ladder::Ladder;
use crate::lane::Lane;
use crate::maintenance;
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, WaitsFor};
use crate::planning::WatchedPlanner;
use crate::rules::Rules;
use crate::settings::Settings;

/// How long publish and confirm to the ladder may take before it is tried again.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// A worker that is set up and not yet running.
pub struct Application {
    config: Config,
    broker: Broker,
    pipeline: Arc<Pipeline>,
    dispatcher: Arc<Dispatcher>,
    mail_probe: Option<MailProbe>,
    ops: TcpListener,
    registry: Registry,
}

impl Application {
    /// Reads the configuration, migrates the database and binds the ops port. Does not wait for
    /// the broker: the supervisor does.
    ///
    /// # Errors
    /// When the configuration or the environment is mistaken, or Postgres is away.
    pub async fn build(settings: &Settings) -> Result<Self, WorkerError> {
        let config = Config::load(&settings.config)?;
        let planner = Planner::compile(&config).map_err(WorkerError::planner)?;
        let mut registry = Registry::default();
        let certificates = PeerCertificates::register(&mut registry);
        let (mail, mail_probe) = mail(settings, &config, &certificates)?.unzip();
        let destinations = Destinations::register(&config, mail.is_some(), &mut registry);
        let performers = performers(mail, &config, certificates)?;
        let amqp_url = settings.amqp_url.as_ref().ok_or(WorkerError::Unset("AMQP_URL"))?;
        let broker = Broker::new(amqp_url.expose_secret(), "worker", config.queue.heartbeat_s)?;
        let pool = db::pool(&database(settings, &config)?)?;
        if settings.migrate_on_start {
            migrate(&pool).await?;
        }
        let metrics = Arc::new(Metrics::register(&config, &mut registry));
        traces::register(&mut registry);
        connections::register(pool.clone(), &mut registry);
        let bell = Arc::new(Notify::new());
        let timeout = Duration::from_millis(config.worker.planning_timeout_ms);
        let pipeline = Arc::new(Pipeline {
            pool: pool.clone(),
            patience: config.worker.transaction_timeout(),
            planner: WatchedPlanner::start(Arc::new(planner), timeout).map_err(WorkerError::Watchdog)?,
            ladder: Ladder::new(config.queue.retry_delays()),
            rules: Rules::new(&config, config.catalogue()?, settings.operator_email.as_ref().map(ToString::to_string)),
            metrics: Arc::clone(&metrics),
            outbox_bell: Arc::clone(&bell),
            waits_for: watch::Sender::new(WaitsFor::Nothing),
        });
        let table = Table {
            pool,
            lease: Duration::from_millis(config.dispatch.lease_ms),
            kinds: performers.keys().copied().collect(),
            patience: config.worker.transaction_timeout(),
        };
        let (dispatch, rules) = (config.dispatch.clone(), AttemptRules::new(&config.dispatch));
        let settling = GroupCommit::new();
        let dispatcher =
            Dispatcher { table, config: dispatch, rules, performers, destinations, settling, metrics, bell };
        let dispatcher = Arc::new(dispatcher);
        let ops = TcpListener::bind(settings.ops_listen)
            .map_err(|source| WorkerError::Listen { address: settings.ops_listen, source })?;
        Ok(Self { config, broker, pipeline, dispatcher, mail_probe, ops, registry })
    }

    /// The port that the ops server is bound to.
    ///
    /// # Errors
    /// When the socket has gone.
    pub fn ops_port(&self) -> std::io::Result<u16> {
        Ok(self.ops.local_addr()?.port())
    }

    /// Works until `stop` is cancelled, then drains: what has been taken is settled, what has been
    /// begun is sent, within `worker.drain_timeout_s`. What is cut off is delivered again.
    ///
    /// # Errors
    /// When the ops port cannot be served.
    pub async fn run_until_stopped(mut self, stop: CancellationToken) -> Result<(), WorkerError> {
        let topology = Topology::new(&self.config.queue);
        topology.register(&mut self.registry);
        let publisher_stop = CancellationToken::new();
        let messaging = messaging(&self.config.queue, &topology, &mut self.registry);
        let backlog = BacklogWatch::register(&self.config, &mut self.registry);
        let publisher_config = PublisherConfig::new(&self.config.queue, PUBLISH_TIMEOUT).counted_by(messaging.clone());
        let (publisher, publishing) =
            Publisher::spawn(self.broker.clone(), topology.clone(), &publisher_config, publisher_stop.clone());
        let tasks = Tasks::default();
        let world = LaneWorld { topology, publisher, messaging, stop: stop.clone() };
        let links = self.spawn_lanes(&tasks, &world);
        let pool = self.pipeline.pool.clone();
        tasks.spawn(Arc::clone(&self.dispatcher).run(stop.clone()));
        if let Some(probe) = self.mail_probe {
            tasks.spawn(probe.run(self.dispatcher.destinations.clone(), stop.clone()));
        }
        tasks.spawn(backlog.run(pool.clone(), stop.clone()));
        tasks.spawn(maintenance::watch_leases(pool.clone(), self.config.dispatch.clone(), stop.clone()));
        tasks.spawn(maintenance::keep_indexes(pool.clone(), stop.clone()));
        tasks.spawn(maintenance::keep_house(pool, self.config.retention.clone(), stop.clone()));
        let server = ops::serve(self.ops, Arc::new(self.registry), probe(links, Arc::clone(&self.pipeline)))
            .map_err(|source| WorkerError::Serve { source })?;
        let handle = server.handle();
        let serving = tokio::spawn(server);
        tracing::info!("worker started");
        let failed = tokio::select! {
            biased; // told to stop, tasks end as they should
            () = stop.cancelled() => false,
            () = tasks.one_has_ended() => true,
        };
        stop.cancel();
        tracing::info!("stopping: settling what has been taken");
        if tokio::time::timeout(self.config.worker.drain_timeout(), tasks.wait()).await.is_err() {
            tracing::warn!("the drain took too long and is cut off; what was not settled will be delivered again");
        }
        publisher_stop.cancel();
        finish("publisher", publishing).await;
        handle.stop(true).await;
        finish("ops server", serving).await;
        tracing::info!("worker stopped");
        if failed { Err(WorkerError::TaskEnded) } else { Ok(()) }
    }

    fn spawn_lanes(&self, tasks: &Tasks, world: &LaneWorld) -> Vec<watch::Receiver<LinkState>> {
        let worker = &self.config.worker;
        let quiet = Duration::from_secs(worker.renew_consumer_s);
        let alone = LaneLimits { batch_size: 1, batch_bytes: usize::MAX, prefetch: 1, quiet, suspect_after: i64::MAX };
        let batches = LaneLimits {
            batch_size: worker.batch_size,
            batch_bytes: worker.batch_bytes,
            prefetch: self.config.prefetch(),
            quiet,
            suspect_after: worker.suspect_after_deliveries,
        };
        let lanes = [
            (Lane::Work, "work", batches),
            (Lane::Elements, "elements", batches),
            (Lane::Suspect, "suspects", alone),
            (Lane::Dead, "dead letters", alone),
        ];
        let spawn = |(lane, role, limits)| {
            let (state, link) = watch::channel(LinkState::Down);
            let consumer = LaneConsumer {
                lane,
                topology: world.topology.clone(),
                pipeline: Arc::clone(&self.pipeline),
                publisher: world.publisher.clone(),
                consumed: world.messaging.consumed(&consumer::queue(lane, &world.topology)),
                limits,
            };
            tasks.spawn(supervise(self.broker.clone(), role, state, world.stop.clone(), consumer));
            link
        };
        lanes.into_iter().map(spawn).collect()
    }
}

/// What all lanes share.
struct LaneWorld {
    topology: Topology,
    publisher: Publisher,
    messaging: MessagingMetrics,
    stop: CancellationToken,
}

/// Where the traffic with the broker is counted, before there is any.
fn messaging(limits: &QueueConfig, topology: &Topology, registry: &mut Registry) -> MessagingMetrics {
    let messaging = MessagingMetrics::default();
    messaging.register(registry, limits);
    messaging.register_consumer(registry);
    topology.names().iter().filter(|queue| **queue != topology.dead()).for_each(|queue| messaging.expect(queue));
    messaging
}

/// The worker's tasks. None of them ends before the worker is told to stop; if one does (it
/// panicked), the worker ends, rather than seem well while a queue is not served.
#[derive(Default)]
struct Tasks {
    tracker: TaskTracker,
    ended: CancellationToken,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone().drop_guard();
        self.tracker.spawn(async move {
            task.await;
            drop(ended);
        });
    }

    async fn one_has_ended(&self) {
        self.ended.cancelled().await;
    }

    async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Applies migrations, makes the first partitions and builds indexes, and nothing else. Building waits for transactions that
/// are open, and holds nobody up.
///
/// # Errors
/// When the configuration is mistaken or Postgres is away.
pub async fn migrate_only(settings: &Settings) -> Result<Vec<String>, WorkerError> {
    let config = Config::load(&settings.config)?;
    let pool = db::pool(&database(settings, &config)?)?;
    let applied = migrate(&pool).await?;
    maintenance::build_indexes(&pool).await?;
    Ok(applied)
}

async fn migrate(pool: &Pool) -> Result<Vec<String>, WorkerError> {
    let applied = migrate::migrate(pool).await?;
    let mut client = pool.get().await?;
    webhook_payloads::make_partitions(&mut client).await?;
    for migration in &applied {
        tracing::info!(migration, "applied a migration");
    }
    Ok(applied)
}

fn database(settings: &Settings, config: &Config) -> Result<DatabaseConfig, WorkerError> {
    Ok(DatabaseConfig {
        url: settings.database_url.clone().ok_or(WorkerError::Unset("DATABASE_URL"))?,
        connections: config.worker.database_connections,
        statement_timeout_ms: config.worker.statement_timeout_ms,
        application: "oncehook worker",
    })
}

/// Who sends mails, and who asks the mail server whether it is there. A configuration that sends mail needs one.
fn mail(
    settings: &Settings,
    config: &Config,
    certificates: &PeerCertificates,
) -> Result<Option<(EmailPerformer, MailProbe)>, WorkerError> {
    let wanted = !config.effects.email.is_empty() || settings.operator_email.is_some();
    match (&settings.smtp_url, &settings.mail_from) {
        (Some(url), Some(from)) => {
            let smtp = SmtpPool::new(SmtpConfig::parse(url)?, begin_timeout(config), certificates.clone());
            let smtp = Arc::new(smtp);
            let probe = MailProbe::new(Arc::clone(&smtp), &config.dispatch);
            Ok(Some((EmailPerformer { smtp, from: from.clone() }, probe)))
        }
        _ if wanted => Err(WorkerError::NoMail),
        _ => Ok(None),
    }
}

/// Who performs each kind of effect.
fn performers(
    mail: Option<EmailPerformer>,
    config: &Config,
    certificates: PeerCertificates,
) -> Result<HashMap<&'static str, Arc<dyn Perform>>, WorkerError> {
    let mut performers: HashMap<&'static str, Arc<dyn Perform>> = HashMap::new();
    if let Some(mail) = mail {
        performers.insert("email", Arc::new(mail));
    }
    if !config.effects.http.is_empty() {
        let http = HttpPerformer::new(config.effects.http.iter(), begin_timeout(config), certificates)?;
        performers.insert("http", Arc::new(http));
    }
    Ok(performers)
}

/// How long it may take until a peer has been reached.
fn begin_timeout(config: &Config) -> Duration {
    Duration::from_millis(config.dispatch.deadline_ms / 3)
}

/// Ready while it takes from the queues and the last batch found the database, as new as it must be.
fn probe(links: Vec<watch::Receiver<LinkState>>, pipeline: Arc<Pipeline>) -> ops::Probe {
    Arc::new(move || {
        let mut missing = Vec::new();
        if links.iter().any(|link| *link.borrow() != LinkState::Up) {
            missing.push("no connection to the broker");
        }
        match pipeline.waits_for() {
            WaitsFor::Nothing => {}
            WaitsFor::Database => missing.push("the database is away or busy; what was taken waits"),
            WaitsFor::Schema => missing.push("the database is older than this worker; run worker migrate"),
        }
        Readiness::needing(missing)
    })
}

async fn finish<T>(what: &str, task: tokio::task::JoinHandle<T>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "the {what} ended badly");
    }
}
