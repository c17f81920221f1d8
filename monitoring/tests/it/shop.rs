//! A shop's webhooks, and the two services that take them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use secrecy::SecretString;
use shared::provider::Catalogue;
use shared::verification::{Outgoing, Signer};
use testing::orders::Order;
use testing::services::setting;
use testing::state::{quicken, stock};
use testing::wait::until;
use testing::{Stack, replace};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "hush";

/// The services of one test.
pub(crate) struct Shop<'s> {
    stack: &'s Stack,
    pub(crate) config: PathBuf,
    pub(crate) ingest_ops_port: u16,
    pub(crate) worker_ops_port: u16,
    /// Where a console's is, if one is started.
    pub(crate) console_ops_port: u16,
    ingest_port: u16,
    ingest: Service,
    worker: Service,
    smtp_url: String,
    client: reqwest::Client,
}

/// One of them.
struct Service {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

/// What a test may have otherwise.
#[derive(Default)]
pub(crate) struct Otherwise {
    /// ingest's way to the broker.
    pub(crate) amqp_url: Option<String>,
    /// The worker's way to the mail sink.
    pub(crate) smtp_url: Option<String>,
}

impl Service {
    async fn stop(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
    }
}

impl<'s> Shop<'s> {
    /// What the names of its queues begin with.
    pub(crate) fn queues(&self) -> String {
        self.stack.topology.webhooks()
    }

    /// Opens: both services run, the worker is ready, and there is one SKU in stock.
    pub(crate) async fn open(stack: &'s Stack, otherwise: Otherwise) -> Self {
        shared::crypto::install();
        stock(stack, &["MUG"]).await;
        let secret = stack.directory.join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let config = stack.configure(|text| configuration(text, &secret));
        let amqp_url = otherwise.amqp_url.unwrap_or_else(|| setting("AMQP_URL"));
        let (ingest, ingest_port, ingest_ops_port) = start_ingest(stack, &config, amqp_url);
        let smtp_url = otherwise.smtp_url.unwrap_or_else(|| setting("SMTP_URL"));
        let (worker, worker_ops_port) = start_worker(stack, &config, smtp_url.clone(), 0).await;
        let client = reqwest::Client::new();
        let console_ops_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shop = Self {
            stack,
            config,
            ingest_ops_port,
            worker_ops_port,
            console_ops_port,
            ingest_port,
            ingest,
            worker,
            smtp_url,
            client,
        };
        shop.worker_is_ready().await;
        shop
    }

    async fn worker_is_ready(&self) {
        let ready = format!("http://127.0.0.1:{}/readyz", self.worker_ops_port);
        until("the worker is ready", || async {
            self.client.get(&ready).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Sends an order's webhook, signed with a secret; returns the answer's status.
    pub(crate) async fn send(&self, order: u64, sku: &str, secret: &str) -> u16 {
        let provider = Catalogue::built_in().unwrap().get("shopify").unwrap().clone();
        let signer = Signer::new(&provider, SecretString::from(secret)).unwrap();
        let body = Order::of(order, &format!("{order}@{}", self.stack.mail_domain), &[sku]).body();
        self.post(order, &signer, &body).await
    }

    /// Sends a genuine webhook with a body of this many bytes; returns the answer's status.
    pub(crate) async fn order_of_size(&self, order: u64, bytes: usize) -> u16 {
        let provider = Catalogue::built_in().unwrap().get("shopify").unwrap().clone();
        let signer = Signer::new(&provider, SecretString::from(SECRET)).unwrap();
        self.post(order, &signer, format!("{{\"id\": {order}, \"padding\": \"{}\"}}", "x".repeat(bytes)).as_bytes())
            .await
    }

    async fn post(&self, order: u64, signer: &Signer<'_>, body: &[u8]) -> u16 {
        let (id, at) = (format!("w-{order}"), OffsetDateTime::now_utc());
        let signed = signer.sign(Outgoing { id: &id, topic: "orders/paid", body, at }).unwrap();
        let url = format!("http://127.0.0.1:{}/webhooks/shopify", self.ingest_port);
        let mut request = self.client.post(url).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// Sends a genuine order that is answered 200.
    pub(crate) async fn order(&self, order: u64, sku: &str) {
        assert_eq!(self.send(order, sku, SECRET).await, 200);
    }

    /// A bit of everything: orders that are processed, one that is parked, one that is forged.
    pub(crate) async fn bustle(&self, first: u64) {
        for order in first..first + 5 {
            self.order(order, "MUG").await;
        }
        self.order(first + 5, "NO-SUCH-SKU").await;
        assert_eq!(self.send(first + 6, "MUG", "guessed").await, 401);
    }

    /// What a service's `/metrics` says.
    pub(crate) async fn metrics(&self, ops_port: u16) -> String {
        let url = format!("http://127.0.0.1:{ops_port}/metrics");
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// What a console says of itself that was asked for a page.
    pub(crate) async fn console_metrics(&self) -> String {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, ops) = (free(), free());
        let arguments = [
            ("--listen", address.to_string()),
            ("--ops-listen", ops.to_string()),
            ("--operator-token", "a-token-of-this-test-alone".to_owned()),
            ("--config", self.config.display().to_string()),
            ("--database-url", self.stack.database.url.clone()),
            ("--amqp-url", setting("AMQP_URL")),
        ];
        let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let command = ["oncehook".to_owned(), "console".to_owned()].into_iter().chain(arguments);
        let cli = console::Cli::try_parse_from(command).unwrap();
        let page = format!("http://{address}/login");
        let asked = async {
            until("the console answers", || async { self.client.get(&page).send().await.ok() }).await;
            self.metrics(ops.port()).await
        };
        let mut nowhere = std::io::sink();
        tokio::select! {
            ended = console::run(cli, &mut nowhere) => panic!("the console ended: {ended:?}"),
            metrics = asked => metrics,
        }
    }

    /// Stops the worker.
    pub(crate) async fn stop_worker(&mut self) {
        self.worker.stop().await;
    }

    /// Starts a worker where the one was that was stopped.
    pub(crate) async fn start_worker_again(&mut self) {
        let smtp_url = self.smtp_url.clone();
        (self.worker, _) = start_worker(self.stack, &self.config, smtp_url, self.worker_ops_port).await;
        self.worker_is_ready().await;
    }

    /// Closes.
    pub(crate) async fn close(mut self) {
        self.ingest.stop().await;
        if !self.worker.running.is_finished() {
            self.worker.stop().await;
        }
        assert!(self.config.exists());
    }
}

/// Secrets from a file, a ladder and a dispatcher that keep nobody waiting, a spool that is soon full, and a call that is
/// never made, to a service that would be spoken with over TLS.
fn configuration(text: &str, secret: &Path) -> String {
    let mut text = quicken(text);
    for name in
        ["SHOPIFY_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "STANDARD_WEBHOOKS_SECRET", "GENERIC_WEBHOOK_SECRET"]
    {
        text = replace(&text, &format!("{{ env = \"{name}\" }}"), &format!("{{ file = {secret:?} }}"));
    }
    text = replace(&text, "provider = \"standard-webhooks\"", "provider = \"generic\"");
    text = replace(&text, "max_bytes = 1073741824", "max_bytes = 1048576");
    text + "\n[effects.http.tell-warehouse]\nurl = \"https://warehouse.example/hook\"\nmap = \"{ key: .id, body: . }\"\n"
}

fn start_ingest(stack: &Stack, config: &Path, amqp_url: String) -> (Service, u16, u16) {
    let settings = ingest::Settings {
        config: config.to_owned(),
        amqp_url: Some(SecretString::from(amqp_url)),
        spool_dir: Some(stack.directory.join("spool")),
        listen: ([127, 0, 0, 1], 0).into(),
        ops_listen: ([127, 0, 0, 1], 0).into(),
    };
    let application = ingest::Application::build(&settings).unwrap();
    let (port, ops_port, stop) = (application.port(), application.ops_port(), CancellationToken::new());
    let stopping = stop.clone();
    let running = tokio::spawn(async move { application.run_until_stopped(stopping.cancelled()).await.unwrap() });
    (Service { stop, running }, port, ops_port)
}

async fn start_worker(stack: &Stack, config: &Path, smtp_url: String, ops_port: u16) -> (Service, u16) {
    let settings = worker::Settings {
        config: config.to_owned(),
        database_url: Some(SecretString::from(stack.database.url.clone())),
        amqp_url: Some(SecretString::from(setting("AMQP_URL"))),
        smtp_url: Some(SecretString::from(smtp_url)),
        mail_from: Some("shop@shop.example".parse().unwrap()),
        operator_email: Some(format!("operator@{}", stack.mail_domain).parse().unwrap()),
        ops_listen: ([127, 0, 0, 1], ops_port).into(),
        migrate_on_start: true,
    };
    let application = worker::Application::build(&settings).await.unwrap();
    let (ops_port, stop) = (application.ops_port().unwrap(), CancellationToken::new());
    let stopping = stop.clone();
    let running = tokio::spawn(async move { application.run_until_stopped(stopping).await.unwrap() });
    (Service { stop, running }, ops_port)
}

/// How long a rule may take to see what a test has done, on a slow machine.
pub(crate) const NOTICED: Duration = Duration::from_secs(120);
