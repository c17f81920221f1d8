//! Looking at parked webhooks: one, or page by page in the order in which they were first parked.
//!
//! A walk names the last row it has seen and never counts offsets, so that a table of any size is walked in one
//! pass, while rows change. Bodies are read one webhook at a time.

use deadpool_postgres::Client;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, Type, accepts};
use tokio_postgres::{Error, Row};

use super::ParkReason;
use crate::db::Content;
use crate::db::processed_webhooks::WebhookKey;
use crate::db::processed_webhooks::search::Stretch;

/// What a row says, without its body.
macro_rules! columns {
    () => {
        concat!(
            "source, webhook_id, provider, topic, reason, detail, state, generation, attempts,
             octet_length(body)::int8 AS body_bytes,
             (octet_length(body) = 0 AND body_sha256 <> sha256('')) AS is_purged, encode(body_sha256, 'hex') AS body_sha256,
             received_at, parked_at, changed_at, redriven_at, discarded_because, replay_of, replay_run, replay_mode, ",
            waits!(),
            " AS waits"
        )
    };
}
pub(super) use columns;

/// Rows are looked for in an index that holds all that is asked for but the topic, and only then read. `$standing` is
/// said in so many words, so that the index of what is not resolved can serve it.
macro_rules! page {
    ($($standing:expr),+) => {
        concat!(
            "WITH found AS MATERIALIZED (
                SELECT source, webhook_id FROM parked_webhooks
                WHERE ",
            $($standing,)+
            "   AND ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR reason = $2)
                AND ($3::text IS NULL OR topic = $3) AND parked_at >= $4 AND parked_at < $5
                AND (parked_at, source, webhook_id) > ($4, $6, $7)
                ORDER BY parked_at, source, webhook_id
                LIMIT $8
            ) SELECT ",
            columns!(),
            " FROM found JOIN parked_webhooks USING (source, webhook_id)
              ORDER BY parked_at, source, webhook_id"
        )
    };
}

const WAITING: &str = page!("state IN ('parked', 'redriving') AND ", waits!());
const OPEN: &str = page!("state IN ('parked', 'redriving')");
const PARKED: &str = page!("state = 'parked'");
const REDRIVING: &str = page!("state = 'redriving'");
const DISCARDED: &str = page!("state = 'discarded'");
const RESOLVED: &str = page!("state = 'resolved'");
const ANY: &str = page!("true");

const FIND: &str = concat!("SELECT ", columns!(), " FROM parked_webhooks WHERE source = $1 AND webhook_id = $2");

const WITH_KEYS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM parked_webhooks JOIN unnest($1::text[], $2::text[]) AS wanted (source, webhook_id) USING (source, webhook_id)"
);

/// The newest first, what was processed meanwhile left out.
const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM parked_webhooks
      WHERE state <> 'resolved' AND ($1::text IS NULL OR source = $1) AND parked_at >= $2 AND parked_at <= $3
        AND (parked_at, source, webhook_id) < ($3, $4, $5)
      ORDER BY parked_at DESC, source DESC, webhook_id DESC
      LIMIT $6"
);

/// Byte by byte: no index helps.
const CONTAINING: &str = "
    SELECT source, webhook_id
    FROM parked_webhooks JOIN unnest($1::text[], $2::text[]) AS wanted (source, webhook_id) USING (source, webhook_id)
    WHERE position($3::bytea IN body) > 0";

/// By reason, each counted up to a bound.
const BOUNDED_COUNTS: &str = concat!(
    "SELECT reasons.reason, found.rows, found.oldest
     FROM unnest($1::text[]) AS reasons (reason) CROSS JOIN LATERAL (
        SELECT count(*) AS rows, min(parked_at) AS oldest FROM (
            SELECT parked_at FROM parked_webhooks
            WHERE reason = reasons.reason AND state IN ('parked', 'redriving') AND ",
    waits!(),
    " ORDER BY parked_at LIMIT $2) AS one) AS found
     WHERE found.rows > 0 ORDER BY found.oldest"
);

const CONTENT: &str = "
    SELECT content_type, headers, body, trace_id FROM parked_webhooks WHERE source = $1 AND webhook_id = $2";

/// No row is from further in the future than this, however wrong this machine's clock.
const AHEAD: time::Duration = time::Duration::days(366);

/// Where a parked webhook is, as the column's CHECK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParkState {
    /// Waits for a person.
    Parked,
    /// Handed to the queue, or about to be.
    Redriving,
    /// Processed after all.
    Resolved,
    /// Given up by a person.
    Discarded,
}

/// Which states a walk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What waits for a person: parked, or left unfinished while it was redriven.
    Waiting,
    /// Parked or on its way.
    Open,
    /// One state.
    In(ParkState),
    /// All of them.
    Any,
}

/// Which parked webhooks a walk takes. What is `None` takes all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedFilter {
    /// In which states.
    pub standing: Standing,
    /// From which source.
    pub source: Option<String>,
    /// For which reason.
    pub reason: Option<ParkReason>,
    /// Of which topic.
    pub topic: Option<String>,
    /// First parked then or later.
    pub since: Option<OffsetDateTime>,
    /// First parked before.
    pub until: Option<OffsetDateTime>,
}

/// The last row that a walk has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCursor {
    /// When it was first parked.
    pub parked_at: OffsetDateTime,
    /// What it is known by.
    pub key: WebhookKey,
}

/// What waits for a person for one reason, counted up to a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BoundedReason {
    /// The reason.
    pub reason: ParkReason,
    /// How many; the bound when there are more.
    pub rows: i64,
    /// When the oldest was first parked.
    #[serde(with = "time::serde::rfc3339")]
    pub oldest: OffsetDateTime,
}

/// What is known of a parked webhook, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ParkedRow {
    /// What it is known by.
    #[serde(flatten)]
    pub key: WebhookKey,
    /// The provider's name.
    pub provider: String,
    /// The topic, as the provider names it.
    pub topic: String,
    /// Why it is parked.
    pub reason: ParkReason,
    /// Why, for a person.
    pub detail: String,
    /// Where it is.
    pub state: ParkState,
    /// Raised by each change that a person or a worker makes.
    pub generation: i32,
    /// How many attempts had failed.
    pub attempts: i32,
    /// The body's size.
    pub body_bytes: i64,
    /// Whether body and headers were emptied, since it was resolved or discarded for long enough.
    pub is_purged: bool,
    /// The body's SHA-256, in hex.
    pub body_sha256: String,
    /// When ingest had received it.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// When it was first parked.
    #[serde(with = "time::serde::rfc3339")]
    pub parked_at: OffsetDateTime,
    /// When its state last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub changed_at: OffsetDateTime,
    /// When the broker confirmed its last redrive.
    #[serde(with = "time::serde::rfc3339::option")]
    pub redriven_at: Option<OffsetDateTime>,
    /// Why a person discarded it.
    pub discarded_because: Option<String>,
    /// For a replay that was parked.
    pub replay: Option<ParkedReplay>,
    /// Whether it waits for a person: parked, or left unfinished while it was redriven.
    pub waits: bool,
}

/// What a parked replay was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ParkedReplay {
    /// The id under which the webhook was processed first.
    pub of: String,
    /// What the person called the run.
    pub run: String,
    /// `fill-in` or `resend`.
    pub mode: String,
}

/// The next rows of a walk, at most `limit`; an empty page is its end.
///
/// # Errors
/// When the statement fails.
pub async fn page(
    client: &Client,
    filter: &ParkedFilter,
    after: Option<&ParkedCursor>,
    limit: i64,
) -> Result<Vec<ParkedRow>, Error> {
    let since = filter.since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let until = filter.until.unwrap_or_else(|| OffsetDateTime::now_utc() + AHEAD);
    // The cursor is the later of the two beginnings.
    let (since, source, id) = match after.filter(|after| after.parked_at >= since) {
        Some(after) => (after.parked_at, after.key.source.as_str(), after.key.webhook_id.as_str()),
        None => (since, "", ""),
    };
    let statement = client.prepare_cached(filter.standing.page()).await?;
    let reason = filter.reason.map(ParkReason::as_str);
    let rows = client
        .query(&statement, &[&filter.source, &reason, &filter.topic, &since, &until, &source, &id, &limit])
        .await?;
    rows.iter().map(ParkedRow::read).collect()
}

/// What lies behind a webhook, the newest first, at most `limit`; without what was processed meanwhile.
///
/// # Errors
/// When the statement fails.
pub async fn newest(client: &Client, stretch: &Stretch, limit: i64) -> Result<Vec<ParkedRow>, Error> {
    let Stretch { source, since, before, before_key } = stretch;
    let statement = client.prepare_cached(NEWEST).await?;
    let rows =
        client.query(&statement, &[source, since, before, &before_key.source, &before_key.webhook_id, &limit]).await?;
    rows.iter().map(ParkedRow::read).collect()
}

/// Those of these webhooks whose body contains a text. Reads every one of the bodies.
///
/// # Errors
/// When the statement fails.
pub async fn containing(client: &Client, keys: &[WebhookKey], text: &str) -> Result<Vec<WebhookKey>, Error> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.webhook_id.as_str()).collect();
    let statement = client.prepare_cached(CONTAINING).await?;
    let rows = client.query(&statement, &[&sources, &ids, &text.as_bytes()]).await?;
    rows.iter().map(crate::db::processed_webhooks::key).collect()
}

/// What waits for a person, by reason, the longest waiting first; each reason is counted up to `bound`.
///
/// # Errors
/// When the statement fails.
pub async fn bounded_counts(client: &Client, bound: i64) -> Result<Vec<BoundedReason>, Error> {
    let reasons: Vec<&str> =
        <ParkReason as clap::ValueEnum>::value_variants().iter().map(|reason| reason.as_str()).collect();
    let rows = client.query(&client.prepare_cached(BOUNDED_COUNTS).await?, &[&reasons, &bound]).await?;
    rows.iter()
        .map(|row| {
            let (reason, count) = (row.try_get("reason")?, row.try_get("rows")?);
            Ok(BoundedReason { reason, rows: count, oldest: row.try_get("oldest")? })
        })
        .collect()
}

/// One parked webhook, whatever its state.
///
/// # Errors
/// When the statement fails.
pub async fn find(client: &Client, key: &WebhookKey) -> Result<Option<ParkedRow>, Error> {
    let row = client.query_opt(&client.prepare_cached(FIND).await?, &[&key.source, &key.webhook_id]).await?;
    row.as_ref().map(ParkedRow::read).transpose()
}

/// Those of these webhooks that are or were parked, whatever their state.
///
/// # Errors
/// When the statement fails.
pub async fn with_keys(client: &Client, keys: &[WebhookKey]) -> Result<Vec<ParkedRow>, Error> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let ids: Vec<&str> = keys.iter().map(|key| key.webhook_id.as_str()).collect();
    let rows = client.query(&client.prepare_cached(WITH_KEYS).await?, &[&sources, &ids]).await?;
    rows.iter().map(ParkedRow::read).collect()
}

/// What the provider sent; `None` when the row has gone.
///
/// # Errors
/// When the statement fails.
pub async fn content(client: &Client, key: &WebhookKey) -> Result<Option<Content>, Error> {
    let row = client.query_opt(&client.prepare_cached(CONTENT).await?, &[&key.source, &key.webhook_id]).await?;
    row.as_ref().map(Content::read).transpose()
}

impl ParkedRow {
    /// Where a walk goes on behind this row.
    #[must_use]
    pub fn cursor(&self) -> ParkedCursor {
        ParkedCursor { parked_at: self.parked_at, key: self.key.clone() }
    }

    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let of: Option<String> = row.try_get("replay_of")?;
        let (run, mode) = (row.try_get("replay_run")?, row.try_get("replay_mode")?);
        let replay = match (of, run, mode) {
            (Some(of), Some(run), Some(mode)) => Some(ParkedReplay { of, run, mode }),
            _ => None,
        };
        Ok(Self {
            key: WebhookKey { source: row.try_get("source")?, webhook_id: row.try_get("webhook_id")? },
            provider: row.try_get("provider")?,
            topic: row.try_get("topic")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            state: row.try_get("state")?,
            generation: row.try_get("generation")?,
            attempts: row.try_get("attempts")?,
            body_bytes: row.try_get("body_bytes")?,
            is_purged: row.try_get("is_purged")?,
            body_sha256: row.try_get("body_sha256")?,
            received_at: row.try_get("received_at")?,
            parked_at: row.try_get("parked_at")?,
            changed_at: row.try_get("changed_at")?,
            redriven_at: row.try_get("redriven_at")?,
            discarded_because: row.try_get("discarded_because")?,
            replay,
            waits: row.try_get("waits")?,
        })
    }
}

impl ParkState {
    /// As the column says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Redriving => "redriving",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
        }
    }
}

impl Standing {
    /// The statement that walks them.
    fn page(self) -> &'static str {
        match self {
            Self::Waiting => WAITING,
            Self::Open => OPEN,
            Self::In(ParkState::Parked) => PARKED,
            Self::In(ParkState::Redriving) => REDRIVING,
            Self::In(ParkState::Discarded) => DISCARDED,
            Self::In(ParkState::Resolved) => RESOLVED,
            Self::Any => ANY,
        }
    }
}

impl<'a> FromSql<'a> for ParkState {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = <&str>::from_sql(kind, raw)?;
        let all = [Self::Parked, Self::Redriving, Self::Resolved, Self::Discarded];
        let known = all.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| format!("there is no state {text:?} in this version").into())
    }

    accepts!(TEXT);
}
