//! Webhooks page by page, the newest first: two walks, down what was processed and down what is parked, merged.
//!
//! No index serves every filter. So a page looks for as long as it may, sifts what it sees, and says how far it came;
//! the next page goes on from there. However many webhooks there are, and however few match, no page is slow.

use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use shared::db::parked_webhooks::rows as parked;
use shared::db::processed_webhooks::WebhookKey;
use shared::db::processed_webhooks::search::{self, Stretch};
use time::OffsetDateTime;

use super::entry::{Entry, Standing};
use crate::server::problem::Problem;

/// Webhooks on a page.
pub(crate) const PAGE: usize = 50;
/// Rows read at once while sifting.
const CHUNK: i64 = 2_000;
/// How long a page may sift.
const PATIENCE: Duration = Duration::from_millis(120);

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sieve {
    pub(crate) source: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) status: Option<Standing>,
    /// Only those that arrived more than once.
    pub(crate) duplicated: bool,
    pub(crate) since: Option<OffsetDateTime>,
    pub(crate) until: Option<OffsetDateTime>,
}

/// Where a page begins: behind this webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) at: OffsetDateTime,
    pub(crate) key: WebhookKey,
}

/// What a walk found.
pub(crate) struct Walked {
    pub(crate) entries: Vec<Entry>,
    /// Where the next page begins; `None` at the end.
    pub(crate) next: Option<Behind>,
    /// The page is not full and not the last: so far back it has looked.
    pub(crate) looked_back_to: Option<OffsetDateTime>,
}

impl Sieve {
    pub(crate) fn lets_through(&self, entry: &Entry) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == entry.topic)
            && self.status.is_none_or(|status| status == entry.status)
            && (!self.duplicated || entry.duplicates > 0)
    }

    /// Whether all that is walked passes, so that no more need be read than is shown.
    fn lets_all_through(&self) -> bool {
        self.topic.is_none() && self.status.is_none() && !self.duplicated
    }
}

/// Walks a page.
pub(crate) async fn walk(client: &Client, sieve: &Sieve, behind: Option<Behind>) -> Result<Walked, Problem> {
    let (began, chunk) = (Instant::now(), if sieve.lets_all_through() { page_and_one() } else { CHUNK });
    let mut behind = match behind {
        Some(behind) => behind,
        None => beginning(client, sieve).await?,
    };
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let merged = merged(client, sieve, &behind, chunk).await?;
        let is_end = i64::try_from(merged.len()).unwrap_or(i64::MAX) < chunk;
        for entry in merged {
            let next = Behind { at: entry.at, key: key(&entry) };
            if sieve.lets_through(&entry) {
                if entries.len() == PAGE {
                    return Ok(Walked { entries, next: Some(behind), looked_back_to: None });
                }
                entries.push(entry);
            }
            behind = next;
        }
        if is_end {
            return Ok(Walked { entries, next: None, looked_back_to: None });
        }
        if began.elapsed() > PATIENCE {
            let looked_back_to = Some(behind.at);
            return Ok(Walked { entries, next: Some(behind), looked_back_to });
        }
    }
}

fn page_and_one() -> i64 {
    i64::try_from(PAGE).map_or(i64::MAX, |page| page + 1)
}

/// In front of the newest: what is processed from now on is not among it.
async fn beginning(client: &Client, sieve: &Sieve) -> Result<Behind, Problem> {
    let at = match sieve.until {
        Some(until) => until,
        None => shared::db::now(client).await? + time::Duration::minutes(1),
    };
    Ok(Behind { at, key: WebhookKey { source: String::new(), webhook_id: String::new() } })
}

/// The next rows of both walks, the newest first, at most `limit`.
async fn merged(client: &Client, sieve: &Sieve, behind: &Behind, limit: i64) -> Result<Vec<Entry>, Problem> {
    let since = sieve.since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let stretch = Stretch { source: sieve.source.clone(), since, before: behind.at, before_key: behind.key.clone() };
    let mut processed = search::page(client, &stretch, limit).await?.into_iter().map(Entry::from).peekable();
    let parked = parked::newest(client, &stretch, limit).await?;
    let mut parked = parked.into_iter().filter_map(Entry::parked).peekable();
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut merged = Vec::new();
    while merged.len() < most {
        let take_parked = match (processed.peek(), parked.peek()) {
            (Some(one), Some(other)) => other.at > one.at,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => break,
        };
        merged.extend(if take_parked { parked.next() } else { processed.next() });
    }
    Ok(merged)
}

fn key(entry: &Entry) -> WebhookKey {
    WebhookKey { source: entry.source.clone(), webhook_id: entry.webhook_id.clone() }
}
