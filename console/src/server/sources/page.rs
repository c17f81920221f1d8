//! `/sources` and `/api/v1/sources`.

use actix_web::HttpResponse;
use actix_web::web::Json;
use askama::Template;

use super::list::{self, SourceView};
use crate::server::access::Caller;
use crate::server::page::{self, Frame, age, moment, segment};
use crate::server::problem::{Problem, ProblemDocument};
use crate::server::state::Shared;

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesHtml {
    frame: Frame,
    sources: Vec<SourceView>,
    /// Whether any ingest is watched.
    watched: bool,
}

/// `GET /sources`.
pub(crate) async fn list(caller: Caller, console: Shared) -> Result<HttpResponse, Problem> {
    let watched = console.settings.ingest_ops_url.is_some();
    page::html(&SourcesHtml {
        frame: Frame::new(&caller, "Sources", "/sources"),
        sources: list::read(&console),
        watched,
    })
}

/// Who sends, when they were last heard of, what was not genuine, and which secrets still sign.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources",
    responses((status = 200, body = Vec<SourceView>), (status = 401, body = ProblemDocument)))]
pub(crate) async fn api(_caller: Caller, console: Shared) -> Json<Vec<SourceView>> {
    Json(list::read(&console))
}
