//! The configuration file `oncehook.toml`: one typed tree, read and checked once at start.
//!
//! Each concern has a struct of its own; [`Config::load`] reports *every* mistake of the file with
//! its line, key, value and what would be right. Secrets are only referred to here
//! ([`SecretRef`]) and are resolved by the process that needs them.

mod check;
mod effects;
mod ingest;
mod mistakes;
mod queue;
mod read;
mod retention;
mod routes;
mod secret;
mod source_check;
mod sources;
mod spool;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

pub use self::effects::{
    AmbiguousPolicy, EffectsConfig, EmailEffectConfig, HttpEffectConfig, InventoryEffectConfig, OPERATOR_ALERT,
    UnknownSku,
};
pub use self::ingest::IngestConfig;
pub use self::mistakes::{ConfigError, Mistake};
pub use self::queue::QueueConfig;
pub use self::retention::RetentionConfig;
pub use self::routes::RouteConfig;
pub use self::secret::{SecretError, SecretRef, SourceSecret};
use self::sources::MAX_BODY_BYTES;
pub use self::sources::{ChangedBody, ReplayDefence, SourceConfig, Verification};
pub use self::spool::SpoolConfig;
pub use self::worker::{DispatchConfig, WorkerConfig};
use crate::name::Name;
use crate::provider::{Catalogue, CatalogueError, Provider};

/// Everything that `oncehook.toml` says.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A folder with provider files of the user's own; relative to the configuration file.
    #[garde(skip)]
    pub providers_dir: Option<PathBuf>,
    /// Who may send webhooks, by the name that stands in their URL.
    #[garde(dive)]
    #[serde(default)]
    pub sources: BTreeMap<Name, SourceConfig>,
    /// Which webhooks run which effects.
    #[garde(dive)]
    #[serde(default)]
    pub routes: BTreeMap<Name, RouteConfig>,
    /// What is done behind a webhook, by kind and name.
    #[garde(dive)]
    #[serde(default)]
    pub effects: EffectsConfig,
    /// Limits of the HTTP side.
    #[garde(dive)]
    #[serde(default)]
    pub ingest: IngestConfig,
    /// ingest's own disk, for the time the broker takes nothing.
    #[garde(dive)]
    #[serde(default)]
    pub spool: SpoolConfig,
    /// The queues and the connection to the broker.
    #[garde(dive)]
    #[serde(default)]
    pub queue: QueueConfig,
    /// Batches, planning and the database.
    #[garde(dive)]
    #[serde(default)]
    pub worker: WorkerConfig,
    /// How effects leave the outbox.
    #[garde(dive)]
    #[serde(default)]
    pub dispatch: DispatchConfig,
    /// How long things are kept.
    #[garde(dive)]
    #[serde(default)]
    pub retention: RetentionConfig,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// All mistakes at once: syntax, unknown keys, wrong types, values out of bounds, references
    /// to what is not there, jq expressions and templates that do not compile, a retention shorter
    /// than a provider's retries.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { file: file.clone(), source })?;
        Self::parse(&file, &text)
    }

    /// The providers: built in, and of `providers_dir`.
    ///
    /// # Errors
    /// As [`Catalogue::load`]; a file that has changed since the configuration was checked.
    pub fn catalogue(&self) -> Result<Catalogue, CatalogueError> {
        Catalogue::load(self.providers_dir.as_deref())
    }

    /// What is done with a known body under a fresh id: what the source says. If it says nothing: nothing where a business
    /// key catches it (a route takes the source, and whatever a route does has a key from the body) or where the provider
    /// signs the id; else [`ReplayDefence::Flag`].
    #[must_use]
    pub fn replay_defence(&self, source: &Name, provider: &Provider) -> ReplayDefence {
        let routed = self.routes.values().any(|route| route.sources.contains(source));
        let by_itself = if routed || provider.id_signed() { ReplayDefence::Off } else { ReplayDefence::Flag };
        self.sources.get(source).and_then(|source| source.replay_defence).unwrap_or(by_itself)
    }

    /// How long a webhook of each source may be on its way before it is too old to be told from a duplicate.
    #[must_use]
    pub fn on_its_way(&self, catalogue: &Catalogue) -> BTreeMap<Name, Duration> {
        let longest = |(name, source): (&Name, &SourceConfig)| {
            let provider = catalogue.get(source.provider.as_str())?;
            Some((name.clone(), self.retention.on_its_way(provider.retry_horizon())))
        };
        self.sources.iter().filter_map(longest).collect()
    }

    /// Deliveries that a worker holds at once: `worker.prefetch`, or fewer, so that as many of the largest bodies that
    /// a source allows fit into `worker.in_flight_bytes`. At least 1.
    #[must_use]
    pub fn prefetch(&self) -> u16 {
        let largest = self.sources.values().map(|source| source.max_body_bytes).max().unwrap_or(MAX_BODY_BYTES);
        let fits = self.worker.in_flight_bytes / u64::from(largest.max(1));
        self.worker.prefetch.min(u16::try_from(fits).unwrap_or(u16::MAX)).max(1)
    }

    /// The same for a text that is already at hand; `file` is what the mistakes call it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let (mut config, mut mistakes) = read::read::<Self>(text);
        if let Some(folder) = config.as_mut().and_then(|config| config.providers_dir.as_mut())
            && let Some(beside) = Path::new(file).parent()
        {
            *folder = beside.join(&*folder);
        }
        if let Some(config) = &config {
            check::check(config, &mut mistakes);
        }
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes.into_error(file, text)),
        }
    }
}
