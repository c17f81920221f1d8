//! The running service: built, asked for its ports, run until it is told to stop. Tests take the same way,
//! on port 0.
//!
//! Stopping: `/readyz` says so, no new connections, requests in flight are answered, then the spool and the publisher
//! end, then the ops port.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::KeepAlive;
use actix_web::{App, HttpServer, middleware, web};
use prometheus_client::registry::Registry;
use secrecy::ExposeSecret as _;
use shared::amqp::{AddressesError, Broker, MessagingMetrics, Publisher, PublisherConfig, Topology};
use shared::config::{Config, ConfigError, IngestConfig, QueueConfig};
use shared::error_chain::error_chain;
use shared::ops;
use shared::provider::CatalogueError;
use shared::spool::waiting_files;
use shared::traces;
use shared::verification::Certificates;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::certificates::Fetcher;
use crate::connections::{self, DISCONNECT_TIMEOUT, Watch};
use crate::durable::Keeper;
use crate::metrics::Metrics;
use crate::open_files;
use crate::readiness;
use crate::receive::{self, Inbox};
use crate::room::Room;
use crate::settings::Settings;
use crate::sources::{Sources, SourcesError};
use crate::spool::{Ended, Outlet, Running, Spool, SpoolError, SpoolOptions};

/// Connections waiting in the kernel to be accepted.
const BACKLOG: u32 = 1024;

/// Ingest, built and listening.
pub struct Application {
    server: Server,
    ops: Server,
    port: u16,
    ops_port: u16,
    publisher: JoinHandle<()>,
    spool: Option<Running>,
    /// Told first: `/readyz` says so, and nothing else changes.
    stopping: CancellationToken,
    /// Told last: the publisher ends.
    stop: CancellationToken,
}

/// Why ingest can't start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration file can't be used.
    #[error("the configuration can't be used")]
    Config(#[from] ConfigError),
    /// A provider file is wrong.
    #[error("the provider files can't be used")]
    Providers(#[from] CatalogueError),
    /// TLS for fetching certificates can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] reqwest::Error),
    /// Sources can't verify.
    #[error("the sources can't receive")]
    Sources(#[from] SourcesError),
    /// There is no address of a broker.
    #[error("AMQP_URL is not set")]
    NoBroker,
    /// The broker's addresses are wrong.
    #[error(transparent)]
    Broker(#[from] AddressesError),
    /// An address can't be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The spool can't be used.
    #[error("the spool can't be used; spool.enabled = false does without it")]
    Spool(#[from] SpoolError),
    /// Webhooks that were answered 2xx would never be published.
    #[error(
        "spool.enabled = false, and {files} spooled files wait in {}: start with the spool until they are published, or run `oncehook spool drain`",
        root.display()
    )]
    Stranded {
        /// Where the spool was.
        root: PathBuf,
        /// Files in the `new/` of all replicas.
        files: usize,
    },
    /// A server can't be set up.
    #[error("cannot set up the server")]
    Server(#[source] std::io::Error),
}

/// Why ingest ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A server failed.
    #[error("the server failed")]
    Server(#[source] std::io::Error),
    /// A server ended by itself.
    #[error("the server ended by itself")]
    Ended,
    /// The publisher or the spool ended by itself: webhooks would be answered 503, or kept and not published.
    #[error("the {0} ended by itself")]
    Part(&'static str),
    /// A task of the service panicked.
    #[error("a task of the service panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Application {
    /// Builds the service and begins to listen. Connects to the broker in the background: until it is there,
    /// webhooks are spooled and `/readyz` says so. Must be called from the runtime that will run it.
    ///
    /// # Errors
    /// [`BuildError`] if the configuration is wrong, a source can't verify, the spool can't be used, or an address can't
    /// be listened on.
    pub fn build(settings: &Settings) -> Result<Self, BuildError> {
        let config = Config::load(&settings.config)?;
        let limits = &config.ingest;
        open_files::raise(limits);
        let certificates = Certificates::default();
        let sources = Sources::build(&config, &config.catalogue()?, &certificates)?;
        let fetcher = Arc::new(Fetcher::new(certificates).map_err(BuildError::Tls)?);
        let amqp_url = settings.amqp_url.as_ref().ok_or(BuildError::NoBroker)?;
        let broker = Broker::new(amqp_url.expose_secret(), "ingest", config.queue.heartbeat_s)?;
        let topology = Topology::new(&config.queue);
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, limits);
        metrics.expect(&sources);
        topology.register(&mut registry);
        traces::register(&mut registry);
        let listener = listen(settings.listen)?;
        let ops_listener = listen(settings.ops_listen)?;
        let (port, ops_port) = (port(&listener)?, port(&ops_listener)?);

        let (stopping, stop) = (CancellationToken::new(), CancellationToken::new());
        let queue: Arc<str> = topology.webhooks().into();
        let publishing = PublisherConfig::new(&config.queue, limits.publish_timeout());
        let publishing = publishing.counted_by(messaging(&config.queue, &queue, &mut registry));
        let (publisher, publisher_task) = Publisher::spawn(broker, topology, &publishing, stop.clone());
        let breaker = Arc::new(Breaker::default());
        let outlet = Outlet { publisher: publisher.clone(), queue: Arc::clone(&queue), breaker: Arc::clone(&breaker) };
        let (spool, running) = start_spool(&config, settings, outlet, &mut registry)?.unzip();
        let keeper = Keeper { publisher, queue, breaker, spool };
        let probe = readiness::probe(keeper.clone(), stopping.clone());
        let inbox = Inbox {
            sources,
            fetcher,
            keeper,
            room: Room::new(limits, metrics.clone()),
            body_timeout: limits.body_timeout(),
            accept_timeout: limits.accept_timeout(),
            retry_after_s: limits.retry_after_s,
            metrics,
        };
        let server = serve(listener, inbox, limits).map_err(BuildError::Server)?;
        let ops = ops::serve(ops_listener, Arc::new(registry), probe).map_err(BuildError::Server)?;
        Ok(Self { server, ops, port, ops_port, publisher: publisher_task, spool: running, stopping, stop })
    }

    /// The port for webhooks.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for `/livez`, `/readyz` and `/metrics`.
    #[must_use]
    pub fn ops_port(&self) -> u16 {
        self.ops_port
    }

    fn announce(&self) {
        tracing::info!(port = self.port, ops_port = self.ops_port, "ingest is listening");
    }

    /// Runs until `stop` resolves, then answers what is in flight and returns what `stop` gave.
    ///
    /// # Errors
    /// [`RunError`] if a server, the publisher or a part of the spool ends by itself.
    pub async fn run_until_stopped<T>(self, stop: impl Future<Output = T>) -> Result<T, RunError> {
        self.announce();
        let (handle, ops_handle) = (self.server.handle(), self.ops.handle());
        let mut server = tokio::spawn(self.server);
        let mut ops = tokio::spawn(self.ops);
        let (mut publisher, mut spool) = (self.publisher, self.spool);
        let stopped = tokio::select! {
            stopped = stop => stopped,
            ended = &mut server => return Err(ended_early(ended)),
            ended = &mut ops => return Err(ended_early(ended)),
            ended = &mut publisher => return Err(part_ended("publisher", ended)),
            error = spool_ended(&mut spool) => return Err(error),
        };
        self.stopping.cancel();
        handle.stop(true).await;
        server.await?.map_err(RunError::Server)?;
        if let Some(spool) = spool {
            spool.stop().await?;
        }
        self.stop.cancel();
        publisher.await?;
        ops_handle.stop(true).await;
        ops.await?.map_err(RunError::Server)?;
        Ok(stopped)
    }
}

fn ended_early(ended: Result<std::io::Result<()>, tokio::task::JoinError>) -> RunError {
    match ended {
        Ok(Ok(())) => RunError::Ended,
        Ok(Err(error)) => RunError::Server(error),
        Err(panicked) => panicked.into(),
    }
}

fn part_ended(part: &'static str, ended: Result<(), tokio::task::JoinError>) -> RunError {
    ended.map_or_else(RunError::Panicked, |()| RunError::Part(part))
}

/// Waits for the spool's end, if there is a spool: nothing of it ends before it is told to.
async fn spool_ended(spool: &mut Option<Running>) -> RunError {
    match spool {
        Some(spool) => match spool.ended().await {
            Ended::Drainer(ended) => part_ended("spool's drainer", ended),
            Ended::Writer => RunError::Part("spool's writer"),
        },
        None => std::future::pending().await,
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address).map_err(|source| BuildError::Listen { address, source })
}

fn port(listener: &TcpListener) -> Result<u16, BuildError> {
    listener.local_addr().map(|address| address.port()).map_err(BuildError::Server)
}

fn messaging(limits: &QueueConfig, queue: &str, registry: &mut Registry) -> MessagingMetrics {
    let messaging = MessagingMetrics::default();
    messaging.register(registry, limits);
    messaging.expect(queue);
    messaging
}

/// The spool, unless the configuration does without.
fn start_spool(
    config: &Config,
    settings: &Settings,
    outlet: Outlet,
    registry: &mut Registry,
) -> Result<Option<(Spool, Running)>, BuildError> {
    let root = settings.spool_dir.clone().unwrap_or_else(|| config.spool.directory.clone());
    if !config.spool.enabled {
        return refuse_stranded(root).map(|()| None);
    }
    let options = SpoolOptions { config: config.spool.clone(), root, queue: config.ingest.max_in_flight as usize };
    Ok(Some(Spool::start(options, outlet, registry)?))
}

/// Does without a spool only where none was left behind. Refusing is noticed when the setting is changed; what is
/// stranded in silence would be noticed by whoever misses it.
fn refuse_stranded(root: PathBuf) -> Result<(), BuildError> {
    match waiting_files(&root) {
        Ok(0) => Ok(()),
        Ok(files) => Err(BuildError::Stranded { root, files }),
        Err(error) => {
            tracing::warn!(directory = %root.display(), error = error_chain(&error), "cannot look for spooled files");
            Ok(())
        }
    }
}

fn serve(listener: TcpListener, inbox: Inbox, limits: &IngestConfig) -> std::io::Result<Server> {
    let (workers, connections) = (connections::workers(), connections::per_worker(limits.max_connections));
    let (head_timeout, keep_alive) = (
        Duration::from_millis(limits.head_timeout_ms + IngestConfig::HEAD_SLACK_MS),
        Duration::from_secs(limits.keep_alive_s),
    );
    let watch =
        Watch { gauge: inbox.metrics.connections.clone(), idle: keep_alive + head_timeout + DISCONNECT_TIMEOUT };
    let server = HttpServer::new(move || {
        App::new()
            .wrap(middleware::from_fn(connections::guard))
            .app_data(web::Data::new(inbox.clone()))
            .default_service(web::to(receive::request))
    })
    .on_connect(move |stream, extensions| connections::opened(&watch, stream, extensions))
    .workers(workers)
    .max_connections(connections)
    .backlog(BACKLOG)
    .client_request_timeout(head_timeout)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .keep_alive(KeepAlive::Timeout(keep_alive))
    .shutdown_timeout(limits.drain_timeout_s)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}
