//! One run: what all figures share.

use shared::name::NameError;

use crate::database::Database;
use crate::process::{Programs, SECRET};
use crate::publisher::Publisher;
use crate::queue::Queues;
use crate::results::Results;
use crate::settings::Settings;
use crate::shop::Shop;

/// The services, the webhooks, and what was found so far.
pub(crate) struct Run<'s> {
    pub(crate) settings: &'s Settings,
    pub(crate) programs: Programs<'s>,
    pub(crate) queues: Queues,
    pub(crate) database: Database,
    pub(crate) shop: Shop,
    pub(crate) results: Results,
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
            database: Database::open(&settings.database_url, "bench").await?,
            shop: Shop::open(SECRET).map_err(|error: NameError| anyhow::anyhow!(error))?,
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
}

/// Tells what is being done, and what was found.
#[allow(clippy::print_stdout, reason = "the benchmark's report")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
