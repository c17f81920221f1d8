//! What a person may look for, and which way it is found: an id or a key by an index, a text by reading bodies, all else
//! by walking ([`super::list`]).

use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use serde::{Deserialize, Serialize};
use shared::db::processed_webhooks::{WebhookKey, search};
use shared::db::{parked_webhooks, webhook_failures, webhook_payloads, webhook_search_keys};
use shared::plan::normal;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use super::entry::{Entry, Standing};
use super::list::{self, Behind, Sieve};
use crate::parked::list::After;
use crate::server::parked::list::time;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// How long bodies may be read for one search.
const TEXT_PATIENCE: Duration = Duration::from_secs(4);
/// The most webhooks that a search by text, id or key shows.
const MAX_FOUND: i64 = 200;
/// The shortest text that is looked for, in bytes.
const MIN_TEXT: usize = 3;
/// The most days that are read for a text.
const MAX_DAYS: i64 = 31;

/// Which webhooks.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhookQuery {
    /// An id, or the value of a key that the source extracts (`search_keys`), whole.
    pub(crate) q: String,
    /// Any text of the body, as it stands there. Reads bodies for at most four seconds: give a time.
    pub(crate) text: String,
    pub(crate) source: String,
    pub(crate) topic: String,
    /// `completed`, `skipped`, `duplicated`, `parked`, `redriving`, `discarded` or `retrying`.
    pub(crate) status: String,
    /// Processed or parked then or later: RFC 3339, or how long ago, such as `2h`.
    pub(crate) since: String,
    /// Processed or parked before.
    pub(crate) until: String,
    /// The next page: what the one before said.
    pub(crate) after: String,
}

/// A page of webhooks, the newest first.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct WebhookPage {
    pub(crate) webhooks: Vec<Entry>,
    /// `after` of the next page; `null` when this was the last one.
    pub(crate) next: Option<String>,
    /// How far the search came, where it ended before it was through: in a sentence.
    pub(crate) note: Option<String>,
}

impl WebhookQuery {
    fn sieve(&self) -> Result<Sieve, Problem> {
        let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let status = match self.status.as_str() {
            "" | "duplicated" => None,
            "completed" => Some(Standing::Completed),
            "skipped" => Some(Standing::Skipped),
            "parked" => Some(Standing::Parked),
            "redriving" => Some(Standing::Redriving),
            "discarded" => Some(Standing::Discarded),
            "retrying" => Some(Standing::Retrying),
            other => return Err(Problem::Malformed(format!("there is no status {other:?}"))),
        };
        Ok(Sieve {
            source: text(&self.source),
            topic: text(&self.topic),
            status,
            duplicated: self.status == "duplicated",
            since: time(&self.since)?,
            until: time(&self.until)?,
        })
    }

    fn behind(&self) -> Result<Option<Behind>, Problem> {
        if self.after.is_empty() {
            return Ok(None);
        }
        let After(cursor) = self.after.parse().map_err(|_no_cursor| Problem::Malformed("after".to_owned()))?;
        Ok(Some(Behind { at: cursor.parked_at, key: cursor.key }))
    }

    /// Whether anything is asked but for the newest.
    pub(crate) fn asks(&self) -> bool {
        let Self { q, text, source, topic, status, since, until, after: _ } = self;
        [q, text, source, topic, status, since, until].into_iter().any(|field| !field.trim().is_empty())
    }
}

/// Finds a page.
///
/// # Errors
/// When the query cannot be read, the database is away, or takes too long.
pub(crate) async fn find(console: &Shared, query: &WebhookQuery) -> Result<WebhookPage, Problem> {
    let sieve = query.sieve()?;
    let mut client = console.database().await?;
    if !query.q.trim().is_empty() {
        return by_id_or_key(console, &client, query.q.trim(), &sieve).await;
    }
    if !query.text.trim().is_empty() {
        return by_text(&mut client, query.text.trim(), &sieve).await;
    }
    if sieve.status == Some(Standing::Retrying) {
        let rows = webhook_failures::retrying(&client, MAX_FOUND).await?;
        let rows = rows.into_iter().filter(|row| sieve.source.as_ref().is_none_or(|source| *source == row.key.source));
        return Ok(WebhookPage { webhooks: rows.map(Entry::from).collect(), ..WebhookPage::default() });
    }
    let walked = list::walk(&client, &sieve, query.behind()?).await?;
    let cursor = |behind: Behind| {
        String::from(After(parked_webhooks::rows::ParkedCursor { parked_at: behind.at, key: behind.key }))
    };
    let note = walked.looked_back_to.map(|back| {
        let back = back.format(&Rfc3339).unwrap_or_default();
        format!("So far the search has looked back to {back}; the next page goes on from there.")
    });
    Ok(WebhookPage { webhooks: walked.entries, next: walked.next.map(cursor), note })
}

/// By id, of whatever source; then by key; then what is parked and has it somewhere in its body, since keys are taken
/// out of what was processed.
async fn by_id_or_key(console: &Shared, client: &Client, q: &str, sieve: &Sieve) -> Result<WebhookPage, Problem> {
    let mut found = search::with_id(client, q).await?;
    if let Some(value) = normal(q) {
        let keys = webhook_search_keys::find(client, &value, sieve.source.as_deref()).await?;
        found.extend(search::with_keys(client, &keys).await?);
    }
    let mut entries: Vec<Entry> = found.into_iter().map(Entry::from).collect();
    for source in console.config.sources.keys() {
        let key = WebhookKey { source: source.to_string(), webhook_id: q.to_owned() };
        entries.extend(parked_webhooks::rows::find(client, &key).await?.and_then(Entry::parked));
    }
    let parked = parked_webhooks::rows::containing(client, q, MAX_FOUND).await?;
    entries.extend(parked.into_iter().filter_map(Entry::parked));
    entries.retain(|entry| sieve.source.as_ref().is_none_or(|source| *source == entry.source));
    Ok(WebhookPage { webhooks: newest_first(entries), ..WebhookPage::default() })
}

fn newest_first(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|one, other| {
        (other.at, &other.source, &other.webhook_id).cmp(&(one.at, &one.source, &one.webhook_id))
    });
    entries.dedup_by(|one, other| (&one.source, &one.webhook_id) == (&other.source, &other.webhook_id));
    entries
}

/// Reads the bodies of one day after the other, the newest first, for as long as it may.
async fn by_text(client: &mut Client, text: &str, sieve: &Sieve) -> Result<WebhookPage, Problem> {
    if text.len() < MIN_TEXT {
        return Err(Problem::Malformed(format!("look for at least {MIN_TEXT} characters")));
    }
    let parked = parked_webhooks::rows::containing(client, text, MAX_FOUND).await?;
    let mut entries: Vec<Entry> = parked.into_iter().filter_map(Entry::parked).collect();
    let began = Instant::now();
    let newest = sieve.until.unwrap_or_else(OffsetDateTime::now_utc).to_offset(time::UtcOffset::UTC).date();
    let oldest = sieve
        .since
        .map_or(newest - time::Duration::days(MAX_DAYS), |since| since.to_offset(time::UtcOffset::UTC).date());
    let mut day = newest;
    let mut note = None;
    while day >= oldest {
        let left = TEXT_PATIENCE.saturating_sub(began.elapsed());
        match on_day(client, day, text, (sieve, left)).await? {
            Some(found) => entries.extend(found),
            None => {
                let seconds = TEXT_PATIENCE.as_secs();
                note = Some(format!(
                    "Bodies are read for at most {seconds} s. What was stored on {day} (UTC) or before was not read \
                     through: give a shorter time, or a source."
                ));
                break;
            }
        }
        let Some(before) = day.previous_day() else { break };
        day = before;
    }
    let within =
        |at: OffsetDateTime| sieve.since.is_none_or(|since| at >= since) && sieve.until.is_none_or(|until| at < until);
    entries.retain(|entry| {
        sieve.lets_through(entry)
            && within(entry.at)
            && sieve.source.as_ref().is_none_or(|source| *source == entry.source)
    });
    Ok(WebhookPage { webhooks: newest_first(entries), next: None, note })
}

/// One day's webhooks whose bodies have the text; `None` when the time was up.
async fn on_day(
    client: &mut Client,
    day: Date,
    text: &str,
    (sieve, left): (&Sieve, Duration),
) -> Result<Option<Vec<Entry>>, Problem> {
    if left.is_zero() {
        return Ok(None);
    }
    let transaction = client.transaction().await?;
    let timeout = format!("SET LOCAL statement_timeout = {}", left.as_millis().max(1));
    transaction.batch_execute(&timeout).await?;
    let keys = match webhook_payloads::containing(&transaction, day, sieve.source.as_deref(), text, MAX_FOUND).await {
        Ok(keys) => keys,
        Err(error) => match Problem::from(error) {
            Problem::TooSlow => return Ok(None),
            problem => return Err(problem),
        },
    };
    transaction.commit().await?;
    let rows = search::with_keys(client, &keys).await?;
    Ok(Some(rows.into_iter().map(Entry::from).collect()))
}
