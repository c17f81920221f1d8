//! `/api/v1/parked`.

use actix_web::web::{Json, Query};
use actix_web::{HttpRequest, HttpResponse};

use super::act::{self, ParkedAction, What};
use super::list::{self, ParkedPage, ParkedQuery};
use crate::server::access::Caller;
use crate::server::jobs::page::JobView;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// Parked webhooks, the longest parked first, and what waits by reason.
#[utoipa::path(get, path = "/api/v1/parked", tag = "parked", params(ParkedQuery),
    responses((status = 200, body = ParkedPage)))]
pub(crate) async fn list(
    _caller: Caller,
    console: Shared,
    query: Query<ParkedQuery>,
) -> Result<Json<ParkedPage>, Problem> {
    Ok(Json(list::read(&console, &query).await?))
}

/// Puts parked webhooks back on the queue: begins a job.
#[utoipa::path(post, path = "/api/v1/parked/redrive", tag = "parked", request_body = ParkedAction,
    responses((status = 202, body = JobView)))]
pub(crate) async fn redrive(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    action: Json<ParkedAction>,
) -> Result<HttpResponse, Problem> {
    begin(&request, &caller, &console, (What::Redrive, action))
}

/// Gives parked webhooks up: begins a job. Nothing is deleted.
#[utoipa::path(post, path = "/api/v1/parked/discard", tag = "parked", request_body = ParkedAction,
    responses((status = 202, body = JobView)))]
pub(crate) async fn discard(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    action: Json<ParkedAction>,
) -> Result<HttpResponse, Problem> {
    begin(&request, &caller, &console, (What::Discard, action))
}

fn begin(
    request: &HttpRequest,
    caller: &Caller,
    console: &Shared,
    (what, action): (What, Json<ParkedAction>),
) -> Result<HttpResponse, Problem> {
    caller.may_act(request, None)?;
    let job = act::begin(console, caller, what, action.into_inner(), Vec::new())?;
    Ok(HttpResponse::Accepted().json(JobView::of(&job)))
}
