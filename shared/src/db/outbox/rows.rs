//! Looking at the outbox: what needs a person, what waits, what a webhook brought about. How many they are is in
//! [`counts`](super::counts).
//!
//! Intents hold addresses and texts of customers, and are not read here.

use std::collections::HashMap;

use deadpool_postgres::Client;
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::{Error, Row};

use crate::db::processed_webhooks::WebhookKey;

macro_rules! columns {
    () => {
        "id, dedupe_key, effect, kind, source, webhook_id, on_ambiguous, state, ambiguous, attempts, next_attempt_at,
         created_at, settled_at, last_error, substr(traceparent, 4, 32) AS trace_id"
    };
}

/// Rows of one state, the newest first: the last `$3` before `$2`.
macro_rules! in_state {
    ($state:literal) => {
        concat!(
            "(SELECT id FROM outbox
              WHERE state = ",
            $state,
            " AND ($1::text IS NULL OR effect = $1) AND ($2::int8 IS NULL OR id < $2)
              ORDER BY id DESC
              LIMIT $3)"
        )
    };
}

/// Rows are looked for in an index that holds all that is asked for, and only then read.
macro_rules! newest_of {
    ($ids:expr) => {
        concat!(
            "WITH found AS MATERIALIZED (SELECT id FROM (",
            $ids,
            ") AS one ORDER BY id DESC LIMIT $3) SELECT ",
            columns!(),
            " FROM outbox WHERE id IN (SELECT id FROM found) ORDER BY id DESC"
        )
    };
}

const ATTENTION: &str = newest_of!(concat!(in_state!("'held'"), " UNION ALL ", in_state!("'failed'")));
const HELD: &str = newest_of!(in_state!("'held'"));
const FAILED: &str = newest_of!(in_state!("'failed'"));
const CANCELLED: &str = newest_of!(in_state!("'cancelled'"));
const AMBIGUOUS: &str = newest_of!(
    "SELECT id FROM outbox WHERE ambiguous AND ($1::text IS NULL OR effect = $1) AND ($2::int8 IS NULL OR id < $2)"
);

/// What was tried in vain and is tried again: what is simply fresh is not among it.
const FAILING: &str = newest_of!(
    "SELECT id FROM outbox
     WHERE state = 'pending' AND attempts > 0 AND ($1::text IS NULL OR effect = $1) AND ($2::int8 IS NULL OR id < $2)
     ORDER BY id DESC
     LIMIT $3"
);

/// What is due first, of one effect or of each.
const DUE: &str = concat!(
    waiting_effects!(),
    " SELECT due.* FROM waiting CROSS JOIN LATERAL (SELECT ",
    columns!(),
    " FROM outbox
      WHERE state = 'pending' AND effect = waiting.effect
        AND next_attempt_at >= coalesce((SELECT next_attempt_at FROM outbox WHERE id = $2), '-infinity')
        AND (next_attempt_at, id)
            > (coalesce((SELECT next_attempt_at FROM outbox WHERE id = $2), '-infinity'), coalesce($2, 0))
      ORDER BY next_attempt_at, id
      LIMIT $3) AS due
      WHERE $1::text IS NULL OR waiting.effect = $1
      ORDER BY due.next_attempt_at, due.id
      LIMIT $3"
);

const PENDING: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox
      WHERE state = 'pending' AND ($1::text IS NULL OR effect = $1) AND ($2::int8 IS NULL OR id < $2)
      ORDER BY id DESC
      LIMIT $3"
);

const OF_WEBHOOKS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox WHERE source = $1 AND webhook_id = ANY ($2::text[]) ORDER BY id LIMIT 200"
);

const OF_ID: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox WHERE source = ANY ($1::text[]) AND webhook_id = $2 ORDER BY id DESC LIMIT 200"
);

const WAITING_OF: &str = "
    SELECT outbox.source, outbox.webhook_id, count(*) AS rows
    FROM unnest($1::text[], $2::text[]) AS asked (source, webhook_id)
    JOIN outbox ON outbox.source = asked.source AND outbox.webhook_id = asked.webhook_id
    WHERE outbox.state IN ('held', 'failed')
    GROUP BY outbox.source, outbox.webhook_id";

const FIND: &str = concat!("SELECT ", columns!(), " FROM outbox WHERE id = $1");

/// A row of the outbox, without what it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutboxRow {
    /// The row's number.
    pub id: i64,
    /// What it is unique by.
    pub dedupe_key: String,
    /// The configured effect.
    pub effect: String,
    /// What performs it.
    pub kind: String,
    /// The sender of the webhook that asked for it.
    pub source: Option<String>,
    /// The webhook that asked for it.
    pub webhook_id: Option<String>,
    /// `resend` or `hold`.
    pub on_ambiguous: String,
    /// Where it is.
    pub state: String,
    /// Whether the peer may have seen it more than once.
    pub ambiguous: bool,
    /// How often a send was begun since a person last sent it again.
    pub attempts: i32,
    /// Not to be sent before.
    #[serde(with = "time::serde::rfc3339")]
    pub next_attempt_at: OffsetDateTime,
    /// When it was planned.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it came to its end.
    #[serde(with = "time::serde::rfc3339::option")]
    pub settled_at: Option<OffsetDateTime>,
    /// Why the last attempt did not succeed.
    pub last_error: Option<String>,
    /// The W3C trace id of what planned it: its webhook's.
    pub trace_id: Option<String>,
}

/// Which rows a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Held or failed: a person decides.
    Attention,
    /// A send's outcome was unknown once.
    Ambiguous,
    /// Due, or waiting to be tried again.
    Pending,
    /// Those of them that were tried before, in vain.
    Failing,
    /// Held.
    Held,
    /// Given up.
    Failed,
    /// Cancelled by a person.
    Cancelled,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<OutboxRow>,
    /// What the next page begins behind; `None` when this was the last one.
    pub next: Option<i64>,
}

/// A page for a person: what is pending in the order in which it is due, all else the newest first.
///
/// # Errors
/// When a statement fails.
pub async fn list(
    client: &Client,
    show: Show,
    effect: Option<&str>,
    behind: Option<i64>,
    most: usize,
) -> Result<Page, Error> {
    let one_more = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = match show {
        Show::Pending => {
            let due = client.query(&client.prepare_cached(DUE).await?, &[&effect, &behind, &one_more]).await?;
            due.iter().map(OutboxRow::read).collect::<Result<_, _>>()?
        }
        _ => page(client, show, effect, behind, one_more).await?,
    };
    let goes_on = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| goes_on).map(|row| row.id);
    Ok(Page { rows, next })
}

/// Rows before `before`, the newest first, at most `limit`: for a walk over all, however long it takes.
///
/// # Errors
/// When the statement fails.
pub async fn page(
    client: &Client,
    show: Show,
    effect: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<OutboxRow>, Error> {
    let statement = match show {
        Show::Attention => ATTENTION,
        Show::Ambiguous => AMBIGUOUS,
        Show::Pending => PENDING,
        Show::Failing => FAILING,
        Show::Held => HELD,
        Show::Failed => FAILED,
        Show::Cancelled => CANCELLED,
    };
    let rows = client.query(&client.prepare_cached(statement).await?, &[&effect, &before, &limit]).await?;
    rows.iter().map(OutboxRow::read).collect()
}

/// How many effects of these webhooks wait for a person, held or failed; those of which none does are left out.
///
/// # Errors
/// When the statement fails.
pub async fn waiting_of(client: &Client, keys: &[WebhookKey]) -> Result<HashMap<WebhookKey, i64>, Error> {
    let (sources, ids): (Vec<&str>, Vec<&str>) =
        keys.iter().map(|key| (key.source.as_str(), key.webhook_id.as_str())).unzip();
    let rows = client.query(&client.prepare_cached(WAITING_OF).await?, &[&sources, &ids]).await?;
    let read = |row: &Row| {
        let key = WebhookKey { source: row.try_get("source")?, webhook_id: row.try_get("webhook_id")? };
        Ok((key, row.try_get("rows")?))
    };
    rows.iter().map(read).collect()
}

/// What webhooks of one source brought about, at most 200.
///
/// # Errors
/// When the statement fails.
pub async fn of_webhooks(client: &Client, source: &str, ids: &[&str]) -> Result<Vec<OutboxRow>, Error> {
    let rows = client.query(&client.prepare_cached(OF_WEBHOOKS).await?, &[&source, &ids]).await?;
    rows.iter().map(OutboxRow::read).collect()
}

/// What webhooks with one id, of any of these sources, brought about, the newest first; at most 200.
///
/// # Errors
/// When the statement fails.
pub async fn of_id(client: &Client, sources: &[&str], id: &str) -> Result<Vec<OutboxRow>, Error> {
    let rows = client.query(&client.prepare_cached(OF_ID).await?, &[&sources, &id]).await?;
    rows.iter().map(OutboxRow::read).collect()
}

/// One row.
///
/// # Errors
/// When the statement fails.
pub async fn find(client: &Client, id: i64) -> Result<Option<OutboxRow>, Error> {
    let row = client.query_opt(&client.prepare_cached(FIND).await?, &[&id]).await?;
    row.as_ref().map(OutboxRow::read).transpose()
}

impl Show {
    /// As a person says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Ambiguous => "ambiguous",
            Self::Pending => "pending",
            Self::Failing => "failing",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether a row is among what it shows.
    #[must_use]
    pub fn takes(self, row: &OutboxRow) -> bool {
        match self {
            Self::Attention => matches!(row.state.as_str(), "held" | "failed"),
            Self::Ambiguous => row.ambiguous,
            Self::Pending => row.state == "pending",
            Self::Failing => row.state == "pending" && row.attempts > 0,
            Self::Held => row.state == "held",
            Self::Failed => row.state == "failed",
            Self::Cancelled => row.state == "cancelled",
        }
    }
}

impl OutboxRow {
    /// When it is sent next, if it waits for that.
    #[must_use]
    pub fn due_at(&self) -> Option<OffsetDateTime> {
        (self.state == "pending").then_some(self.next_attempt_at)
    }

    /// Whether a person can send it again, hold or cancel it.
    #[must_use]
    pub fn can_be_steered(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "held" | "failed" | "cancelled")
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            dedupe_key: row.try_get("dedupe_key")?,
            effect: row.try_get("effect")?,
            kind: row.try_get("kind")?,
            source: row.try_get("source")?,
            webhook_id: row.try_get("webhook_id")?,
            on_ambiguous: row.try_get("on_ambiguous")?,
            state: row.try_get("state")?,
            ambiguous: row.try_get("ambiguous")?,
            attempts: row.try_get("attempts")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            created_at: row.try_get("created_at")?,
            settled_at: row.try_get("settled_at")?,
            last_error: row.try_get("last_error")?,
            trace_id: row.try_get("trace_id")?,
        })
    }
}
