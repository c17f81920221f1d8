//! Which effects need a person, and how each destination does.

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use shared::db::outbox::counts;
use shared::db::outbox::rows::{self, OutboxRow};
use shared::db::paused_effects;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::outbox::arguments::Listed;
use crate::outbox::destinations::{self, Destination};
use crate::outbox::list::{self, Wanted};
use crate::output::COUNTED_TO;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// Effects on a page.
const PAGE: usize = 50;

/// Which effects.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutboxQuery {
    /// `attention` (held or failed; the default), `ambiguous`, `pending`, `failing` (pending, and tried in vain before),
    /// `held`, `failed` or `cancelled`.
    pub(crate) show: String,
    /// Those of one configured effect.
    pub(crate) effect: String,
    /// Those of one webhook, by its id: whatever their state, if `show` is not given.
    pub(crate) webhook: String,
    /// The next page: what the one before said.
    pub(crate) before: Option<i64>,
    /// What was done before this page was shown; for the page alone.
    #[param(ignore)]
    pub(crate) told: String,
    #[param(ignore)]
    pub(crate) rows: usize,
}

/// A page of the outbox: what is pending in the order in which it is due, all else the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboxPage {
    pub(crate) effects: Vec<OutboxRow>,
    /// `before` of the next page; `null` when this was the last one.
    pub(crate) next: Option<i64>,
}

/// What `show` stands for; `None` when it is not given.
///
/// # Errors
/// When there is nothing of that name.
pub(crate) fn listed(show: &str) -> Result<Option<Listed>, Problem> {
    if show.is_empty() {
        return Ok(None);
    }
    let listed = Listed::from_str(show, false);
    listed.map(Some).map_err(|_unknown| Problem::Malformed(format!("there is no way to show {show:?}")))
}

/// A text, if there is one.
pub(crate) fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Reads a page.
///
/// # Errors
/// When the query cannot be read or the database is away.
pub(crate) async fn read(console: &Shared, query: &OutboxQuery) -> Result<OutboxPage, Problem> {
    let (listed, webhook, effect) = (listed(&query.show)?, given(&query.webhook), given(&query.effect));
    let client = console.database().await?;
    let webhook = webhook.map(|id| (&console.config, id));
    let wanted = Wanted { show: listed.map(Listed::show), webhook, effect };
    let rows::Page { rows, next } = list::read(&client, &wanted, query.before, PAGE).await?;
    Ok(OutboxPage { effects: rows, next })
}

/// Every destination that is configured, or that something waits for.
///
/// # Errors
/// When the database is away.
pub(crate) async fn destinations(console: &Shared) -> Result<Vec<Destination>, Problem> {
    let client = console.database().await?;
    // Counting takes long, and the monitor has counted within the last seconds; what a person pauses shows at once.
    let counted =
        console.monitor.known().rows.as_ref().and_then(|rows| rows.as_ref().ok()).map(|rows| rows.waiting.clone());
    let waiting = match counted {
        Some(waiting) => waiting,
        None => counts::waiting(&client, COUNTED_TO).await?,
    };
    let paused = paused_effects::list(&client).await?;
    let known = console.monitor.known();
    Ok(destinations::list(&(waiting, paused), &console.config, &known.services, OffsetDateTime::now_utc()))
}
