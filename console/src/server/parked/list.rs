//! Which webhooks are parked, by reason and page by page, the longest parked first.

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use shared::db::parked_webhooks::ParkReason;
use shared::db::parked_webhooks::rows::{self, BoundedReason, ParkState, ParkedFilter, ParkedRow, Standing};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::output::COUNTED_TO;
use crate::paging;
use crate::parked::list::After;
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::server::when;
use crate::steering::moment;

/// Webhooks on a page.
const PAGE: usize = 50;

/// Which parked webhooks.
#[derive(Debug, Clone, Default, Deserialize, Serialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ParkedQuery {
    /// `waiting` for a person (the default), `redriving`, `resolved`, `discarded` or `any`.
    pub(crate) state: String,
    pub(crate) source: String,
    /// Why it is parked, such as `plan`.
    pub(crate) reason: String,
    pub(crate) topic: String,
    /// First parked then or later: RFC 3339, or how long ago, such as `2h`.
    pub(crate) since: String,
    /// First parked before.
    pub(crate) until: String,
    /// The same as a date and a time of UTC; for the page alone, where there are no scripts.
    #[param(ignore)]
    #[schema(ignore)]
    pub(crate) since_at: String,
    #[param(ignore)]
    #[schema(ignore)]
    pub(crate) until_at: String,
    /// The next page: what the one before said.
    pub(crate) after: String,
}

/// A page of parked webhooks.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ParkedPage {
    /// What waits for a person, by reason; not only of this page.
    pub(crate) reasons: Vec<BoundedReason>,
    pub(crate) parked: Vec<ParkedRow>,
    /// `after` of the next page; `null` when this was the last one.
    pub(crate) next: Option<String>,
}

impl ParkedQuery {
    /// With dates where times are.
    pub(crate) fn settled(mut self) -> Self {
        when::settle(&mut self.since, &mut self.since_at);
        when::settle(&mut self.until, &mut self.until_at);
        self
    }

    /// As the database is asked.
    ///
    /// # Errors
    /// When a value cannot be read.
    pub(crate) fn filter(&self) -> Result<ParkedFilter, Problem> {
        let standing = match self.state.as_str() {
            "" | "waiting" | "parked" => Standing::Waiting,
            "redriving" => Standing::In(ParkState::Redriving),
            "resolved" => Standing::In(ParkState::Resolved),
            "discarded" => Standing::In(ParkState::Discarded),
            "any" => Standing::Any,
            other => return Err(Problem::Malformed(format!("there is no state {other:?}"))),
        };
        let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        Ok(ParkedFilter {
            standing,
            source: text(&self.source),
            reason: text(&self.reason).map(|reason| read_reason(&reason)).transpose()?,
            topic: text(&self.topic),
            since: time(&self.since)?,
            until: time(&self.until)?,
        })
    }
}

/// A time, if there is one.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn time(text: &str) -> Result<Option<OffsetDateTime>, Problem> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    moment(text.trim()).map(Some).map_err(|error| Problem::Malformed(error.to_string()))
}

fn read_reason(text: &str) -> Result<ParkReason, Problem> {
    let known = ParkReason::value_variants().iter().find(|reason| reason.as_str() == text);
    known.copied().ok_or_else(|| Problem::Malformed(format!("there is no reason {text:?}")))
}

/// Reads a page.
///
/// # Errors
/// When the query cannot be read or the database is away.
pub(crate) async fn read(console: &Shared, query: &ParkedQuery) -> Result<ParkedPage, Problem> {
    let filter = query.filter()?;
    let after: Option<After> = match query.after.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_no_cursor| Problem::Malformed("after".to_owned()))?),
    };
    let client = console.database().await?;
    // Counting takes long, and the monitor has counted within the last seconds.
    let counted =
        console.monitor.known().rows.as_ref().and_then(|rows| rows.as_ref().ok()).map(|rows| rows.parked.clone());
    let reasons = match counted {
        Some(reasons) => reasons,
        None => rows::bounded_counts(&client, COUNTED_TO).await?,
    };
    let after = after.as_ref().map(|after| &after.0);
    let mut parked = rows::page(&client, &filter, after, paging::one_more(PAGE)).await?;
    let has_next = paging::cut(&mut parked, PAGE);
    let next = parked.last().filter(|_| has_next).map(|row| String::from(After(row.cursor())));
    Ok(ParkedPage { reasons, parked, next })
}
