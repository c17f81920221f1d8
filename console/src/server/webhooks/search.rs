//! What a person may look for, as the pages and the API are asked.

use std::time::Duration;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use shared::db::parked_webhooks::rows::ParkedCursor;
use utoipa::{IntoParams, ToSchema};

use crate::parked::list::After;
use crate::server::parked::list::time;
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::server::when;
use crate::webhooks::entry::{Entry, Standing};
use crate::webhooks::search::{self, Note, SearchError, Wanted};
use crate::webhooks::waiting::StillWaiting;
use crate::webhooks::walk::{Behind, Measure, Sieve};

/// What a page shows, and how long it may look for it.
const PAGE: Measure = Measure { entries: 50, patience: Duration::from_millis(100) };

/// Which webhooks.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WebhookQuery {
    /// An id, or the value of a key that the source extracts (`search_keys`), whole; not together with a text.
    pub(crate) q: String,
    /// Any text of the body, as it stands there. Bodies are read one by one: a page looks for a tenth of a second, and
    /// the next goes on from there. Give a time or a source to be through sooner.
    pub(crate) text: String,
    pub(crate) source: String,
    pub(crate) topic: String,
    /// `completed`, `skipped`, `duplicated`, `parked`, `redriving`, `discarded` or `retrying`.
    pub(crate) status: String,
    /// Processed or parked then or later: RFC 3339, or how long ago, such as `2h`.
    pub(crate) since: String,
    /// Processed or parked before.
    pub(crate) until: String,
    /// The same as a date and a time of UTC; for the page alone, where there are no scripts.
    #[param(ignore)]
    pub(crate) since_at: String,
    #[param(ignore)]
    pub(crate) until_at: String,
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
    /// Where nothing was found: how many are still on their way, and so may be what was looked for.
    pub(crate) still_waiting: Option<StillWaiting>,
    /// The same as `note`, for a page.
    #[serde(skip)]
    pub(crate) noted: Option<Note>,
}

impl WebhookQuery {
    /// With dates where times are.
    pub(crate) fn settled(mut self) -> Self {
        when::settle(&mut self.since, &mut self.since_at);
        when::settle(&mut self.until, &mut self.until_at);
        self
    }

    fn wanted(&self) -> Result<Wanted, Problem> {
        let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let status = match self.status.as_str() {
            "" | "duplicated" => None,
            status => Some(
                Standing::from_str(status, false)
                    .map_err(|_unknown| Problem::Malformed(format!("there is no status {status:?}")))?,
            ),
        };
        let sieve = Sieve {
            source: text(&self.source),
            topic: text(&self.topic),
            status,
            duplicated: self.status == "duplicated",
            parked: false,
            since: time(&self.since)?,
            until: time(&self.until)?,
            text: text(&self.text),
        };
        Ok(Wanted { query: text(&self.q), sieve, behind: self.behind()? })
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
        let Self { q, text, source, topic, status, since, until, since_at: _, until_at: _, after: _ } = self;
        [q, text, source, topic, status, since, until].into_iter().any(|field| !field.trim().is_empty())
    }
}

impl WebhookPage {
    /// Whether the search ended only because a page may not look for longer.
    pub(crate) fn goes_on_by_itself(&self) -> bool {
        matches!(self.noted, Some(Note::LookedBackTo(_) | Note::ParkedReadBackTo(_)))
    }
}

/// Finds a page.
///
/// # Errors
/// When the query cannot be read, the database is away, or takes too long.
pub(crate) async fn find(console: &Shared, query: &WebhookQuery) -> Result<WebhookPage, Problem> {
    let wanted = query.wanted()?;
    let client = console.database().await?;
    let found = match search::find(&client, &console.config, &wanted, PAGE).await {
        Ok(found) => found,
        Err(SearchError::Database(error)) => return Err(error.into()),
        Err(wrong @ (SearchError::ShortText | SearchError::KeyAndText)) => {
            return Err(Problem::Malformed(wrong.to_string()));
        }
    };
    let noted = Note::of(&wanted, &found);
    let next = found.next.map(|Behind { at, key }| String::from(After(ParkedCursor { parked_at: at, key })));
    let still_waiting = found.entries.is_empty().then(|| StillWaiting::seen(&console.monitor.known(), &console.config));
    Ok(WebhookPage { webhooks: found.entries, next, note: noted.map(Note::sentence), still_waiting, noted })
}
