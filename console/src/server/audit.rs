//! `/audit`, and how actions are written down: before they are begun, and again when their outcome is known.

use actix_web::HttpResponse;
use actix_web::web::{Json, Path, Query};
use askama::Template;
use deadpool_postgres::Client;
use serde::{Deserialize, Serialize};
use shared::db::console_audit::{self, AuditEntry, AuditRow, Doing, Outcome};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::page::{self, Frame, moment};
use super::problem::Problem;
use super::state::Shared;
use crate::paging;

/// Actions on a page.
const PAGE: usize = 50;

/// An action that has been written down, and whose outcome is not.
pub(crate) struct Entry {
    id: i64,
}

impl Entry {
    /// Writes down what is about to be done.
    ///
    /// # Errors
    /// When it cannot be written down; then it must not be done.
    pub(crate) async fn begin(client: &Client, caller: &Caller, doing: &Doing<'_>) -> Result<Self, Problem> {
        let id = console_audit::begin(client, &caller.actor(), doing).await?;
        Ok(Self { id })
    }

    /// Notes what came of it. If that fails it stays "begun", which is true.
    pub(crate) async fn finish(self, client: &Client, outcome: Outcome, detail: &str) {
        if let Err(error) = console_audit::finish(client, self.id, outcome, detail).await {
            tracing::error!(%error, id = self.id, "cannot note an action's outcome in the audit");
        }
    }
}

/// Which actions.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct AuditQuery {
    /// The next page: what the one before said.
    before: Option<i64>,
}

/// A page of actions, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    actions: Vec<AuditRow>,
    /// `before` of the next page; `null` when this was the last one.
    next: Option<i64>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditHtml {
    frame: Frame,
    audit: AuditPage,
}

#[derive(Template)]
#[template(path = "audit_entry.html")]
struct EntryHtml {
    frame: Frame,
    row: AuditRow,
    /// Indented.
    request: String,
}

async fn read(console: &Shared, query: &AuditQuery) -> Result<AuditPage, Problem> {
    let client = console.database().await?;
    let mut actions = console_audit::page(&client, query.before, paging::one_more(PAGE)).await?;
    let has_next = paging::cut(&mut actions, PAGE);
    let next = actions.last().filter(|_| has_next).map(|row| row.id);
    Ok(AuditPage { actions, next })
}

/// `GET /audit`.
pub(crate) async fn page(caller: Caller, console: Shared, query: Query<AuditQuery>) -> Result<HttpResponse, Problem> {
    let audit = read(&console, &query).await?;
    page::html(&AuditHtml { frame: Frame::new(&caller, "Audit", "/audit"), audit })
}

async fn find(console: &Shared, id: i64) -> Result<AuditEntry, Problem> {
    console_audit::find(&console.database().await?, id).await?.ok_or(Problem::NotFound)
}

/// `GET /audit/{id}`.
pub(crate) async fn entry(caller: Caller, console: Shared, id: Path<i64>) -> Result<HttpResponse, Problem> {
    let AuditEntry { row, request } = find(&console, *id).await?;
    let request = serde_json::to_string_pretty(&request).unwrap_or_default();
    page::html(&EntryHtml { frame: Frame::new(&caller, "Audit", "/audit"), row, request })
}

/// One action in full: each id that was picked out, or the filter; what was accepted, why, how fast.
#[utoipa::path(get, path = "/api/v1/audit/{id}", tag = "audit", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = AuditEntry)))]
pub(crate) async fn api_entry(_caller: Caller, console: Shared, id: Path<i64>) -> Result<Json<AuditEntry>, Problem> {
    Ok(Json(find(&console, *id).await?))
}

/// What people did, in the console and by commands, the latest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = AuditPage)))]
pub(crate) async fn api(
    _caller: Caller,
    console: Shared,
    query: Query<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(read(&console, &query).await?))
}
