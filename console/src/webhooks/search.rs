//! Which way a webhook is found: an id or a key by an index, all else by walking ([`super::walk`]). The pages, the API and
//! the terminal ask alike.

use std::time::Duration;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use shared::config::Config;
use shared::db::processed_webhooks::{WebhookKey, search};
use shared::db::{parked_webhooks, webhook_failures, webhook_search_keys};
use shared::plan::normal;
use time::format_description::well_known::Rfc3339;

use super::entry::{Entry, Standing};
use super::walk::{Behind, Measure, Sieve, Walked, walk};

/// The most webhooks that a search by id or key shows.
const MAX_FOUND: i64 = 200;
/// How long the bodies of parked webhooks are read for an id or a key.
const PARKED_PATIENCE: Duration = Duration::from_millis(50);
/// The shortest text that is looked for in bodies, in bytes.
const MIN_TEXT: usize = 3;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// An id, or the value of a key that the source extracts, whole.
    pub(crate) query: Option<String>,
    /// What all that is found passes.
    pub(crate) sieve: Sieve,
    pub(crate) behind: Option<Behind>,
}

/// Why nothing can be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    /// The text is too short: nearly every body has it.
    #[error("look for a text of at least {MIN_TEXT} bytes")]
    ShortText,
    /// A statement failed.
    #[error("cannot read the webhooks")]
    Database(#[from] Error),
}

/// Finds a page.
///
/// # Errors
/// [`SearchError`].
pub(crate) async fn find(
    client: &Client,
    config: &Config,
    wanted: &Wanted,
    measure: Measure,
) -> Result<Walked, SearchError> {
    let sieve = &wanted.sieve;
    if sieve.text.as_ref().is_some_and(|text| text.len() < MIN_TEXT) {
        return Err(SearchError::ShortText);
    }
    if let Some(query) = &wanted.query {
        return Ok(by_id_or_key(client, config, query, sieve).await?);
    }
    if sieve.status == Some(Standing::Retrying) {
        // Their bodies and topics are on the queue.
        let rows = webhook_failures::retrying(client, MAX_FOUND).await?;
        let entries = rows.into_iter().map(Entry::from).filter(|entry| sieve.takes_all_but_text(entry));
        return Ok(Walked { entries: entries.collect(), ..Walked::default() });
    }
    Ok(walk(client, sieve, wanted.behind.clone(), measure).await?)
}

/// By id, of whatever source; then by key; then what is parked and has it somewhere in its body, since keys are taken
/// out of what was processed. An id that is met is what was meant.
async fn by_id_or_key(client: &Client, config: &Config, query: &str, sieve: &Sieve) -> Result<Walked, Error> {
    let mut found: Vec<Entry> = search::with_id(client, query).await?.into_iter().map(Entry::from).collect();
    for source in config.sources.keys() {
        let key = WebhookKey { source: source.to_string(), webhook_id: query.to_owned() };
        found.extend(parked_webhooks::rows::find(client, &key).await?.and_then(Entry::parked));
    }
    let is_id = !found.is_empty();
    if let Some(value) = normal(query) {
        let keys = webhook_search_keys::find(client, &value, sieve.source.as_deref()).await?;
        found.extend(search::with_keys(client, &keys).await?.into_iter().map(Entry::from));
    }
    let mut walked = Walked::default();
    if !is_id {
        let parked = Sieve { parked: true, text: Some(query.to_owned()), ..sieve.clone() };
        let entries = usize::try_from(MAX_FOUND).unwrap_or(usize::MAX);
        walked = walk(client, &parked, None, Measure { entries, patience: PARKED_PATIENCE }).await?;
        // There is no next page of a search by key: a search by text has one.
        walked.next = None;
        found.append(&mut walked.entries);
    }
    found.retain(|entry| sieve.takes_all_but_text(entry));
    found.sort_by(|one, other| other.place().cmp(&one.place()));
    found.dedup_by(|one, other| (&one.source, &one.webhook_id) == (&other.source, &other.webhook_id));
    Ok(Walked { entries: found, ..walked })
}

/// How far a search came, where it ended before it was through: in a sentence.
pub(crate) fn note(wanted: &Wanted, found: &Walked) -> Option<String> {
    let back = found.looked_back_to?.format(&Rfc3339).unwrap_or_default();
    Some(match wanted.query {
        Some(_) => format!(
            "The bodies of parked webhooks were read back to {back}; a search by text goes on from there, page by page."
        ),
        None => format!("So far the search has looked back to {back}; the next page goes on from there."),
    })
}
