//! `oncehook sources`: who is configured to send, and what has come of late.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Serialize;
use shared::config::{Config, Verification};
use shared::db::parked_webhooks;
use shared::db::processed_webhooks::activity::{self, SourceActivity};
use shared::db::processed_webhooks::search;
use time::OffsetDateTime;

use crate::connect;
use crate::output::{Shown, Tone, age, painted, printable, table};
use crate::settings::Settings;

/// What counts as of late, in hours.
const HOURS: i32 = 24;

/// All sources, configured or heard of.
#[derive(Debug, Serialize)]
pub(crate) struct Sources {
    sources: Vec<Source>,
    /// What needs a person; empty when all is fine.
    attention: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Source {
    source: String,
    /// `null` for one that is not configured any more.
    provider: Option<String>,
    /// How its webhooks are verified.
    verification: Option<&'static str>,
    /// Secrets that may have signed.
    secrets: usize,
    /// The routes that listen to it.
    routes: Vec<String>,
    /// When the last of its webhooks was received that was processed.
    #[serde(with = "time::serde::rfc3339::option")]
    last_received_at: Option<OffsetDateTime>,
    /// What was processed within the last 24 hours.
    day: Day,
    /// How many wait for a person.
    parked: i64,
}

#[derive(Debug, Default, Serialize)]
struct Day {
    webhooks: i64,
    skipped: i64,
    duplicates: i64,
}

/// What the database tells of the sources.
#[derive(Default)]
struct Heard {
    latest: BTreeMap<String, OffsetDateTime>,
    day: BTreeMap<String, SourceActivity>,
    parked: BTreeMap<String, i64>,
}

impl Sources {
    /// Whether nothing needs a person.
    pub(crate) fn is_fine(&self) -> bool {
        self.attention.is_empty()
    }

    fn new(config: &Config, heard: &Heard) -> Self {
        let configured = config.sources.keys().map(ToString::to_string);
        let known = heard.latest.keys().chain(heard.parked.keys()).cloned();
        let names: BTreeSet<String> = configured.chain(known).collect();
        let sources: Vec<Source> = names.into_iter().map(|name| Source::new(name, config, heard)).collect();
        let attention = sources.iter().filter_map(Source::attention).collect();
        Self { sources, attention }
    }
}

/// Looks at the configuration and the database.
///
/// # Errors
/// When the configuration is mistaken or the database away.
pub(crate) async fn look(settings: &Settings) -> anyhow::Result<Sources> {
    let config = Config::load(&settings.config)?;
    let client = connect::database(settings).await?;
    let latest = search::latest(&client).await.context("cannot read the processed webhooks")?;
    let day = activity::within(&client, HOURS).await.context("cannot count the processed webhooks")?;
    let parked = parked_webhooks::count_by_source(&client).await.context("cannot count the parked webhooks")?;
    let heard = Heard {
        latest: latest.into_iter().collect(),
        day: day.into_iter().map(|activity| (activity.source.clone(), activity)).collect(),
        parked: parked.into_iter().collect(),
    };
    Ok(Sources::new(&config, &heard))
}

impl Source {
    fn new(source: String, config: &Config, heard: &Heard) -> Self {
        let configured = config.sources.get(source.as_str());
        let verification = configured.map(|configured| match configured.verification {
            Some(Verification::None) => "none",
            None => "signature",
        });
        let listening =
            config.routes.iter().filter(|(_, route)| route.sources.iter().any(|name| name.as_str() == source));
        let day = heard.day.get(&source).map(|day| Day {
            webhooks: day.webhooks,
            skipped: day.skipped,
            duplicates: day.duplicates,
        });
        Self {
            provider: configured.map(|configured| configured.provider.to_string()),
            verification,
            secrets: configured.map_or(0, |configured| configured.secrets.len()),
            routes: listening.map(|(name, _)| name.to_string()).collect(),
            last_received_at: heard.latest.get(&source).copied(),
            day: day.unwrap_or_default(),
            parked: heard.parked.get(&source).copied().unwrap_or(0),
            source,
        }
    }

    fn attention(&self) -> Option<String> {
        let Self { source, parked, .. } = self;
        (*parked > 0).then(|| format!("{parked} webhooks of {source} are parked: oncehook parked ls --source {source}"))
    }
}

impl Shown for Sources {
    fn text(&self) -> String {
        if self.sources.is_empty() {
            return "there is no source yet: add a [sources.NAME] to oncehook.toml\n".to_owned();
        }
        let now = OffsetDateTime::now_utc();
        let row = |source: &Source| {
            let provider = source.provider.clone().unwrap_or_else(|| "(not configured)".to_owned());
            let last = source.last_received_at.map_or_else(|| "-".to_owned(), |last| age(now - last) + " ago");
            let routes = if source.routes.is_empty() { "-".to_owned() } else { source.routes.join(", ") };
            let Day { webhooks, skipped, duplicates } = source.day;
            let counts = [webhooks, skipped, duplicates, source.parked].map(|count| count.to_string());
            let [webhooks, skipped, duplicates, parked] = counts;
            [source.source.clone(), provider, routes, last, webhooks, skipped, duplicates, parked]
                .map(|cell| printable(&cell))
        };
        let head = ["SOURCE", "PROVIDER", "ROUTES", "LAST", "24 H", "SKIPPED", "DUPLICATES", "PARKED"];
        let mut text = table(head, self.sources.iter().map(row));
        for line in &self.attention {
            text += &format!("{} {}\n", painted(Tone::Bad, "!"), printable(line));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_and_what_was_heard_of_are_one_list() {
        let config = Config::parse(
            "test",
            "[sources.open]\nprovider = \"generic\"\nverification = \"none\"\n[effects.inventory.stock]\nmap = \"empty\"\n\
             [routes.all]\nsources = [\"open\"]\ntopics = [\"*\"]\neffects = [\"stock\"]\n",
        )
        .unwrap();
        let mut heard = Heard::default();
        let long_ago = OffsetDateTime::now_utc() - time::Duration::hours(49);
        heard.latest.insert("gone".to_owned(), long_ago);
        heard.parked.insert("gone".to_owned(), 2);
        let sources = Sources::new(&config, &heard);
        insta::assert_snapshot!(crate::output::plain(&sources.text()), @r"
         SOURCE  PROVIDER          ROUTES  LAST     24 H  SKIPPED  DUPLICATES  PARKED
         gone    (not configured)  -       2 d ago  0     0        0           2
         open    generic           all     -        0     0        0           0
        ! 2 webhooks of gone are parked: oncehook parked ls --source gone
        ");
    }
}
