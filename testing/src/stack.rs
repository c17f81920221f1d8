//! One test's world: a database, queues, a publisher, a mail domain and a configuration file.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use lapin::options::QueueDeleteOptions;
use shared::amqp::{Broker, BrokerConnection, PublishError, Publisher, PublisherConfig, Topology};
use shared::config::{Config, QueueConfig};
use shared::message::Message;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::Database;
use crate::services::{root, setting};
use crate::wait::until;

/// One test's world.
pub struct Stack {
    /// Its database.
    pub database: Database,
    /// Its queues.
    pub topology: Topology,
    /// The domain of the addresses that it sends mail to: nobody else's.
    pub mail_domain: String,
    /// A directory of its own.
    pub directory: PathBuf,
    /// A publisher to its queues, from the first message on: a test that needs no queue declares none.
    publishing: OnceLock<(Publisher, JoinHandle<()>)>,
    prefix: String,
    /// Every queue that a service of the test may have declared.
    queues: Mutex<BTreeSet<String>>,
    broker: Broker,
    stop: CancellationToken,
}

/// Runs a test in a world of its own, cleans up whatever happens, and passes a panic on.
pub async fn run<F: Future<Output = ()>>(test: impl FnOnce(std::sync::Arc<Stack>) -> F) {
    let stack = std::sync::Arc::new(Stack::build().await);
    let outcome = AssertUnwindSafe(test(std::sync::Arc::clone(&stack))).catch_unwind().await;
    if outcome.is_err() {
        eprintln!("the test's files are kept in {}", stack.directory.display());
    }
    match std::sync::Arc::try_unwrap(stack) {
        Ok(stack) => stack.tear_down(outcome.is_ok()).await,
        Err(_shared) if outcome.is_err() => {}
        Err(_shared) => panic!("the test kept a handle to its world"),
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Stack {
    async fn build() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        let prefix = format!("test-{}.", &id[..12]);
        let queue = QueueConfig { prefix: prefix.clone(), ..QueueConfig::default() };
        let topology = Topology::new(&queue);
        let broker = Broker::new(&setting("AMQP_URL"), "test", 5).unwrap();
        let stop = CancellationToken::new();
        let directory = std::env::temp_dir().join(format!("oncehook-{id}"));
        std::fs::create_dir_all(&directory).unwrap();
        let mail_domain = format!("{}.example", &id[..12]);
        let queues = Mutex::new(topology.names().into_iter().collect());
        let database = Database::migrated().await;
        Self { database, topology, mail_domain, directory, publishing: OnceLock::new(), prefix, queues, broker, stop }
    }

    /// Writes the configuration: the default file, with the test's queue prefix and what `change`
    /// does to it. Returns its path.
    pub fn configure(&self, change: impl FnOnce(&str) -> String) -> PathBuf {
        let default = std::fs::read_to_string(root().join("oncehook.toml")).unwrap();
        let text = change(&replace(&default, "prefix = \"\"", &format!("prefix = \"{}\"", self.prefix)));
        let path = self.directory.join("oncehook.toml");
        let config = Config::parse("oncehook.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        self.queues.lock().unwrap().extend(Topology::new(&config.queue).names());
        std::fs::write(&path, text).unwrap();
        path
    }

    fn publisher(&self) -> &Publisher {
        let start = || {
            let publishing = PublisherConfig::new(&QueueConfig::default(), Duration::from_secs(5));
            Publisher::spawn(self.broker.clone(), self.topology.clone(), &publishing, self.stop.clone())
        };
        &self.publishing.get_or_init(start).0
    }

    /// Publishes to the work queue; tries again while the broker is away.
    pub async fn publish(&self, message: &Message) {
        until("the broker confirms", || async {
            match self.publisher().publish(&self.topology.webhooks(), message).await {
                Ok(()) => Some(()),
                Err(PublishError::Unencodable) => panic!("not encodable: {message:?}"),
                Err(_away) => None,
            }
        })
        .await;
    }

    /// Messages ready in a queue.
    pub async fn ready(&self, queue: &str) -> u32 {
        let connection = self.broker.connect("depths").await.unwrap();
        let depths = self.topology.depths(&connection).await.unwrap();
        connection.close(200, "asked".into()).await.unwrap();
        depths.into_iter().find(|depth| depth.queue == queue).and_then(|depth| depth.ready).unwrap_or(0)
    }

    /// A connection to the broker, for what the harness does not do.
    pub async fn broker(&self) -> BrokerConnection {
        self.broker.connect("test").await.unwrap()
    }

    async fn tear_down(self, passed: bool) {
        self.stop.cancel();
        // A queue that is deleted while it is being declared can upset the broker for everyone.
        if let Some((_publisher, task)) = self.publishing.into_inner() {
            task.await.unwrap();
        }
        let connection = until("the broker is there", || async { self.broker.connect("tear down").await.ok() }).await;
        let channel = connection.create_channel().await.unwrap();
        for queue in self.queues.into_inner().unwrap() {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
        self.database.drop().await;
        if passed {
            std::fs::remove_dir_all(&self.directory).unwrap();
        }
    }
}

/// Replaces one setting of the default file.
///
/// # Panics
/// When the file does not have it.
#[must_use]
pub fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the configuration does not contain {from:?}");
    text.replacen(from, to, 1)
}
