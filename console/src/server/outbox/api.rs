//! `/api/v1/outbox` and `/api/v1/destinations`.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use shared::db::outbox::steer::Steer;
use utoipa::ToSchema;

use super::act::{self, Done, OutboxAction, Steered};
use super::list::{self, OutboxPage, OutboxQuery};
use crate::outbox::destinations::Destination;
use crate::server::access::Caller;
use crate::server::jobs::page::JobView;
use crate::server::problem::{Problem, ProblemDocument};
use crate::server::state::Shared;

/// Why a destination is paused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseAction {
    because: String,
}

/// Effects that need a person, or wait, or belong to one webhook.
#[utoipa::path(get, path = "/api/v1/outbox", tag = "outbox", params(OutboxQuery),
    responses((status = 200, body = OutboxPage)))]
pub(crate) async fn list(
    _caller: Caller,
    console: Shared,
    query: Query<OutboxQuery>,
) -> Result<Json<OutboxPage>, Problem> {
    Ok(Json(list::read(&console, &query).await?))
}

/// Sends what waits, is held, was given up or cancelled; its attempts count anew.
#[utoipa::path(post, path = "/api/v1/outbox/resend", tag = "outbox", request_body = OutboxAction,
    responses((status = 200, description = "Those with these numbers: done", body = Steered),
        (status = 202, description = "A filter, or a dry run: begun", body = JobView)))]
pub(crate) async fn resend(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    action: Json<OutboxAction>,
) -> Result<HttpResponse, Problem> {
    steer(&request, (&caller, &console), Steer::Resend, &action).await
}

/// Holds what waits, until it is sent again by a person.
#[utoipa::path(post, path = "/api/v1/outbox/hold", tag = "outbox", request_body = OutboxAction,
    responses((status = 200, description = "Those with these numbers: done", body = Steered),
        (status = 202, description = "A filter, or a dry run: begun", body = JobView)))]
pub(crate) async fn hold(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    action: Json<OutboxAction>,
) -> Result<HttpResponse, Problem> {
    steer(&request, (&caller, &console), Steer::Hold, &action).await
}

/// Cancels what waits, is held or was given up.
#[utoipa::path(post, path = "/api/v1/outbox/cancel", tag = "outbox", request_body = OutboxAction,
    responses((status = 200, description = "Those with these numbers: done", body = Steered),
        (status = 202, description = "A filter, or a dry run: begun", body = JobView)))]
pub(crate) async fn cancel(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    action: Json<OutboxAction>,
) -> Result<HttpResponse, Problem> {
    steer(&request, (&caller, &console), Steer::Cancel, &action).await
}

async fn steer(
    request: &HttpRequest,
    (caller, console): (&Caller, &Shared),
    what: Steer,
    action: &OutboxAction,
) -> Result<HttpResponse, Problem> {
    caller.may_act(request, None)?;
    Ok(match act::act(console, caller, what, action, Vec::new()).await? {
        Done::AtOnce(steered) => HttpResponse::Ok().json(steered),
        Done::Begun(job) => HttpResponse::Accepted().json(JobView::of(&job)),
    })
}

/// Where effects go, and how each destination does.
#[utoipa::path(get, path = "/api/v1/destinations", tag = "outbox",
    responses((status = 200, body = Vec<Destination>)))]
pub(crate) async fn destinations(_caller: Caller, console: Shared) -> Result<Json<Vec<Destination>>, Problem> {
    Ok(Json(list::destinations(&console).await?))
}

/// Begins no more sends of an effect. What has begun is finished.
#[utoipa::path(post, path = "/api/v1/destinations/{effect}/pause", tag = "outbox", request_body = PauseAction,
    params(("effect" = String, Path, description = "The configured effect")),
    responses((status = 204), (status = 409, description = "It was so already.", body = ProblemDocument,
        content_type = "application/problem+json")))]
pub(crate) async fn pause(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    (effect, action): (Path<String>, Json<PauseAction>),
) -> Result<HttpResponse, Problem> {
    caller.may_act(&request, None)?;
    act::pause(&console, &caller, &effect, Some(action.because.trim())).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sends an effect again that was paused.
#[utoipa::path(post, path = "/api/v1/destinations/{effect}/resume", tag = "outbox",
    params(("effect" = String, Path, description = "The configured effect")),
    responses((status = 204), (status = 409, description = "It was so already.", body = ProblemDocument,
        content_type = "application/problem+json")))]
pub(crate) async fn resume(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    effect: Path<String>,
) -> Result<HttpResponse, Problem> {
    caller.may_act(&request, None)?;
    act::pause(&console, &caller, &effect, None).await?;
    Ok(HttpResponse::NoContent().finish())
}
