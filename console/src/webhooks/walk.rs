//! Webhooks page by page, the newest first: two walks, down what was processed and down what is parked, merged.
//!
//! No index serves every filter, and none serves the text of a body. So a page looks for as long as it may, sifts what it
//! sees, and says how far it came; the next page goes on from there. However many webhooks there are, and however few
//! match, no page is slow.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use deadpool_postgres::tokio_postgres::Error;
use shared::db::parked_webhooks::rows as parked;
use shared::db::processed_webhooks::WebhookKey;
use shared::db::processed_webhooks::search::{self, Stretch};
use shared::db::webhook_payloads;
use time::{Date, OffsetDateTime, UtcOffset};

use super::entry::{Entry, Standing};

/// Rows read at once while sifting: as many as are read quickly, within these bounds. Bodies are large or small.
const ROWS: std::ops::RangeInclusive<usize> = 16..=4_000;
/// What reading them should take.
const QUICK: Duration = Duration::from_millis(15);

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sieve {
    pub(crate) source: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) status: Option<Standing>,
    /// Only those that arrived more than once.
    pub(crate) duplicated: bool,
    /// Only those that are parked, whatever became of that but that they were processed.
    pub(crate) parked: bool,
    pub(crate) since: Option<OffsetDateTime>,
    pub(crate) until: Option<OffsetDateTime>,
    /// Only those whose body has it, byte for byte.
    pub(crate) text: Option<String>,
}

/// How much of a walk is a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// The most webhooks.
    pub(crate) entries: usize,
    /// How long it may look for them.
    pub(crate) patience: Duration,
}

/// Where a page begins: behind this webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) at: OffsetDateTime,
    pub(crate) key: WebhookKey,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) entries: Vec<Entry>,
    /// Where the next page begins; `None` at the end.
    pub(crate) next: Option<Behind>,
    /// The page is not full and not the last: so far back it has looked.
    pub(crate) looked_back_to: Option<OffsetDateTime>,
}

impl Sieve {
    /// Whether an entry is let through by what its line says.
    fn takes(&self, entry: &Entry) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == entry.topic)
            && self.status.is_none_or(|status| status == entry.status)
            && (!self.duplicated || entry.duplicates > 0)
    }

    /// The same, and by its source and time, which a walk sees to by itself.
    pub(super) fn takes_all_but_text(&self, entry: &Entry) -> bool {
        self.takes(entry)
            && self.source.as_ref().is_none_or(|source| *source == entry.source)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }

    /// Whether what was processed can be among it, and whether what is parked can.
    fn sides(&self) -> (bool, bool) {
        let processed = self.status.is_none_or(Standing::is_processed) && !self.parked;
        let parked = self.status.is_none_or(|status| !status.is_processed()) && !self.duplicated;
        (processed, parked)
    }

    /// Which of the entries are let through, by what they say and by their bodies.
    async fn sift(&self, client: &Client, entries: &[Entry]) -> Result<HashSet<WebhookKey>, Error> {
        let taken: Vec<&Entry> = entries.iter().filter(|entry| self.takes(entry)).collect();
        let Some(text) = &self.text else { return Ok(taken.into_iter().map(Entry::key).collect()) };
        let (processed, parked): (Vec<&Entry>, Vec<&Entry>) =
            taken.into_iter().partition(|entry| entry.status.is_processed());
        let stored: Vec<(Date, WebhookKey)> =
            processed.into_iter().map(|entry| (entry.at.to_offset(UtcOffset::UTC).date(), entry.key())).collect();
        let parked: Vec<WebhookKey> = parked.into_iter().map(Entry::key).collect();
        let mut having = webhook_payloads::containing(client, &stored, text).await?;
        having.extend(parked::containing(client, &parked, text).await?);
        Ok(having.into_iter().collect())
    }
}

/// Walks a page.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn walk(
    client: &Client,
    sieve: &Sieve,
    behind: Option<Behind>,
    measure: Measure,
) -> Result<Walked, Error> {
    let began = Instant::now();
    let mut behind = match behind {
        Some(behind) => behind,
        None => beginning(client, sieve).await?,
    };
    // Without a filter, the first chunk is the page.
    let mut rows = if sieve.text.is_some() { *ROWS.start() } else { measure.entries + 1 };
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let began_chunk = Instant::now();
        let chunk = merged(client, sieve, &behind, rows).await?;
        let is_end = chunk.len() < rows;
        let passing = sieve.sift(client, &chunk).await?;
        for entry in chunk {
            let next = Behind { at: entry.at, key: entry.key() };
            if passing.contains(&next.key) && sieve.takes(&entry) {
                if entries.len() == measure.entries {
                    return Ok(Walked { entries, next: Some(behind), looked_back_to: None });
                }
                entries.push(entry);
            }
            behind = next;
        }
        if is_end {
            return Ok(Walked { entries, next: None, looked_back_to: None });
        }
        if began.elapsed() > measure.patience {
            let looked_back_to = Some(behind.at);
            return Ok(Walked { entries, next: Some(behind), looked_back_to });
        }
        rows = if began_chunk.elapsed() < QUICK { rows * 2 } else { rows / 2 }.clamp(*ROWS.start(), *ROWS.end());
    }
}

/// In front of the newest: what is processed from now on is not among it.
async fn beginning(client: &Client, sieve: &Sieve) -> Result<Behind, Error> {
    let at = match sieve.until {
        Some(until) => until,
        None => shared::db::now(client).await? + time::Duration::minutes(1),
    };
    Ok(Behind { at, key: WebhookKey { source: String::new(), webhook_id: String::new() } })
}

/// The next rows of both walks, the newest first, at most `most`.
async fn merged(client: &Client, sieve: &Sieve, behind: &Behind, most: usize) -> Result<Vec<Entry>, Error> {
    let since = sieve.since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let stretch = Stretch { source: sieve.source.clone(), since, before: behind.at, before_key: behind.key.clone() };
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let (takes_processed, takes_parked) = sieve.sides();
    let processed = if takes_processed { search::page(client, &stretch, limit).await? } else { Vec::new() };
    let parked = if takes_parked { parked::newest(client, &stretch, limit).await? } else { Vec::new() };
    let mut processed = processed.into_iter().map(Entry::from).peekable();
    let mut parked = parked.into_iter().filter_map(Entry::parked).peekable();
    let mut merged = Vec::new();
    while merged.len() < most {
        let take_parked = match (processed.peek(), parked.peek()) {
            (Some(one), Some(other)) => other.place() > one.place(),
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => break,
        };
        merged.extend(if take_parked { parked.next() } else { processed.next() });
    }
    Ok(merged)
}
