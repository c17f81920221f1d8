//! What every answer goes through on its way out: headers that hold a browser to what our pages need, and a page in
//! place of a problem document where a person asked.
//!
//! The policy forbids inline scripts and styles, frames, and every other origin: what a stranger smuggles into a page
//! by a webhook's body stays text.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};

use super::access::login;
use super::page;
use super::problem::Problem;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// Swagger UI writes style attributes.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";
const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not "no-referrer": with it, browsers send "Origin: null" with our own forms.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// The middleware.
pub(crate) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<BoxBody>>, actix_web::Error> {
    let answer = next.call(request).await?.map_into_boxed_body();
    // Not taken from the request on its way in: while it is routed, nobody else may hold it.
    let asked = answer.request().clone();
    let problem = answer.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    let mut answer = match problem {
        Some(problem) if !asked.path().starts_with("/api/") => answer.into_response(shown(&asked, &problem)),
        _ => answer,
    };
    let policy = if asked.path().starts_with("/api/docs") { DOCS_POLICY } else { POLICY };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(answer.map_into_left_body())
}

/// A problem as a page. Who is not logged in is asked to, and comes back to where they were.
fn shown(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    if *problem == Problem::Unauthenticated {
        return login::ask(request);
    }
    let mut answer = problem.error_response();
    match page::problem(problem) {
        Ok(text) => {
            let mut shown = HttpResponse::build(answer.status());
            for (name, value) in answer.headers_mut().drain() {
                if name.as_ref().is_some_and(|name| *name == header::RETRY_AFTER) {
                    shown.insert_header((header::RETRY_AFTER, value));
                }
            }
            shown.content_type("text/html; charset=utf-8").body(text)
        }
        Err(error) => {
            tracing::error!(%error, "cannot write a page");
            answer
        }
    }
}
