//! What the figures were measured on.

use serde::{Deserialize, Serialize};

use secrecy::ExposeSecret as _;

use crate::database::Database;
use crate::settings::Settings;

/// The machine and the services.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    kernel: String,
    memory_kb: u64,
    postgres: String,
    rabbitmq: String,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// When `/proc` or a service does not say.
    pub(crate) async fn here(database: &Database, settings: &Settings) -> anyhow::Result<Self> {
        let version = database.client().query_one("SELECT current_setting('server_version')", &[]).await?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu: value("/proc/cpuinfo", "model name")?,
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            memory_kb: value("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse()?,
            postgres: version.try_get(0)?,
            rabbitmq: rabbitmq_version(settings).await?,
        })
    }
}

/// What the management API says.
async fn rabbitmq_version(settings: &Settings) -> anyhow::Result<String> {
    let url = format!("{}/api/overview", settings.rabbitmq_api_url.expose_secret());
    let overview: serde_json::Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    Ok(overview.get("rabbitmq_version").and_then(|version| version.as_str()).unwrap_or_default().to_owned())
}

/// The first value of a name in a file of `name: value` lines; empty when there is none.
fn value(path: &str, name: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)?;
    let value = |line: &str| {
        line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    Ok(text.lines().find_map(value).unwrap_or_default())
}
