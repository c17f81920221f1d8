//! `oncehook sources`: who is configured to send, what has come of late, and what ingest refused and why.
//!
//! What the database knows is of all time; what ingest counts is since each ingest started, and known where
//! `INGEST_OPS_URL` says whom to ask.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Serialize;
use shared::config::{Config, Verification};
use shared::db::parked_webhooks;
use shared::db::processed_webhooks::activity::{self, SourceActivity};
use shared::db::processed_webhooks::search;
use time::OffsetDateTime;

use crate::connect;
use crate::output::{Shown, age, concerns, printable, table};
use crate::server::monitor::services::{Asker, Instance, Service};
use crate::server::monitor::standing::{SecretView, Standing};
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
    /// Its secrets, and when each last signed.
    secrets: Vec<SecretView>,
    /// The routes that listen to it.
    routes: Vec<String>,
    /// When the last of its webhooks was accepted, whether or not it is processed by now.
    #[serde(with = "time::serde::rfc3339::option")]
    last_received_at: Option<OffsetDateTime>,
    /// What the ingests say; `null` when none was named, or none answers.
    ingest: Option<Told>,
    /// What was processed within the last 24 hours.
    day: Day,
    /// How many wait for a person.
    parked: i64,
}

/// What the ingests say, since each of them started.
#[derive(Debug, Serialize)]
struct Told {
    /// Requests that were accepted.
    accepted: f64,
    /// Requests that were refused or not taken, by outcome.
    refused: BTreeMap<String, f64>,
    /// Requests that were not genuine, by reason.
    verification_failures: BTreeMap<String, f64>,
    /// Genuine webhooks that were not answered 2xx since the last one that was.
    failed_in_a_row: Option<f64>,
    /// After how many the provider ends the subscription; `null` when it does not.
    tolerates: Option<f64>,
    /// Whether the provider may end the subscription.
    at_risk: bool,
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

    fn new(config: &Config, heard: &Heard, ingests: &[Instance], now: OffsetDateTime) -> Self {
        let configured = config.sources.keys().map(ToString::to_string);
        let known = heard.latest.keys().chain(heard.parked.keys()).cloned();
        let names: BTreeSet<String> = configured.chain(known).collect();
        let silent = ingests.iter().filter_map(|ingest| {
            let error = ingest.said.as_ref().err()?;
            Some(format!("ingest at {} does not say what it refused: {error}", ingest.address))
        });
        let mut attention: Vec<String> = silent.collect();
        let mut sources = Vec::new();
        for name in names {
            let standing = Standing::of(ingests, &name);
            attention.extend(standing.risk(now).map(|risk| risk.told(&name)));
            sources.push(Source::new(name, config, heard, standing, now));
        }
        attention.extend(sources.iter().filter_map(Source::attention));
        Self { sources, attention }
    }

    /// What was refused, and why; what was taken although it failed before is not among it.
    fn refusals(&self) -> Vec<[String; 3]> {
        let mut rows = Vec::new();
        for source in &self.sources {
            let Some(told) = &source.ingest else { continue };
            let row = |what: String, count: &f64| [source.source.clone(), what, count.to_string()];
            let outcomes = told.refused.iter().filter(|(outcome, _)| *outcome != "signature_refused");
            rows.extend(
                outcomes.filter(|(_, count)| **count > 0.0).map(|(outcome, count)| row(outcome.clone(), count)),
            );
            let reasons = told.verification_failures.iter().filter(|(_, count)| **count > 0.0);
            rows.extend(reasons.map(|(reason, count)| row(format!("not genuine: {reason}"), count)));
        }
        rows
    }

    fn secrets(&self, now: OffsetDateTime) -> Vec<[String; 4]> {
        let ago = |at: Option<OffsetDateTime>| at.map_or_else(|| "not seen".to_owned(), |at| age(now - at) + " ago");
        let ends = |at: Option<OffsetDateTime>| match at {
            None => "-".to_owned(),
            Some(end) if end <= now => "has ended".to_owned(),
            Some(end) => format!("in {}", age(end - now)),
        };
        let of = |source: &Source| {
            let row = |secret: &SecretView| {
                let position = secret.position.to_string();
                [source.source.clone(), position, ago(secret.last_used_at), ends(secret.not_after)]
            };
            source.secrets.iter().map(row).collect::<Vec<_>>()
        };
        self.sources.iter().filter(|source| source.ingest.is_some()).flat_map(of).collect()
    }
}

/// Looks at the configuration and the database, and asks the ingests that are named.
///
/// # Errors
/// When the configuration is mistaken or the database away. An ingest that does not answer is no error.
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
    let ingests = Asker::new()?.ask(Service::Ingest, settings.ingest_ops_url.as_deref()).await;
    Ok(Sources::new(&config, &heard, &ingests, OffsetDateTime::now_utc()))
}

impl Source {
    fn new(source: String, config: &Config, heard: &Heard, standing: Standing, now: OffsetDateTime) -> Self {
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
            secrets: standing
                .secrets(configured.into_iter().flat_map(|one| &one.secrets).map(|secret| secret.not_after)),
            routes: listening.map(|(name, _)| name.to_string()).collect(),
            last_received_at: standing.last_accepted_at.max(heard.latest.get(&source).copied()),
            ingest: Told::of(standing, now),
            day: day.unwrap_or_default(),
            parked: heard.parked.get(&source).copied().unwrap_or(0),
            source,
        }
    }

    fn attention(&self) -> Option<String> {
        let Self { source, parked, .. } = self;
        (*parked > 0).then(|| format!("parked of {source}: {parked} (oncehook parked ls --source {source})"))
    }
}

impl Told {
    /// `None` where no ingest says anything of the source.
    fn of(standing: Standing, now: OffsetDateTime) -> Option<Self> {
        let at_risk = standing.is_at_risk(now);
        let Standing { accepted, refused, verification_failures, failed_in_a_row, tolerated: tolerates, .. } = standing;
        let is_told = failed_in_a_row.is_some() || accepted > 0.0 || !refused.is_empty();
        is_told.then_some(Self { accepted, refused, verification_failures, failed_in_a_row, tolerates, at_risk })
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
        let secrets = self.secrets(now).into_iter().map(|row| row.map(|cell| printable(&cell)));
        text += &section(["SOURCE", "SECRET", "LAST SIGNED", "ENDS"], secrets);
        let refusals = self.refusals().into_iter().map(|row| row.map(|cell| printable(&cell)));
        text += &match self.sources.iter().any(|source| source.ingest.is_some()) {
            true => section(["SOURCE", "REFUSED SINCE INGEST STARTED", "REQUESTS"], refusals),
            false => "\nwhat was refused is not known: INGEST_OPS_URL says where ingest is\n\n".to_owned(),
        };
        text + &concerns(&self.attention)
    }
}

/// A table below another one, if it has any row.
fn section<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut rows = rows.peekable();
    if rows.peek().is_some() { format!("\n{}", table(head, rows)) } else { String::new() }
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
        let now = OffsetDateTime::now_utc();
        let mut heard = Heard::default();
        heard.latest.insert("gone".to_owned(), now - time::Duration::hours(49));
        heard.parked.insert("gone".to_owned(), 2);
        let sources = Sources::new(&config, &heard, &[], now);
        insta::assert_snapshot!(crate::output::plain(&sources.text()), @r"
         SOURCE  PROVIDER          ROUTES  LAST     24 H  SKIPPED  DUPLICATES  PARKED
         gone    (not configured)  -       2 d ago  0     0        0           2
         open    generic           all     -        0     0        0           0

        what was refused is not known: INGEST_OPS_URL says where ingest is

        ! parked of gone: 2 (oncehook parked ls --source gone)
        ");
    }

    #[test]
    fn what_ingest_refused_is_told_with_the_reason_and_when_each_secret_last_signed() {
        let config = Config::parse(
            "test",
            "[sources.shop]\nprovider = \"shopify\"\nsecrets = [{ env = \"X\" }, { env = \"Y\" }]\n",
        )
        .unwrap();
        let now = OffsetDateTime::now_utc();
        let ago = |seconds: i64| now.unix_timestamp() - seconds;
        let metrics = format!(
            "webhook_requests_total{{source=\"shop\",outcome=\"accepted\"}} 70\n\
             webhook_requests_total{{source=\"shop\",outcome=\"signature_refused\"}} 4\n\
             webhook_requests_total{{source=\"shop\",outcome=\"unavailable\"}} 9\n\
             webhook_requests_total{{source=\"shop\",outcome=\"malformed\"}} 0\n\
             webhook_verification_failures_total{{source=\"shop\",reason=\"signature_mismatch\"}} 4\n\
             webhook_failed_answers_in_a_row{{source=\"shop\"}} 9\n\
             webhook_failed_answers_tolerated{{source=\"shop\"}} 8\n\
             webhook_last_accepted_timestamp_seconds{{source=\"shop\"}} {}\n\
             webhook_secret_last_used_timestamp_seconds{{source=\"shop\",secret=\"2\"}} {}\n",
            ago(150),
            ago(7_300)
        );
        let ingests = [
            Instance::that_says(Service::Ingest, "a:1", Ok(&metrics)),
            Instance::that_says(Service::Ingest, "b:1", Err("it is not there")),
        ];
        let sources = Sources::new(&config, &Heard::default(), &ingests, now);
        insta::assert_snapshot!(crate::output::plain(&sources.text()), @r"
         SOURCE  PROVIDER  ROUTES  LAST       24 H  SKIPPED  DUPLICATES  PARKED
         shop    shopify   -       2 min ago  0     0        0           0

         SOURCE  SECRET  LAST SIGNED  ENDS
         shop    1       not seen     -
         shop    2       2 h ago      -

         SOURCE  REFUSED SINCE INGEST STARTED     REQUESTS
         shop    unavailable                      9
         shop    not genuine: signature_mismatch  4
        ! ingest at b:1 does not say what it refused: it is not there
        ! the subscription of shop is at risk: 9 webhooks in a row were not answered 2xx, and its provider takes 8
        ");
        assert!(!sources.is_fine());
        let json = serde_json::to_value(&sources).unwrap();
        assert_eq!(json["sources"][0]["ingest"]["at_risk"], true);
    }
}
