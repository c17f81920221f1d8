//! Which effects need a person, and how each destination does.

use serde::{Deserialize, Serialize};
use shared::db::outbox::rows::{self, OutboxRow, Show};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::outbox::destinations::{self, Destination};
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// Effects on a page.
const PAGE: usize = 50;

/// Which effects.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutboxQuery {
    /// `attention` (held or failed; the default), `ambiguous`, `pending`, `held`, `failed` or `cancelled`.
    pub(crate) show: String,
    pub(crate) effect: String,
    /// The next page: what the one before said.
    pub(crate) before: Option<i64>,
    /// What was done before this page was shown; for the page alone.
    #[param(ignore)]
    pub(crate) told: String,
    #[param(ignore)]
    pub(crate) rows: usize,
}

/// A page of the outbox, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboxPage {
    #[schema(value_type = Vec<Object>)]
    pub(crate) effects: Vec<OutboxRow>,
    /// `before` of the next page; `null` when this was the last one.
    pub(crate) next: Option<i64>,
}

/// Reads a page.
///
/// # Errors
/// When the query cannot be read or the database is away.
pub(crate) async fn read(console: &Shared, query: &OutboxQuery) -> Result<OutboxPage, Problem> {
    let show = match query.show.as_str() {
        "" | "attention" => Show::Attention,
        "ambiguous" => Show::Ambiguous,
        "pending" => Show::Pending,
        "held" => Show::Held,
        "failed" => Show::Failed,
        "cancelled" => Show::Cancelled,
        other => return Err(Problem::Malformed(format!("there is no way to show {other:?}"))),
    };
    let effect = Some(query.effect.trim()).filter(|effect| !effect.is_empty());
    let client = console.database().await?;
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut effects = rows::page(&client, show, effect, query.before, limit).await?;
    let goes_on = effects.len() > PAGE;
    effects.truncate(PAGE);
    let next = effects.last().filter(|_| goes_on).map(|row| row.id);
    Ok(OutboxPage { effects, next })
}

/// Every destination that is configured, or that something waits for.
///
/// # Errors
/// When the database is away.
pub(crate) async fn destinations(console: &Shared) -> Result<Vec<Destination>, Problem> {
    let rows = destinations::read(&console.database().await?).await?;
    let known = console.monitor.known();
    Ok(destinations::list(&rows, &console.config, &known.services, OffsetDateTime::now_utc()))
}
