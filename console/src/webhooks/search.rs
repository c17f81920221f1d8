//! Which way a webhook is found: an id or a key by an index, all else by walking ([`super::walk`]). The pages, the API and
//! the terminal ask alike.

use std::collections::HashSet;

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use shared::config::Config;
use shared::db::outbox::rows as outbox;
use shared::db::processed_webhooks::{WebhookKey, search};
use shared::db::retention::Purge;
use shared::db::webhook_failures::ladder;
use shared::db::{parked_webhooks, webhook_search_keys};
use shared::plan::normal;
use time::format_description::well_known::Rfc3339;
use time::{Date, Duration, OffsetDateTime, UtcOffset};

use super::entry::Entry;
use super::walk::{Behind, Measure, Sieve, Walked, walk};

/// The most webhooks with one key that are looked up at once.
const MAX_KEYED: usize = 1_000;
/// A key is stored when its webhook first fails, which may be so much earlier than what happened to it last.
const STORED_BEFORE: Duration = Duration::days(31);
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
    /// An id or a key is found without reading bodies.
    #[error("look for an id or key, or for a text of the body, not for both")]
    KeyAndText,
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
    let mut found = look(client, config, wanted, measure).await?;
    let keys: Vec<WebhookKey> = found.entries.iter().map(Entry::key).collect();
    if !keys.is_empty() {
        let waiting = outbox::waiting_of(client, &keys).await?;
        for entry in &mut found.entries {
            entry.effects_waiting = waiting.get(&entry.key()).copied().unwrap_or_default();
        }
    }
    Ok(found)
}

async fn look(client: &Client, config: &Config, wanted: &Wanted, measure: Measure) -> Result<Walked, SearchError> {
    let Wanted { query, sieve, behind } = wanted;
    let days = Purge::Claims.days(&config.retention);
    match (query, &sieve.text) {
        (Some(_), Some(_)) => Err(SearchError::KeyAndText),
        (None, Some(text)) if text.len() < MIN_TEXT => Err(SearchError::ShortText),
        (None, _) => Ok(walk(client, days, sieve, behind.clone(), measure).await?),
        (Some(query), None) => match known_by(client, config, query, wanted).await? {
            Some(known) => Ok(page(known, wanted, measure)),
            // What was parked by an older version has no keys: it is found by having it somewhere in its body.
            None => {
                let parked = Sieve { parked: true, text: Some(query.clone()), ..sieve.clone() };
                Ok(walk(client, days, &parked, behind.clone(), measure).await?)
            }
        },
    }
}

/// All that are known by this id or key, without reading bodies; at most a thousand of them.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn with_key(client: &Client, config: &Config, query: &str) -> Result<Vec<Entry>, Error> {
    let known = known_by(client, config, query, &Wanted::default()).await?;
    Ok(known.map_or_else(Vec::new, |known| known.entries))
}

/// What is known by an id or a key.
struct KnownBy {
    entries: Vec<Entry>,
    /// As many share the key as are looked up at once.
    is_crowded: bool,
}

/// By id, of whatever source, and by key: what was processed, is parked, or is retried. `None` when nothing is.
async fn known_by(client: &Client, config: &Config, query: &str, wanted: &Wanted) -> Result<Option<KnownBy>, Error> {
    let id = |source: &shared::name::Name| WebhookKey { source: source.to_string(), webhook_id: query.to_owned() };
    let mut keys: Vec<WebhookKey> = config.sources.keys().map(id).collect();
    let mut is_crowded = false;
    if let Some(value) = normal(query) {
        let limit = i64::try_from(MAX_KEYED).unwrap_or(i64::MAX);
        let source = wanted.sieve.source.as_deref();
        let keyed = webhook_search_keys::find(client, &value, source, stored_between(wanted), limit).await?;
        is_crowded = keyed.len() >= MAX_KEYED;
        keys.extend(keyed);
    }
    let mut found: Vec<Entry> = search::with_id(client, query).await?.into_iter().map(Entry::from).collect();
    found.extend(search::with_keys(client, &keys).await?.into_iter().map(Entry::from));
    let days = Purge::Claims.days(&config.retention);
    found.extend(ladder::last_of(client, days, &keys).await?.into_iter().map(Entry::from));
    let parked = parked_webhooks::rows::with_keys(client, &keys).await?;
    found.extend(parked.into_iter().filter_map(Entry::parked));
    // What was parked, and discarded or processed since, stands where it is now.
    let mut seen = HashSet::new();
    found.retain(|entry| seen.insert(entry.key()));
    Ok((!found.is_empty()).then_some(KnownBy { entries: found, is_crowded }))
}

/// The days on which the key of what is wanted may have been stored.
fn stored_between(Wanted { sieve, behind, .. }: &Wanted) -> (Date, Date) {
    let date = |at: OffsetDateTime| at.to_offset(UtcOffset::UTC).date();
    let since = sieve.since.and_then(|since| since.checked_sub(STORED_BEFORE));
    let last = [sieve.until, behind.as_ref().map(|behind| behind.at)].into_iter().flatten().min();
    (date(since.unwrap_or(OffsetDateTime::UNIX_EPOCH)), last.map_or(FAR, date))
}

/// A day that nothing is stored after.
const FAR: Date = time::macros::date!(9999 - 12 - 31);

/// A page of what is known, the newest first.
fn page(KnownBy { entries: mut found, is_crowded }: KnownBy, wanted: &Wanted, measure: Measure) -> Walked {
    found.retain(|entry| wanted.sieve.takes_all_but_text(entry));
    if let Some(Behind { at, key }) = &wanted.behind {
        found.retain(|entry| entry.place() < (*at, key.source.as_str(), key.webhook_id.as_str()));
    }
    found.sort_by(|one, other| other.place().cmp(&one.place()));
    let goes_on = found.len() > measure.entries || is_crowded;
    found.truncate(measure.entries);
    let next = found.last().filter(|_| goes_on).map(|last| Behind { at: last.at, key: last.key() });
    Walked { entries: found, next, is_crowded, ..Walked::default() }
}

/// How far a search came, where it ended before it was through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// All webhooks were looked at back to then.
    LookedBackTo(OffsetDateTime),
    /// No webhook has that id or key; the bodies of parked ones were read back to then.
    ParkedReadBackTo(OffsetDateTime),
    /// More share the key than are looked up at once.
    Crowded,
}

impl Note {
    /// What is to be said of what was found.
    pub(crate) fn of(wanted: &Wanted, found: &Walked) -> Option<Self> {
        match (found.looked_back_to, &wanted.query) {
            (Some(at), None) => Some(Self::LookedBackTo(at)),
            (Some(at), Some(_)) => Some(Self::ParkedReadBackTo(at)),
            (None, _) => found.is_crowded.then_some(Self::Crowded),
        }
    }

    /// What stands before and behind the moment that it tells of, if it does.
    pub(crate) fn words(self) -> (&'static str, Option<OffsetDateTime>, &'static str) {
        match self {
            Self::LookedBackTo(at) => {
                ("So far the search has looked back to ", Some(at), "; the next page goes on from there.")
            }
            Self::ParkedReadBackTo(at) => (
                "No webhook has that id or key. The bodies of parked ones were read back to ",
                Some(at),
                "; the next page goes on from there.",
            ),
            Self::Crowded => (
                "A thousand webhooks or more share this key; among many of one day, some may be left out. Give a time, or \
                 an id.",
                None,
                "",
            ),
        }
    }

    /// In a sentence.
    pub(crate) fn sentence(self) -> String {
        let (before, at, behind) = self.words();
        let at = at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
        format!("{before}{at}{behind}")
    }
}
