//! Which effects need a person, and how each destination does.

use serde::{Deserialize, Serialize};
use shared::config::{Config, OPERATOR_ALERT};
use shared::db::outbox::rows::{self, OutboxRow, Show, Waiting};
use shared::db::paused_effects::{self, PausedEffect};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::server::problem::Problem;
use crate::server::state::Shared;

/// Effects on a page.
const PAGE: usize = 50;
/// Rows that are counted of those that wait.
const BOUND: i64 = 10_000;

/// Which effects.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutboxQuery {
    /// `attention` (held or failed; the default), `ambiguous`, `pending`, `held`, `failed` or `cancelled`.
    pub(crate) show: String,
    pub(crate) effect: String,
    /// The next page: what the one before said.
    pub(crate) before: Option<i64>,
    /// What was done before this page was shown; for the page alone.
    #[param(ignore)]
    pub(crate) told: String,
    #[param(ignore)]
    pub(crate) rows: usize,
}

/// A page of the outbox: what is pending in the order in which it is due, all else the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboxPage {
    #[schema(value_type = Vec<Object>)]
    pub(crate) effects: Vec<OutboxRow>,
    /// `before` of the next page; `null` when this was the last one.
    pub(crate) next: Option<i64>,
}

/// How a destination does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// Nothing that waits has failed.
    Fine,
    /// What was tried last could not be sent, and is tried again with growing delays.
    Failing,
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
    /// Effects that wait; counted up to 10,000.
    pub(crate) pending: i64,
    /// How many of them have failed before.
    pub(crate) failing: i64,
    /// The age of the oldest that waits, in seconds.
    pub(crate) oldest_age_s: Option<i64>,
    pub(crate) last_error: Option<String>,
    #[schema(value_type = Object)]
    pub(crate) paused: Option<PausedEffect>,
}

impl Health {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Failing => "failing",
            Self::Paused => "paused",
        }
    }

    pub(crate) fn tone(self) -> &'static str {
        match self {
            Self::Fine => "good",
            Self::Failing => "bad",
            Self::Paused => "warn",
        }
    }
}

/// Reads a page.
///
/// # Errors
/// When the query cannot be read or the database is away.
pub(crate) async fn read(console: &Shared, query: &OutboxQuery) -> Result<OutboxPage, Problem> {
    let show = match query.show.as_str() {
        "" | "attention" => Show::Attention,
        "ambiguous" => Show::Ambiguous,
        "pending" => Show::Pending,
        "held" => Show::Held,
        "failed" => Show::Failed,
        "cancelled" => Show::Cancelled,
        other => return Err(Problem::Malformed(format!("there is no way to show {other:?}"))),
    };
    let effect = Some(query.effect.trim()).filter(|effect| !effect.is_empty());
    let client = console.database().await?;
    let rows::Page { rows, next } = rows::list(&client, show, effect, query.before, PAGE).await?;
    Ok(OutboxPage { effects: rows, next })
}

/// Every destination that is configured, or that something waits for.
///
/// # Errors
/// When the database is away.
pub(crate) async fn destinations(console: &Shared) -> Result<Vec<Destination>, Problem> {
    let client = console.database().await?;
    // Counting takes long, and the monitor has counted within the last seconds; what a person pauses shows at once.
    let counted =
        console.monitor.known().rows.as_ref().and_then(|rows| rows.as_ref().ok()).map(|rows| rows.waiting.clone());
    let waiting = match counted {
        Some(waiting) => waiting,
        None => rows::waiting(&client, BOUND).await?,
    };
    let paused = paused_effects::list(&client).await?;
    let mut destinations = configured(&console.config);
    for effect in waiting.iter().map(|one| &one.effect).chain(paused.iter().map(|one| &one.effect)) {
        if !destinations.iter().any(|(known, _kind, _target)| known == effect) {
            destinations.push((effect.clone(), "", "not in the configuration".to_owned()));
        }
    }
    let now = OffsetDateTime::now_utc();
    let view = |(effect, kind, target): (String, &'static str, String)| {
        let wait = waiting.iter().find(|one| one.effect == effect);
        let pause = paused.iter().find(|one| one.effect == effect).cloned();
        destination((effect, kind, target), wait, pause, now)
    };
    Ok(destinations.into_iter().map(view).collect())
}

fn destination(
    (effect, kind, target): (String, &'static str, String),
    waiting: Option<&Waiting>,
    paused: Option<PausedEffect>,
    now: OffsetDateTime,
) -> Destination {
    let health = match waiting {
        _ if paused.is_some() => Health::Paused,
        Some(waiting) if waiting.failing > 0 => Health::Failing,
        _ => Health::Fine,
    };
    Destination {
        effect,
        kind,
        target,
        health,
        pending: waiting.map_or(0, |one| one.pending),
        failing: waiting.map_or(0, |one| one.failing),
        oldest_age_s: waiting.map(|one| (now - one.oldest).whole_seconds().max(0)),
        last_error: waiting.and_then(|one| one.last_error.clone()),
        paused,
    }
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
