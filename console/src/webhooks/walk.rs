//! Webhooks page by page, the newest first: three walks, down what was processed, what is parked and what is retried, merged.
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
use shared::db::webhook_failures::ladder::{self, Rungs};
use shared::db::webhook_payloads;
use time::{Date, OffsetDateTime, UtcOffset};

use super::entry::{Entry, Standing};

/// Rows read at once while sifting: as many as are read quickly, within these bounds. Bodies are large or small.
const ROWS: std::ops::RangeInclusive<usize> = 16..=4_000;
/// Failures read at once, beside what was processed and parked: most of what failed is not retried any more, and each is
/// looked up.
const FAILURES: usize = 500;
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
    /// More share a key than are looked up at once: among many of one day, some may be left out.
    pub(crate) is_crowded: bool,
}

/// The next rows of all walks.
struct Chunk {
    entries: Vec<Entry>,
    /// Where the next chunk begins; `None` when nothing lies behind this one.
    next: Option<Behind>,
}

/// Which of the walks are taken.
#[derive(Debug, Clone, Copy)]
struct Sides {
    processed: bool,
    parked: bool,
    retrying: bool,
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

    /// What can be among it. The bodies of what is retried are on the queue.
    fn sides(&self) -> Sides {
        let is_retrying = |status| status == Standing::Retrying;
        Sides {
            processed: self.status.is_none_or(Standing::is_processed) && !self.parked,
            parked: self.status.is_none_or(|status| !status.is_processed() && !is_retrying(status)) && !self.duplicated,
            retrying: self.status.is_none_or(is_retrying) && !self.duplicated && !self.parked && self.text.is_none(),
        }
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

/// Walks a page. `days` is for how long ids of processed webhooks are kept.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn walk(
    client: &Client,
    days: i32,
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
        let chunk = merged(client, days, sieve, &behind, rows).await?;
        let passing = sieve.sift(client, &chunk.entries).await?;
        for entry in chunk.entries {
            let next = Behind { at: entry.at, key: entry.key() };
            if passing.contains(&next.key) && sieve.takes(&entry) {
                if entries.len() == measure.entries {
                    return Ok(Walked { entries, next: Some(behind), ..Walked::default() });
                }
                entries.push(entry);
            }
            behind = next;
        }
        let Some(next) = chunk.next else { return Ok(Walked { entries, ..Walked::default() }) };
        behind = next;
        if began.elapsed() > measure.patience {
            let looked_back_to = Some(behind.at);
            return Ok(Walked { entries, next: Some(behind), looked_back_to, is_crowded: false });
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

/// The next rows of all walks, the newest first, at most `most`.
async fn merged(client: &Client, days: i32, sieve: &Sieve, behind: &Behind, most: usize) -> Result<Chunk, Error> {
    let since = sieve.since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let stretch = Stretch { source: sieve.source.clone(), since, before: behind.at, before_key: behind.key.clone() };
    let limit = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
    let sides = sieve.sides();
    let mut entries: Vec<Entry> = Vec::new();
    if sides.processed {
        entries.extend(search::page(client, &stretch, limit(most)).await?.into_iter().map(Entry::from));
    }
    if sides.parked {
        entries.extend(parked::newest(client, &stretch, limit(most)).await?.into_iter().filter_map(Entry::parked));
    }
    let failures = if sides.processed || sides.parked { FAILURES } else { most.max(FAILURES) };
    let rungs = match sides.retrying {
        true => ladder::newest(client, days, &stretch, limit(failures)).await?,
        false => Rungs::default(),
    };
    entries.extend(rungs.rows.into_iter().map(Entry::from));
    entries.sort_by(|one, other| other.place().cmp(&one.place()));
    // What lies behind the last failure that was looked at may lie between failures that were not.
    if let Some((at, key)) = &rungs.looked_back_to {
        entries.retain(|entry| entry.place() >= (*at, key.source.as_str(), key.webhook_id.as_str()));
    }
    let is_cut = entries.len() >= most;
    entries.truncate(most);
    let last = entries.last().filter(|_| is_cut).map(|last| Behind { at: last.at, key: last.key() });
    let next = last.or_else(|| rungs.looked_back_to.map(|(at, key)| Behind { at, key }));
    if sieve.text.is_none() {
        leave_out_retried(client, days, &mut entries).await?;
    }
    Ok(Chunk { entries, next })
}

/// Leaves out what a person has discarded and is on the ladder again: it stands there.
async fn leave_out_retried(client: &Client, days: i32, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let is_discarded = |entry: &Entry| entry.status == Standing::Discarded;
    let discarded: Vec<WebhookKey> = entries.iter().filter(|entry| is_discarded(entry)).map(Entry::key).collect();
    if discarded.is_empty() {
        return Ok(());
    }
    let retried = ladder::last_of(client, days, &discarded).await?;
    let retried: HashSet<WebhookKey> = retried.into_iter().map(|row| row.key).collect();
    entries.retain(|entry| !is_discarded(entry) || !retried.contains(&entry.key()));
    Ok(())
}
