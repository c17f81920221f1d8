//! How each destination does: what waits for it, whether somebody has paused it, and what the workers say of it.

use std::process::ExitCode;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use serde::Serialize;
use shared::config::{Config, OPERATOR_ALERT};
use shared::db::outbox::counts::{self, Waiting};
use shared::db::paused_effects::{self, PausedEffect};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::output::{COUNTED_TO, Shown, age, printable, table};
use crate::server::monitor::destinations::{Breaker, Reach};
use crate::server::monitor::services::Instance;

/// How a destination does, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// Nothing that waits has failed, and workers reach it.
    Fine,
    /// What was tried last could not be sent, and is tried again with growing delays.
    Failing,
    /// No worker reaches it: it does not answer, or the breaker is open.
    Away,
    /// A person has paused it.
    Paused,
}

/// Where effects go.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Destination {
    /// The configured effect.
    pub(crate) effect: String,
    /// `email` or `http`.
    pub(crate) kind: &'static str,
    /// Where to.
    pub(crate) target: String,
    pub(crate) health: Health,
    /// The most open one of any worker; `null` when no worker says.
    pub(crate) breaker: Option<Breaker>,
    /// Whether any worker reaches it; `null` when no worker says.
    pub(crate) up: Option<bool>,
    /// Effects that wait; counted up to 10,000.
    pub(crate) pending: i64,
    /// How many of them have failed before.
    pub(crate) failing: i64,
    /// The age of the oldest that waits, in seconds.
    pub(crate) oldest_age_s: Option<i64>,
    pub(crate) last_error: Option<String>,
    pub(crate) paused: Option<PausedEffect>,
}

/// All destinations, for a terminal.
#[derive(Debug, Serialize)]
pub(crate) struct Destinations {
    destinations: Vec<Destination>,
}

impl Health {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Failing => "failing",
            Self::Away => "away",
            Self::Paused => "paused",
        }
    }

    pub(crate) fn tone(self) -> &'static str {
        match self {
            Self::Fine => "good",
            Self::Failing | Self::Away => "bad",
            Self::Paused => "warn",
        }
    }
}

/// What waits, and who has paused what.
///
/// # Errors
/// When the database is away.
pub(crate) async fn read(client: &Client) -> Result<(Vec<Waiting>, Vec<PausedEffect>), Error> {
    Ok((counts::waiting(client, COUNTED_TO).await?, paused_effects::list(client).await?))
}

/// Every destination that is configured, or that something waits for.
pub(crate) fn list(
    (waiting, paused): &(Vec<Waiting>, Vec<PausedEffect>),
    config: &Config,
    services: &[Instance],
    now: OffsetDateTime,
) -> Vec<Destination> {
    let mut destinations = configured(config);
    for effect in waiting.iter().map(|one| &one.effect).chain(paused.iter().map(|one| &one.effect)) {
        if !destinations.iter().any(|(known, _kind, _target)| known == effect) {
            destinations.push((effect.clone(), "", "not in the configuration".to_owned()));
        }
    }
    let view = |(effect, kind, target): (String, &'static str, String)| {
        let waits = waiting.iter().find(|one| one.effect == effect);
        let paused = paused.iter().find(|one| one.effect == effect).cloned();
        let reach = Reach::of(services, &effect);
        let health = match waits {
            _ if paused.is_some() => Health::Paused,
            _ if reach.is_some_and(|reach| !reach.is_up()) => Health::Away,
            Some(waiting) if waiting.failing > 0 => Health::Failing,
            _ => Health::Fine,
        };
        Destination {
            effect,
            kind,
            target,
            health,
            breaker: reach.map(|reach| reach.breaker),
            up: reach.map(Reach::is_up),
            pending: waits.map_or(0, |one| one.pending),
            failing: waits.map_or(0, |one| one.failing),
            oldest_age_s: waits.map(|one| (now - one.oldest).whole_seconds().max(0)),
            last_error: waits.and_then(|one| one.last_error.clone()),
            paused,
        }
    };
    destinations.into_iter().map(view).collect()
}

/// Effect, kind and target.
fn configured(config: &Config) -> Vec<(String, &'static str, String)> {
    let mail = || "the mail server".to_owned();
    let mut all: Vec<_> = config.effects.email.keys().map(|name| (name.to_string(), "email", mail())).collect();
    let host =
        |url: &str| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    all.extend(config.effects.http.iter().map(|(name, http)| (name.to_string(), "http", host(&http.url.to_string()))));
    all.push((OPERATOR_ALERT.to_owned(), "email", mail()));
    all
}

/// An effect that is not configured, or does not leave the database.
#[derive(Debug, thiserror::Error)]
#[error("there is no effect {effect} that leaves the database: {}", .known.join(", "))]
pub(crate) struct UnknownEffect {
    effect: String,
    known: Vec<String>,
}

/// Refuses to pause what nothing waits for: a name that was mistyped would pause nothing.
///
/// # Errors
/// When there is no such destination.
pub(crate) fn refuse_unknown(config: &Config, effect: &str) -> Result<(), UnknownEffect> {
    let known: Vec<String> = configured(config).into_iter().map(|(effect, ..)| effect).collect();
    if known.iter().any(|known| known == effect) {
        return Ok(());
    }
    Err(UnknownEffect { effect: effect.to_owned(), known })
}

impl Destinations {
    pub(crate) fn new(destinations: Vec<Destination>) -> Self {
        Self { destinations }
    }

    /// 3 when what goes somewhere fails, does not get there, or is kept back until a person resumes it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let is_fine = |one: &Destination| one.health == Health::Fine;
        if self.destinations.iter().all(is_fine) { ExitCode::SUCCESS } else { ExitCode::from(3) }
    }
}

impl Shown for Destinations {
    fn text(&self) -> String {
        let row = |one: &Destination| {
            let breaker = one.breaker.map_or("-", Breaker::as_str).to_owned();
            let oldest = one.oldest_age_s.map_or_else(|| "-".to_owned(), |s| age(time::Duration::seconds(s)));
            let error = match &one.paused {
                Some(paused) => format!("paused by {}: {}", paused.paused_by, paused.because),
                None => one.last_error.clone().unwrap_or_else(|| "-".to_owned()),
            };
            let (state, waiting) = (one.health.as_str().to_owned(), one.pending.to_string());
            [one.effect.clone(), one.target.clone(), state, breaker, waiting, one.failing.to_string(), oldest, error]
                .map(|cell| printable(&cell))
        };
        let head = ["EFFECT", "TO", "STATE", "BREAKER", "WAIT", "FAILED", "OLDEST", "LAST ERROR"];
        table(head, self.destinations.iter().map(row))
    }
}
