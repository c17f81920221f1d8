//! All that is known of one webhook, told as its life.

use std::collections::BTreeMap;

use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::outbox::rows::OutboxRow;
use shared::db::parked_webhooks::rows::{self as parked, ParkedRow};
use shared::db::processed_webhooks::{WebhookKey, replays};
use shared::db::webhook_failures::FailureRow;
use shared::db::{Content, webhook_payloads};
use shared::plan::Skip;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::entry::Entry;
use crate::parked::body::{ShownBody, masked};
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::webhooks::Known;

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Story {
    pub(crate) source: String,
    pub(crate) webhook_id: String,
    /// Where it is now; `null` while it is on the retry ladder for the first time.
    pub(crate) now: Option<Entry>,
    /// What is parked of it, whatever became of that.
    #[schema(value_type = Object)]
    pub(crate) parked: Option<ParkedRow>,
    /// What effects left out.
    #[schema(value_type = Vec<Object>)]
    pub(crate) skips: Vec<Skip>,
    /// How many of the duplicates had another body.
    pub(crate) changed_bodies: i32,
    /// Every failed attempt that is on record.
    #[schema(value_type = Vec<Object>)]
    pub(crate) failures: Vec<FailureRow>,
    /// What it brought about, its replays included.
    #[schema(value_type = Vec<Object>)]
    pub(crate) effects: Vec<OutboxRow>,
    pub(crate) replays: Vec<Entry>,
    /// The W3C trace id that it came with or was given.
    pub(crate) trace_id: Option<String>,
    pub(crate) content_type: Option<String>,
    /// The provider's headers worth keeping; what sounds like a secret is masked.
    pub(crate) headers: BTreeMap<String, String>,
    /// SHA-256 of the body that was processed or parked, in hex.
    pub(crate) body_sha256: String,
    pub(crate) body_bytes: Option<usize>,
    /// Indented if it is JSON; `null` when it is purged or too large to show.
    pub(crate) body: Option<String>,
    /// Its life, the first first.
    pub(crate) timeline: Vec<Moment>,
}

/// Something that happened to a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Moment {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) what: String,
    /// `good`, `warn`, `bad` or empty.
    pub(crate) tone: &'static str,
}

/// Bodies beyond this are not shown on a page; they can be fetched whole.
const MAX_SHOWN_BYTES: usize = 512 * 1024;

/// Tells all that is known of a webhook.
///
/// # Errors
/// [`Problem::NotFound`] when nothing is.
pub(crate) async fn tell(console: &Shared, key: &WebhookKey) -> Result<Story, Problem> {
    let client = console.database().await?;
    let known = Known::read(&client, key).await?.ok_or(Problem::NotFound)?;
    let content = content(&client, key).await?;
    let timeline = timeline(&known);
    let Known { processed, parked, failures, replays, effects } = known;
    let body_sha256 = processed.as_ref().map(|row| row.body_sha256.clone());
    let body_sha256 = body_sha256.or_else(|| parked.as_ref().map(|row| row.body_sha256.clone())).unwrap_or_default();
    let mut story = Story {
        source: key.source.clone(),
        webhook_id: key.webhook_id.clone(),
        skips: processed.as_ref().map(|row| row.skips.clone()).unwrap_or_default(),
        changed_bodies: processed.as_ref().map_or(0, |row| row.changed_bodies),
        now: processed.map(Entry::from).or_else(|| parked.clone().and_then(Entry::parked)),
        parked,
        failures,
        effects,
        replays: replays.into_iter().map(Entry::from).collect(),
        trace_id: None,
        content_type: None,
        headers: BTreeMap::new(),
        body_sha256,
        body_bytes: None,
        body: None,
        timeline,
    };
    if let Some(content) = content {
        story.show(content);
    }
    Ok(story)
}

impl Story {
    fn show(&mut self, content: Content) {
        let Content { content_type, headers, body, trace_id } = content;
        self.content_type = content_type;
        self.headers = masked(headers);
        self.trace_id = trace_id;
        self.body_bytes = Some(body.len());
        if body.len() <= MAX_SHOWN_BYTES {
            self.body = Some(ShownBody::from(body).text());
        }
    }
}

/// What the provider sent, from wherever it is kept; `None` when it is purged.
///
/// # Errors
/// When the database is away.
pub(crate) async fn content(client: &Client, key: &WebhookKey) -> Result<Option<Content>, Problem> {
    if let Some(row) = replays::find(client, key).await?
        && let Some(content) = webhook_payloads::read(client, row.stored_on, key).await?
    {
        return Ok(Some(content));
    }
    Ok(parked::content(client, key).await?)
}

fn timeline(known: &Known) -> Vec<Moment> {
    let Known { processed, parked, failures, replays, effects } = known;
    let mut moments = Vec::new();
    let mut tell = |at, what: String, tone| moments.push(Moment { at, what, tone });
    if let Some(received_at) =
        processed.as_ref().map(|row| row.received_at).or(parked.as_ref().map(|row| row.received_at))
    {
        tell(received_at, "received and answered 2xx".to_owned(), "");
    }
    for failure in failures {
        let fate = if failure.outcome == "park" { "parked" } else { "to be tried again" };
        tell(failure.occurred_at, format!("attempt {} failed, {fate}: {}", failure.attempt + 1, failure.error), "bad");
    }
    if let Some(row) = parked {
        tell(row.parked_at, format!("parked: {}", row.reason), "warn");
        if let Some(at) = row.redriven_at {
            tell(at, "redriven: put back on the queue".to_owned(), "");
        }
        if row.state == parked::ParkState::Discarded {
            let why = row.discarded_because.as_deref().unwrap_or_default();
            tell(row.changed_at, format!("discarded: {why}"), "warn");
        }
    }
    if let Some(row) = processed {
        tell(row.processed_at, format!("processed: {}", row.status.as_str()), "good");
        if let Some(at) = row.last_duplicate_at {
            let again = crate::webhooks::again(&row.duplicates);
            tell(at, format!("arrived {again}; counted, not repeated"), "");
        }
    }
    for row in replays {
        let run = row.replay.as_ref().map_or("", |(_of, run)| run);
        tell(row.processed_at, format!("replayed in the run {run}: {}", row.status.as_str()), "");
    }
    for row in effects {
        tell(row.created_at, format!("{} planned", row.effect), "");
        if let Some(at) = row.settled_at {
            let tone = if row.state == "sent" { "good" } else { "warn" };
            tell(at, format!("{} {}", row.effect, row.state), tone);
        }
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}
