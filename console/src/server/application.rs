//! The running console: built, asked for its address, run until it is told to stop. Tests take the same way, on port 0.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, middleware, web};
use anyhow::Context;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use shared::amqp::Topology;
use shared::config::Config;
use shared::db::{self, DatabaseConfig};
use shared::ops::{self, Readiness};
use shared::traces;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::access::attempts::Attempts;
use super::access::login;
use super::access::sessions::Sessions;
use super::access::tokens::{MadeUp, Tokens};
use super::command::ConsoleArgs;
use super::jobs::Jobs;
use super::metrics::{self, Metrics};
use super::monitor::{Feeds, Monitor};
use super::problem::Problem;
use super::state::Console;
use super::{api, assets, audit, inventory, jobs, outbox, outward, overview, parked, sources, webhooks};
use crate::connect::{self, setting};
use crate::settings::Settings;

/// Connections to Postgres that pages, the API and the monitor share.
const DATABASE_CONNECTIONS: usize = 8;
/// Those by which it tells whether Postgres is there.
const PROBE_CONNECTIONS: usize = 1;
/// Those of a console without any jobs; each takes one more.
pub(crate) const CONNECTIONS_BESIDE_JOBS: usize = DATABASE_CONNECTIONS + PROBE_CONNECTIONS;
/// How long one statement of a page may take, in milliseconds.
const STATEMENT_TIMEOUT_MS: u32 = 5_000;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a form or a document.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Threads that answer.
const THREADS: usize = 2;
/// How long open requests may take when the console stops, in seconds.
const DRAIN_TIMEOUT_S: u64 = 5;

/// The console, built and listening.
pub(crate) struct Application {
    console: web::Data<Console>,
    listener: TcpListener,
    ops: TcpListener,
    registry: Registry,
    made_up: Option<MadeUp>,
    watching: JoinHandle<()>,
    stop: CancellationToken,
}

impl Application {
    /// Reads the configuration, settles the tokens and begins to listen. The schema must be there: workers migrate.
    ///
    /// # Errors
    /// When a setting is wrong or missing, the database is away, or an address cannot be listened on.
    pub(crate) async fn build(settings: &Settings, arguments: &ConsoleArgs) -> anyhow::Result<Self> {
        let config = Config::load(&settings.config)?;
        let url = setting("DATABASE_URL", settings.database_url.as_ref())?;
        let pool = |connections, application| {
            let (url, statement_timeout_ms) = (url.clone(), STATEMENT_TIMEOUT_MS);
            db::pool(&DatabaseConfig { url, connections, statement_timeout_ms, application })
        };
        let own_pool = pool(PROBE_CONNECTIONS, "oncehook console probe")?;
        let job_pool = pool(arguments.jobs, "oncehook console jobs")?; // each works on one to its end
        let pool = pool(DATABASE_CONNECTIONS, "oncehook console")?;
        let client = pool.get().await.context("cannot connect to Postgres (DATABASE_URL)")?;
        let (tokens, made_up) = Tokens::settle(&arguments.tokens()?, &client)
            .await
            .context("there are no tokens; has `worker migrate` been run?")?;
        drop(client);
        let listen =
            |address: SocketAddr| TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"));
        let (listener, ops) = (listen(arguments.listen)?, listen(arguments.ops_listen)?);
        let feeds = Feeds {
            ingest_urls: settings.ingest_ops_url.clone(),
            worker_urls: settings.worker_ops_url.clone(),
            broker_metrics_urls: arguments.rabbitmq_metrics_url.clone(),
            broker: connect::broker(settings, config.queue.heartbeat_s).ok(),
            topology: Topology::new(&config.queue),
            pool: pool.clone(),
            own_pool,
        };
        let (monitor, jobs, stop) = (Monitor::default(), Jobs::new(arguments.jobs), CancellationToken::new());
        let watching = tokio::spawn(monitor.clone().watch(feeds, stop.clone()));
        let (attempts, runtime) = (Attempts::default(), tokio::runtime::Handle::current());
        let providers = config.catalogue()?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, arguments.jobs);
        traces::register(&mut registry);
        let console = Console {
            pool,
            job_pool,
            config,
            providers,
            settings: settings.clone(),
            tokens,
            attempts,
            sessions: Sessions::default(),
            proxies: arguments.proxies(),
            monitor,
            jobs,
            metrics,
            runtime,
        };
        Ok(Self { console: web::Data::new(console), listener, ops, registry, made_up, watching, stop })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket has gone.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The token that was made up now, to be shown this once.
    pub(crate) fn made_up_token(&self) -> Option<&SecretString> {
        self.made_up.as_ref().map(|MadeUp(token)| token)
    }

    /// Serves until `stop` resolves, then answers what is open and returns what `stop` gave.
    ///
    /// # Errors
    /// When a server ends by itself.
    pub(crate) async fn run_until_stopped<T>(self, stop: impl Future<Output = T>) -> anyhow::Result<T> {
        let ops_address = self.ops.local_addr()?;
        tracing::info!(address = %self.address()?, %ops_address, "the console is listening");
        let probe = probe(self.console.monitor.clone());
        let ops = ops::serve(self.ops, Arc::new(self.registry), probe).context("cannot serve the ops port")?;
        let console = self.console.clone();
        let server = serve(self.listener, self.console).context("cannot serve the pages")?;
        let (handle, ops_handle) = (server.handle(), ops.handle());
        let (mut server, mut ops) = (tokio::spawn(server), tokio::spawn(ops));
        let stopped = tokio::select! {
            stopped = stop => stopped,
            _ended = &mut server => anyhow::bail!("the server ended by itself"),
            _ended = &mut ops => anyhow::bail!("the ops server ended by itself"),
        };
        // What has been begun for many is stopped between two groups, and says so.
        console.jobs.stop().await;
        self.stop.cancel();
        self.watching.await.context("the monitor ended badly")?;
        handle.stop(true).await;
        ops_handle.stop(true).await;
        server.await?.context("the server failed")?;
        ops.await?.context("the ops server failed")?;
        Ok(stopped)
    }
}

fn serve(listener: TcpListener, console: web::Data<Console>) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(console.clone())
            .app_data(web::PayloadConfig::new(MAX_REQUEST_BYTES))
            .app_data(
                web::FormConfig::default()
                    .error_handler(|_broken, _request| Problem::Malformed("the form cannot be read".to_owned()).into()),
            )
            .wrap(middleware::from_fn(outward::guard))
            .wrap(middleware::from_fn(metrics::measure))
            .configure(routes)
            .default_service(web::to(nothing_here))
    })
    .workers(THREADS)
    .client_request_timeout(HEAD_TIMEOUT)
    .shutdown_timeout(DRAIN_TIMEOUT_S)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

/// All there is, in one place.
fn routes(app: &mut web::ServiceConfig) {
    app.route("/assets/{version}/{name}", web::get().to(assets::asset))
        .route("/favicon.ico", web::get().to(assets::icon))
        .route("/login", web::get().to(login::form))
        .route("/login", web::post().to(login::login))
        .route("/logout", web::post().to(login::logout))
        .route("/", web::get().to(overview::page::overview))
        .route("/overview/now", web::get().to(overview::page::now_part))
        .route("/webhooks", web::get().to(webhooks::page::list))
        .route("/webhooks/replay", web::post().to(webhooks::page::replay))
        .route("/webhooks/{source}/{id:.+}", web::get().to(webhooks::page::show))
        .route("/moving/{source}/{id:.+}", web::get().to(webhooks::page::moving))
        .route("/bodies/{source}/{id:.+}", web::get().to(webhooks::page::raw))
        .route("/parked", web::get().to(parked::page::list))
        .route("/parked/act", web::post().to(parked::page::act))
        .route("/jobs", web::get().to(jobs::page::list))
        .route("/jobs/{id}", web::get().to(jobs::page::show))
        .route("/jobs/{id}/stop", web::post().to(jobs::page::stop))
        .route("/jobs/{id}/now", web::get().to(jobs::page::now))
        .route("/outbox", web::get().to(outbox::page::list))
        .route("/outbox/act", web::post().to(outbox::page::act))
        .route("/outbox/pause", web::post().to(outbox::page::pause))
        .route("/outbox/resume", web::post().to(outbox::page::resume))
        .route("/inventory", web::get().to(inventory::page::list))
        .route("/inventory/set", web::post().to(inventory::page::set))
        .route("/sources", web::get().to(sources::page::list))
        .route("/audit", web::get().to(audit::page))
        .route("/audit/{id}", web::get().to(audit::entry))
        .configure(api::routes);
}

async fn nothing_here() -> Result<&'static str, Problem> {
    Err(Problem::NotFound)
}

/// Ready while Postgres answers, however much there is to be counted.
fn probe(monitor: Monitor) -> ops::Probe {
    Arc::new(move || {
        Readiness::needing(match monitor.known().is_alive {
            Some(true) => Vec::new(),
            Some(false) => vec!["the database does not answer"],
            None => vec!["the database has not answered yet"],
        })
    })
}
