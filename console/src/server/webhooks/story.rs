//! All that is known of one webhook, told as its life.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::db::Content;
use shared::db::outbox::attempts::AttemptRow;
use shared::db::outbox::rows::OutboxRow;
use shared::db::parked_webhooks::rows::{ParkState, ParkedRow};
use shared::db::processed_webhooks::WebhookKey;
use shared::db::retention::Purge;
use shared::db::webhook_failures::FailureRow;
use shared::plan::Skip;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::parked::body::{ShownBody, masked};
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::webhooks::entry::Entry;
use crate::webhooks::{Known, Moment, timeline};

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Story {
    pub(crate) source: String,
    pub(crate) webhook_id: String,
    /// Where it is now; `null` when what was processed of it is purged, and only failures or a resolved row tell of it.
    pub(crate) now: Option<Entry>,
    /// What is parked of it, whatever became of that.
    pub(crate) parked: Option<ParkedRow>,
    /// What effects left out.
    pub(crate) skips: Vec<Skip>,
    /// How many of the duplicates had another body.
    pub(crate) changed_bodies: i32,
    /// Every failed attempt that is on record.
    pub(crate) failures: Vec<FailureRow>,
    /// What it brought about, its replays included.
    pub(crate) effects: Vec<OutboxRow>,
    /// Every attempt to send them that did not succeed and is on record.
    pub(crate) effect_attempts: Vec<AttemptRow>,
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

/// An effect that is due by then is waited for,
const SOON: Duration = Duration::seconds(10);
/// unless it has been due for so long.
const OVERDUE: Duration = Duration::minutes(1);
/// Bodies beyond this are not shown on a page; they can be fetched whole.
const MAX_SHOWN_BYTES: usize = 512 * 1024;

/// Tells all that is known of a webhook.
///
/// # Errors
/// [`Problem::NotFound`] when nothing is.
pub(crate) async fn tell(console: &Shared, key: &WebhookKey) -> Result<Story, Problem> {
    let client = console.database().await?;
    let known = Known::read(&client, ids_kept(console), key).await?.ok_or(Problem::NotFound)?;
    let content = known.content(&client, key).await?;
    let (timeline, trace_id) = (timeline(&known), known.trace_id(key, content.as_ref()));
    let Known { processed, parked, retrying, failures, replays, effects, attempts } = known;
    let body_sha256 = processed.as_ref().map(|row| row.body_sha256.clone());
    let body_sha256 = body_sha256.or_else(|| parked.as_ref().map(|row| row.body_sha256.clone())).unwrap_or_default();
    let mut story = Story {
        source: key.source.clone(),
        webhook_id: key.webhook_id.clone(),
        skips: processed.as_ref().map(|row| row.skips.clone()).unwrap_or_default(),
        changed_bodies: processed.as_ref().map_or(0, |row| row.changed_bodies),
        now: processed
            .map(Entry::from)
            .or_else(|| retrying.map(Entry::from))
            .or_else(|| parked.clone().and_then(Entry::parked)),
        parked,
        failures,
        effects,
        effect_attempts: attempts,
        replays: replays.into_iter().map(Entry::from).collect(),
        trace_id,
        content_type: None,
        headers: BTreeMap::new(),
        body_sha256,
        body_bytes: None,
        body: None,
        timeline,
    };
    for entry in story.now.iter_mut().chain(&mut story.replays) {
        entry.count_waiting(&story.effects);
    }
    if let Some(content) = content {
        story.show(content);
    }
    Ok(story)
}

/// Whether a webhook is about to stand elsewhere: it is on its way back to the queue, or an effect is being sent or falls due
/// about now. What is overdue for longer waits for a pause or a breaker to end.
pub(crate) fn is_moving(parked: Option<&ParkedRow>, effects: &[OutboxRow]) -> bool {
    let now = OffsetDateTime::now_utc();
    let is_about_now = |due: OffsetDateTime| now - OVERDUE <= due && due <= now + SOON;
    let is_redriven = parked.is_some_and(|row| row.state == ParkState::Redriving && !row.waits);
    let is_sent = |effect: &OutboxRow| effect.state == "sending" || effect.due_at().is_some_and(is_about_now);
    is_redriven || effects.iter().any(is_sent)
}

/// The same of a webhook by its key; one of which nothing is known moves nowhere.
///
/// # Errors
/// When the database is away.
pub(crate) async fn moves(console: &Shared, key: &WebhookKey) -> Result<bool, Problem> {
    let client = console.database().await?;
    let known = Known::read(&client, ids_kept(console), key).await?;
    Ok(known.is_some_and(|known| is_moving(known.parked.as_ref(), &known.effects)))
}

impl Story {
    fn show(&mut self, content: Content) {
        let Content { content_type, headers, body, .. } = content;
        self.content_type = content_type;
        self.headers = masked(headers);
        self.body_bytes = Some(body.len());
        if body.len() <= MAX_SHOWN_BYTES {
            self.body = Some(ShownBody::from(body).text());
        }
    }
}

/// What the provider sent; `None` when it is purged, or not stored yet.
///
/// # Errors
/// When the database is away.
pub(crate) async fn content(console: &Shared, key: &WebhookKey) -> Result<Option<Content>, Problem> {
    let client = console.database().await?;
    let known = Known::read(&client, ids_kept(console), key).await?.ok_or(Problem::NotFound)?;
    Ok(known.content(&client, key).await?)
}

fn ids_kept(console: &Shared) -> i32 {
    Purge::Claims.days(&console.config.retention)
}
