//! `/api/v1`: the same as the pages, as JSON; its description, and Swagger UI to read it with.
//!
//! Invariant: what changes in a breaking way gets another version. Lists are paged by cursors that are opaque to callers.
//! Errors are RFC 9457 documents ([`super::problem`]).

use actix_web::HttpResponse;
use actix_web::web::{self, Json, JsonConfig, PathConfig, QueryConfig};
use askama::Template;
use utoipa::OpenApi as _;

use super::access::Caller;
use super::description::Description;
use super::page::{self, AssetPaths};
use super::problem::Problem;
use super::{audit, inventory, jobs, outbox, overview, parked, sources, webhooks};

/// All routes of the API.
pub(super) fn routes(app: &mut web::ServiceConfig) {
    let malformed = |error: String| -> actix_web::Error { Problem::Malformed(error).into() };
    app.app_data(JsonConfig::default().error_handler(move |error, _request| malformed(error.to_string())))
        .app_data(QueryConfig::default().error_handler(move |error, _request| malformed(error.to_string())))
        // What has no number for a name is not there.
        .app_data(PathConfig::default().error_handler(|_error, _request| Problem::NotFound.into()))
        .service(
            web::scope("/api/v1")
                .route("/openapi.json", web::get().to(description))
                .route("/overview", web::get().to(overview::api::overview))
                .route("/overview/series", web::get().to(overview::api::series))
                .route("/webhooks", web::get().to(webhooks::api::list))
                .route("/webhooks/{source}/{id:.+}", web::get().to(webhooks::api::show))
                .route("/bodies/{source}/{id:.+}", web::get().to(webhooks::api::raw))
                .route("/replays", web::post().to(webhooks::api::replay))
                .route("/parked", web::get().to(parked::api::list))
                .route("/parked/redrive", web::post().to(parked::api::redrive))
                .route("/parked/discard", web::post().to(parked::api::discard))
                .route("/jobs", web::get().to(jobs::page::api_list))
                .route("/jobs/{id}", web::get().to(jobs::page::api))
                .route("/jobs/{id}/stop", web::post().to(jobs::page::api_stop))
                .route("/outbox", web::get().to(outbox::api::list))
                .route("/outbox/resend", web::post().to(outbox::api::resend))
                .route("/outbox/hold", web::post().to(outbox::api::hold))
                .route("/outbox/cancel", web::post().to(outbox::api::cancel))
                .route("/destinations", web::get().to(outbox::api::destinations))
                .route("/destinations/{effect}/pause", web::post().to(outbox::api::pause))
                .route("/destinations/{effect}/resume", web::post().to(outbox::api::resume))
                .route("/inventory", web::get().to(inventory::api::list))
                .route("/inventory", web::post().to(inventory::api::set))
                .route("/sources", web::get().to(sources::page::api))
                .route("/audit", web::get().to(audit::api))
                .route("/audit/{id}", web::get().to(audit::api_entry)),
        )
        .route("/api/docs", web::get().to(to_docs))
        .route("/api/docs/", web::get().to(docs));
}

async fn description(_caller: Caller) -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

async fn to_docs() -> HttpResponse {
    page::see("/api/docs/")
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs {
    assets: AssetPaths,
}

/// Swagger UI, embedded. A person comes here by the session; the description is fetched with its cookie.
async fn docs(_caller: Caller) -> Result<HttpResponse, Problem> {
    page::html(&Docs { assets: AssetPaths })
}
