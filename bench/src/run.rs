//! One run: what all figures share.

use std::sync::Arc;

use crate::database::Database;
use crate::process::{Programs, SECRET};
use crate::publisher::Publisher;
use crate::queue::Queues;
use crate::results::Results;
use crate::settings::Settings;
use crate::shop::Shop;
use crate::usage;

/// The services, the webhooks, and what was found so far.
pub(crate) struct Run<'s> {
    pub(crate) settings: &'s Settings,
    pub(crate) programs: Programs<'s>,
    pub(crate) queues: Queues,
    pub(crate) database: Arc<Database>,
    pub(crate) shop: Shop,
    pub(crate) results: Results,
}

/// What the services have used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) broker_cpu_seconds: f64,
    pub(crate) postgres_cpu_seconds: f64,
    pub(crate) wal_bytes: f64,
    /// Of the loopback, whoever sent them.
    pub(crate) network_bytes: f64,
}

impl<'s> Run<'s> {
    /// Connects to the services.
    ///
    /// # Errors
    /// When one of them is not there.
    pub(crate) async fn begin(settings: &'s Settings) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&settings.data)?;
        Ok(Self {
            settings,
            programs: Programs::new(settings),
            queues: Queues::connect(&settings.amqp_url).await?,
            database: Arc::new(Database::open(&settings.database_url, "bench").await?),
            shop: Shop::open(SECRET)?,
            results: Results::load(settings)?,
        })
    }

    /// A bare publisher to the work queue.
    ///
    /// # Errors
    /// When the broker is not there.
    pub(crate) async fn publisher(&self) -> anyhow::Result<Publisher> {
        Publisher::connect(&self.settings.amqp_url, self.queues.webhooks()).await
    }

    /// What the services have used so far.
    ///
    /// # Errors
    /// When one of them has ended.
    #[allow(clippy::cast_precision_loss, reason = "bytes are far below 2^53")]
    pub(crate) async fn reading(&self) -> anyhow::Result<Reading> {
        Ok(Reading {
            broker_cpu_seconds: usage::cpu_seconds(self.settings.service_pid("rabbitmq")?)?,
            postgres_cpu_seconds: usage::family_cpu_seconds(self.settings.service_pid("postgres")?)?,
            wal_bytes: self.database.wal_bytes().await? as f64,
            network_bytes: usage::loopback_bytes()? as f64,
        })
    }
}

impl Reading {
    /// What was used since an earlier one.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            broker_cpu_seconds: self.broker_cpu_seconds - earlier.broker_cpu_seconds,
            postgres_cpu_seconds: self.postgres_cpu_seconds - earlier.postgres_cpu_seconds,
            wal_bytes: self.wal_bytes - earlier.wal_bytes,
            network_bytes: self.network_bytes - earlier.network_bytes,
        }
    }
}

/// Tells what is being done, and what was found.
#[allow(clippy::print_stdout, reason = "the benchmark's report")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
