//! One run's world: its database, queues, mail sink and directory, and the processes in it.
//!
//! All ways between the processes and the services lead through relays, so that any network can break.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lapin::options::QueueDeleteOptions;
use shared::amqp::{Broker, BrokerConnection, Topology};
use shared::config::Config;
use testing::http_sink::HttpSink;
use tokio::sync::Mutex;

use crate::database::{Books, Database};
use crate::disk::SmallDisk;
use crate::mail::{Arrived, MailSink};
use crate::process::{Ends, Spec, Supervised};
use crate::provider::Provider;
use crate::relay::Relay;
use crate::services::{Services, setting};
use crate::setup::Setup;
use crate::spool::Spools;

/// What the provider signs with.
pub(crate) const SECRET: &str = "hush-faults";
/// How long a process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(200);

/// One run's world.
pub(crate) struct World {
    pub(crate) services: Services,
    pub(crate) provider: Provider,
    pub(crate) database: Database,
    pub(crate) spools: Spools,
    pub(crate) directory: PathBuf,
    pub(crate) domain: String,
    /// Between ingest and the broker.
    pub(crate) ingest_broker: Relay,
    /// Between the workers and the broker.
    pub(crate) worker_broker: Relay,
    /// Between the workers and Postgres.
    pub(crate) worker_postgres: Relay,
    pub(crate) topology: Topology,
    pub(crate) ingest_port: u16,
    /// The small disks that the run's setup asked for.
    pub(crate) disks: Vec<SmallDisk>,
    broker: Broker,
    mail: MailSink,
    calls: HttpSink,
    setup: Setup,
    ops_ports: Vec<u16>,
    ingest: Mutex<Option<Supervised>>,
    workers: Mutex<Vec<Supervised>>,
}

impl World {
    /// Makes everything and waits until all processes are ready.
    pub(crate) async fn up(services: &Services, setup: Setup) -> anyhow::Result<Self> {
        let run = format!("f{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let home = std::fs::canonicalize(services.root().join(".dev/faults/data"))?;
        let directory = home.join("runs").join(&run);
        std::fs::create_dir_all(directory.join("spool"))?;
        let mut disks = Vec::new();
        if let Some(bytes) = setup.spool_disk_bytes {
            disks.push(SmallDisk::mount(&directory.join("spool"), bytes, None)?);
        }
        let mut tablespace = None;
        if let Some(bytes) = setup.database_disk_bytes {
            disks.push(SmallDisk::tablespace(&run, &home.join(format!("tablespace-{run}")), bytes).await?);
            tablespace = Some(run.as_str());
        }
        let database = Database::create(&run, tablespace).await?;
        let calls = HttpSink::start().await;
        let default = std::fs::read_to_string(services.root().join("oncehook.toml"))?;
        let config = setup.configuration(&default, &run, &calls.url("/flaky"))?;
        std::fs::write(directory.join("oncehook.toml"), &config)?;
        let config = Config::parse("oncehook.toml", &config)?;
        let broker = Broker::new(&setting("AMQP_URL")?, "faults", 5)?;
        let (ingest_port, mail_ports) = (free_port()?, [free_port()?, free_port()?]);
        let mail = MailSink::start(services.root(), &directory, mail_ports);
        let world = Self {
            services: services.clone(),
            provider: Provider::new(format!("http://127.0.0.1:{ingest_port}/webhooks/shopify"))?,
            spools: Spools { root: directory.join("spool") },
            domain: format!("{run}.example"),
            ingest_broker: Relay::to(authority("AMQP_URL")?).await?,
            worker_broker: Relay::to(authority("AMQP_URL")?).await?,
            worker_postgres: Relay::to(authority("DATABASE_URL")?).await?,
            topology: Topology::new(&config.queue),
            ops_ports: (0..=setup.workers.max(8)).map(|_| free_port()).collect::<Result<_, _>>()?,
            ingest: Mutex::default(),
            workers: Mutex::default(),
            database,
            directory,
            ingest_port,
            disks,
            broker,
            mail,
            calls,
            setup,
        };
        world.start().await.map(|()| world)
    }

    async fn start(&self) -> anyhow::Result<()> {
        // The first worker migrates; the others then find nothing to do.
        self.add_worker().await?;
        self.database.fill_stock().await?;
        *self.ingest.lock().await = Some(Supervised::start(self.ingest_spec()?));
        for _ in 1..self.setup.workers {
            self.add_worker().await?;
        }
        self.ready(*self.ops_ports.last().context("no port for ingest")?).await
    }

    /// Starts one more worker and waits until it is ready.
    pub(crate) async fn add_worker(&self) -> anyhow::Result<()> {
        let mut workers = self.workers.lock().await;
        let index = workers.len();
        workers.push(Supervised::start(self.worker_spec(index)?));
        drop(workers);
        self.ready(*self.ops_ports.get(index).context("too many workers")?).await
    }

    /// Stops the worker that was started last, gracefully.
    pub(crate) async fn remove_worker(&self) -> anyhow::Result<()> {
        let worker = self.workers.lock().await.pop().context("there is no worker")?;
        worker.stop().await
    }

    /// Does something to one worker.
    pub(crate) async fn with_worker<T>(&self, index: usize, act: impl FnOnce(&Supervised) -> T) -> anyhow::Result<T> {
        Ok(act(self.workers.lock().await.get(index).context("there is no such worker")?))
    }

    /// Does something to ingest.
    pub(crate) async fn with_ingest<T>(&self, act: impl FnOnce(&Supervised) -> T) -> anyhow::Result<T> {
        Ok(act(self.ingest.lock().await.as_ref().context("ingest is stopped")?))
    }

    /// How often workers, and ingest, have ended by themselves.
    pub(crate) async fn ends(&self) -> anyhow::Result<Ends> {
        let workers = self.workers.lock().await.iter().map(Supervised::ends).collect::<Vec<_>>();
        let ingest = self.with_ingest(Supervised::ends).await?;
        let all = workers.into_iter().chain([ingest]);
        Ok(all.fold(Ends::default(), |sum, ends| Ends {
            killed: sum.killed + ends.killed,
            failed: sum.failed + ends.failed,
        }))
    }

    /// Waits until so many more webhooks have been answered 2xx.
    pub(crate) async fn accepts(&self, more: usize) -> anyhow::Result<()> {
        let goal = self.provider.history().accepted().count() + more;
        until(Duration::from_secs(90), &format!("{more} more webhooks are answered 2xx"), async || {
            Ok(self.provider.history().accepted().count() >= goal)
        })
        .await
    }

    /// Waits until everything accepted (but what the fault destroyed) has taken effect or is parked, every send is
    /// settled, and queues and spools are empty.
    pub(crate) async fn drained(&self, destroyed_at: Option<Instant>, within: Duration) -> anyhow::Result<()> {
        until(within, "everything is drained", async || {
            let Ok(books) = self.database.books().await else { return Ok(false) };
            let is_known = |id: &String| books.processed.contains(id) || books.parked.contains_key(id);
            let destroyed = |at: Option<Instant>| destroyed_at.is_some_and(|end| at.is_some_and(|at| at <= end));
            let open =
                self.provider.history().accepted().any(|(id, sent)| !is_known(id) && !destroyed(sent.accepted_at));
            let sending = books.outbox.iter().any(|row| matches!(row.state.as_str(), "pending" | "sending"));
            if open || sending || self.spools.waiting()? > 0 {
                return Ok(false);
            }
            Ok(self.queued().await.is_ok_and(|queued| queued.values().all(|messages| *messages == 0)))
        })
        .await
    }

    /// Stops all processes; they must end gracefully.
    pub(crate) async fn stop_processes(&self) -> anyhow::Result<()> {
        if let Some(ingest) = self.ingest.lock().await.take() {
            ingest.stop().await?;
        }
        let mut workers = self.workers.lock().await;
        while let Some(worker) = workers.pop() {
            worker.stop().await?;
        }
        Ok(())
    }

    /// What lies in queues and spools, and sends that nobody settled.
    pub(crate) async fn residue(&self, books: &Books) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut residue = self.queued().await?;
        residue.insert("spool".to_owned(), self.spools.waiting()?);
        residue.insert("spool, corrupt".to_owned(), self.spools.corrupt()?.len() as u64);
        let open = books.outbox.iter().filter(|row| matches!(row.state.as_str(), "pending" | "sending"));
        residue.insert("leases and sends".to_owned(), open.count() as u64);
        Ok(residue)
    }

    /// Messages ready, by queue.
    async fn queued(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let connection = self.broker.connect("depths").await?;
        let depths = self.topology.depths(&connection).await?;
        connection.close(200, "asked".into()).await?;
        Ok(depths.into_iter().map(|depth| (depth.queue, u64::from(depth.ready.unwrap_or(0)))).collect())
    }

    /// A connection to the broker past all relays.
    pub(crate) async fn broker(&self) -> anyhow::Result<BrokerConnection> {
        Ok(self.broker.connect("fault").await?)
    }

    /// The mails that arrived.
    pub(crate) async fn mails(&self) -> anyhow::Result<Arrived> {
        self.mail.mails().await
    }

    /// The calls that arrived, by order and idempotency key. A peer that answered 503 has said that it did not take it.
    pub(crate) fn calls(&self) -> anyhow::Result<Arrived> {
        let mut calls = Arrived::new();
        for call in self.calls.calls().into_iter().filter(|call| call.answered != 503) {
            let body: serde_json::Value = serde_json::from_str(&call.body)?;
            let order = body.get("order").and_then(serde_json::Value::as_str).context("a call without an order")?;
            *calls.entry(order.to_owned()).or_default().entry(call.key().to_owned()).or_default() += 1;
        }
        Ok(calls)
    }

    /// Deletes everything that the run has made; keeps its logs if it failed.
    pub(crate) async fn tear_down(self, keep_logs: bool) -> anyhow::Result<()> {
        drop(self.stop_processes().await); // a run that failed may have left them in any state
        self.mail.stop().await?;
        let connection = self.broker.connect("tear down").await?;
        let channel = connection.create_channel().await?;
        for queue in self.topology.names() {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        connection.close(200, "done".into()).await?;
        self.database.drop().await?;
        for disk in self.disks {
            disk.unmount().await?;
        }
        if !keep_logs {
            std::fs::remove_dir_all(&self.directory)?;
        }
        Ok(())
    }

    async fn ready(&self, ops_port: u16) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let url = format!("http://127.0.0.1:{ops_port}/readyz");
        let what = format!("{url} is ready (logs: {})", self.directory.display());
        until(READY_WITHIN, &what, async || {
            Ok(client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
    }

    fn ingest_spec(&self) -> anyhow::Result<Spec> {
        let ops_port = self.ops_ports.last().context("no port for ingest")?;
        let mut environment = vec![
            ("AMQP_URL".to_owned(), via("AMQP_URL", &self.ingest_broker, None)?),
            ("SPOOL_DIR".to_owned(), self.spools.root.display().to_string()),
            ("INGEST_LISTEN".to_owned(), format!("127.0.0.1:{}", self.ingest_port)),
            ("OPS_LISTEN".to_owned(), format!("127.0.0.1:{ops_port}")),
            ("SHOPIFY_WEBHOOK_SECRET".to_owned(), SECRET.to_owned()),
        ];
        for unused in ["GITHUB_WEBHOOK_SECRET", "GENERIC_WEBHOOK_SECRET"] {
            environment.push((unused.to_owned(), "unused".to_owned()));
        }
        environment.push(("STANDARD_WEBHOOKS_SECRET".to_owned(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
        self.spec("ingest", environment, self.setup.ingest_failpoints.clone())
    }

    fn worker_spec(&self, index: usize) -> anyhow::Result<Spec> {
        let ops_port = self.ops_ports.get(index).context("too many workers")?;
        let mut environment = vec![
            ("AMQP_URL".to_owned(), via("AMQP_URL", &self.worker_broker, None)?),
            ("DATABASE_URL".to_owned(), via("DATABASE_URL", &self.worker_postgres, Some(&self.database.name))?),
            ("SMTP_URL".to_owned(), format!("smtp://127.0.0.1:{}", self.mail.smtp_port)),
            ("MAIL_FROM".to_owned(), format!("Shop <shop@{}>", self.domain)),
            ("OPERATOR_EMAIL".to_owned(), format!("operator@{}", self.domain)),
            ("OPS_LISTEN".to_owned(), format!("127.0.0.1:{ops_port}")),
            ("MIGRATE_ON_START".to_owned(), "true".to_owned()),
        ];
        if let Some(always) = &self.setup.worker_failpoints_always {
            environment.push(("FAILPOINTS".to_owned(), always.clone()));
        }
        let failpoints = self.setup.worker_failpoints.get(index).cloned().unwrap_or_default();
        let name = format!("worker-{index}");
        let mut spec = self.spec(&name, environment, failpoints)?;
        if let Some(bytes) = self.setup.worker_memory_bytes {
            spec.command.splice(0..0, ["/usr/bin/prlimit".to_owned(), format!("--as={bytes}"), "--core=0".to_owned()]);
        }
        Ok(spec)
    }

    fn spec(&self, name: &str, own: Vec<(String, String)>, failpoints: VecDeque<String>) -> anyhow::Result<Spec> {
        let program = name.split('-').next().unwrap_or(name);
        let mut environment = own;
        environment.push(("ONCEHOOK_CONFIG".to_owned(), self.directory.join("oncehook.toml").display().to_string()));
        if self.setup.false_clocks {
            environment.extend(crate::clock::environment(&self.directory, name)?);
        }
        let command = vec![setting("FAULTS_BINARIES")? + "/" + program];
        Ok(Spec { name: name.to_owned(), command, environment, failpoints, directory: self.directory.clone() })
    }
}

/// Waits until a condition holds. What cannot be told yet counts as not holding; an error ends the waiting.
pub(crate) async fn until(
    within: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    while !holds().await? {
        anyhow::ensure!(Instant::now() < deadline, "not within {} s: {what}", within.as_secs());
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// A service's URL with the relay's address in the place of the service's, and another path if one is given.
fn via(variable: &str, relay: &Relay, path: Option<&str>) -> anyhow::Result<String> {
    let mut url = reqwest::Url::parse(&setting(variable)?)?;
    let changed = url.set_port(Some(relay.address.port()));
    changed.ok().context("the URL has no port")?;
    url.set_host(Some("127.0.0.1"))?;
    if let Some(path) = path {
        url.set_path(path);
    }
    Ok(url.into())
}

/// `host:port` of a service's URL.
fn authority(variable: &str) -> anyhow::Result<String> {
    let url = reqwest::Url::parse(&setting(variable)?)?;
    let host = url.host_str().context("the URL has no host")?;
    Ok(format!("{host}:{}", url.port().context("the URL has no port")?))
}

/// A port that was free a moment ago. Below 32768, where the kernel begins to take the ports of outgoing connections: what is chosen here is listened on later,
/// and again after each restart, while others connect.
fn free_port() -> std::io::Result<u16> {
    loop {
        let port = fastrand::u16(20_000..32_000);
        match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(_free) => return Ok(port),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}
