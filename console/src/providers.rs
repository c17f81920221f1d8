//! `oncehook providers`: what is known, built in and of the user's own.

use serde::Serialize;
use shared::config::Config;
use shared::provider::{Catalogue, Provider, Sure};

use crate::output::{Shown, table};
use crate::settings::Settings;

/// All of them, by name.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Providers(Vec<Row>);

#[derive(Serialize)]
struct Row {
    name: String,
    title: String,
    scheme: &'static str,
    /// Whether the id is signed: if not, a captured body passes again under a fresh one.
    id_signed: bool,
    /// How far off the signed time may be, in seconds; `null` if none is checked.
    tolerance_seconds: Option<u32>,
    /// How long after an event the same webhook may come again, in hours.
    retry_horizon_hours: u64,
    /// Whether a body may hold several webhooks.
    batches: bool,
    sure: &'static str,
    documentation: String,
}

/// With a configuration file its `providers_dir` counts; without one, what is built in.
pub(crate) fn list(settings: &Settings) -> anyhow::Result<Providers> {
    let catalogue =
        if settings.config.exists() { Config::load(&settings.config)?.catalogue()? } else { Catalogue::built_in()? };
    Ok(Providers(catalogue.iter().map(row).collect()))
}

fn row(provider: &Provider) -> Row {
    let timestamp = provider.signature().signed().and_then(|(_, rule)| rule.timestamp.as_ref());
    Row {
        name: provider.name().to_string(),
        title: provider.title().to_owned(),
        scheme: provider.signature().name(),
        id_signed: provider.id_signed(),
        tolerance_seconds: timestamp.map(|rule| rule.tolerance_seconds),
        retry_horizon_hours: provider.retry_horizon().as_secs() / 3600,
        batches: provider.file().batch.is_some(),
        sure: match provider.file().sure {
            Sure::Library => "library",
            Sure::Documents => "documents",
            Sure::ThirdParty => "third-party",
        },
        documentation: provider.documentation().to_owned(),
    }
}

impl Shown for Providers {
    fn text(&self) -> String {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let row = |row: &Row| {
            [
                row.name.clone(),
                row.scheme.to_owned(),
                yes(row.id_signed),
                row.tolerance_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
                format!("{} h", row.retry_horizon_hours),
                yes(row.batches),
                row.sure.to_owned(),
            ]
        };
        let head = ["PROVIDER", "SCHEME", "ID SIGNED", "TOLERANCE", "RETRIES", "BATCHES", "READ IN"];
        table(head, self.0.iter().map(row))
    }
}
