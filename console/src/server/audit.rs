//! `/audit`, and how actions are written down: before they are begun, and again when their outcome is known.

use actix_web::HttpResponse;
use actix_web::web::{Json, Query};
use askama::Template;
use deadpool_postgres::Client;
use serde::{Deserialize, Serialize};
use shared::db::console_audit::{self, AuditRow, Outcome};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::page::{self, Frame, moment};
use super::problem::{Problem, ProblemDocument};
use super::state::Shared;

/// Actions on a page.
const PAGE: i64 = 50;

/// An action that has been written down, and whose outcome is not.
pub(crate) struct Entry {
    id: i64,
}

impl Entry {
    /// Writes down what is about to be done.
    ///
    /// # Errors
    /// When it cannot be written down; then it must not be done.
    pub(crate) async fn begin(client: &Client, caller: &Caller, action: &str, subject: &str) -> Result<Self, Problem> {
        let id = console_audit::begin(client, &caller.actor(), action, subject).await?;
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
    #[schema(value_type = Vec<Object>)]
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

async fn read(console: &Shared, query: &AuditQuery) -> Result<AuditPage, Problem> {
    let client = console.database().await?;
    let actions = console_audit::page(&client, query.before, PAGE).await?;
    let is_full = i64::try_from(actions.len()).is_ok_and(|rows| rows == PAGE);
    let next = actions.last().filter(|_| is_full).map(|row| row.id);
    Ok(AuditPage { actions, next })
}

/// `GET /audit`.
pub(crate) async fn page(caller: Caller, console: Shared, query: Query<AuditQuery>) -> Result<HttpResponse, Problem> {
    let audit = read(&console, &query).await?;
    page::html(&AuditHtml { frame: Frame::new(&caller, "Audit", "/audit"), audit })
}

/// What people did in the console, the latest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = AuditPage), (status = 401, body = ProblemDocument)))]
pub(crate) async fn api(
    _caller: Caller,
    console: Shared,
    query: Query<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(read(&console, &query).await?))
}
