//! `/api/v1/webhooks`.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};

use super::page::key;
use super::replay::{self, ReplayAction};
use super::search::{self, WebhookPage, WebhookQuery};
use super::story::{self, Story};
use crate::server::access::Caller;
use crate::server::jobs::page::JobView;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// Webhooks, the newest first.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", params(WebhookQuery),
    responses((status = 200, body = WebhookPage)))]
pub(crate) async fn list(
    _caller: Caller,
    console: Shared,
    query: Query<WebhookQuery>,
) -> Result<Json<WebhookPage>, Problem> {
    Ok(Json(search::find(&console, &query).await?))
}

/// All that is known of one webhook.
#[utoipa::path(get, path = "/api/v1/webhooks/{source}/{id}", tag = "webhooks",
    params(("source" = String, Path, description = "Its source"), ("id" = String, Path, description = "Its id")),
    responses((status = 200, body = Story)))]
pub(crate) async fn show(
    _caller: Caller,
    console: Shared,
    path: Path<(String, String)>,
) -> Result<Json<Story>, Problem> {
    Ok(Json(story::tell(&console, &key(path)).await?))
}

/// Its body, byte for byte, to be saved: a stranger's, never to be shown as it is.
#[utoipa::path(get, path = "/api/v1/bodies/{source}/{id}", tag = "webhooks",
    params(("source" = String, Path, description = "Its source"), ("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The body", body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn raw(
    caller: Caller,
    console: Shared,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    super::page::raw(caller, console, path).await
}

/// Runs a processed webhook again on purpose, from its stored body: begins a job.
#[utoipa::path(post, path = "/api/v1/replays", tag = "webhooks", request_body = ReplayAction,
    responses((status = 202, body = JobView)))]
pub(crate) async fn replay(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    action: Json<ReplayAction>,
) -> Result<HttpResponse, Problem> {
    caller.may_act(&request, None)?;
    let job = replay::begin(&console, &caller, action.into_inner(), Vec::new())?;
    Ok(HttpResponse::Accepted().json(JobView::of(&job)))
}
