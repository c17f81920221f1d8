//! What a refusal looks like: an RFC 9457 problem document (<https://www.rfc-editor.org/rfc/rfc9457>).
//!
//! `type` is `urn:oncehook:problem:<name>`, one name a kind of refusal, stable across releases: callers may
//! match on it. The document tells the sender what to do differently and nothing about the inside: neither why
//! a signature failed nor what the broker said. Those are in the log, under the same request.
//!
//! | status | name |
//! | --- | --- |
//! | 405 | `method-not-allowed` |
//! | 404 | `not-found`, `unknown-source` |
//! | 415 | `content-encoding` |
//! | 413 | `body-too-large` |
//! | 408 | `body-too-slow` |
//! | 401 | `signature-refused` |
//! | 400 | `body-incomplete`, `webhook-malformed` |
//! | 503 | `certificate-unavailable`, `overloaded`, `unavailable` |
//!
//! What is no HTTP request that a handler could see (a head that is malformed, too large or too slow) is answered
//! by the HTTP server itself: 400, 408 or 431 without a document, and closed.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde::Serialize;

use crate::refused::Refused;

/// What every problem's `type` starts with.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:oncehook:problem:";

/// RFC 9457, section 3.
const PROBLEM_JSON: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'p> {
    #[serde(rename = "type")]
    kind: String,
    title: &'p str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Name, status and title of each kind.
fn kind(refused: &Refused) -> (&'static str, StatusCode, &'static str) {
    match refused {
        Refused::Method => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Webhooks are sent with POST"),
        Refused::Path => ("not-found", StatusCode::NOT_FOUND, "There is nothing here"),
        Refused::Source => ("unknown-source", StatusCode::NOT_FOUND, "There is no such source"),
        Refused::ContentEncoding => {
            ("content-encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed")
        }
        Refused::TooLarge { .. } => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
        Refused::Overloaded => {
            ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too many webhooks at once; send it again later")
        }
        Refused::TooSlow => ("body-too-slow", StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive"),
        Refused::BrokenBody => ("body-incomplete", StatusCode::BAD_REQUEST, "The body is incomplete"),
        Refused::Signature(_) => ("signature-refused", StatusCode::UNAUTHORIZED, "The webhook could not be verified"),
        Refused::Certificate(_) => (
            "certificate-unavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "The webhook could not be verified yet; send it again later",
        ),
        Refused::Identity(_) => ("webhook-malformed", StatusCode::BAD_REQUEST, "The webhook has no usable id or topic"),
        Refused::NotKept(_) => (
            "unavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "The webhook could not be made durable; send it again later",
        ),
    }
}

/// What the sender may know beyond the title. Identity errors name headers and paths, never values.
fn detail(refused: &Refused) -> Option<String> {
    match refused {
        Refused::TooLarge { limit_bytes } => Some(format!("At most {limit_bytes} bytes.")),
        Refused::Identity(error) => Some(error.to_string()),
        _ => None,
    }
}

/// The answer to a refused webhook.
pub(crate) fn response(refused: &Refused, retry_after_s: u32) -> HttpResponse {
    let (name, status, title) = kind(refused);
    let mut builder = HttpResponse::build(status);
    match refused {
        Refused::Method => {
            builder.insert_header((header::ALLOW, "POST"));
        }
        // RFC 9110, 15.5.16: tell which codings would do.
        Refused::ContentEncoding => {
            builder.insert_header((header::ACCEPT_ENCODING, "identity"));
        }
        Refused::Overloaded | Refused::Certificate(_) | Refused::NotKept(_) => {
            builder.insert_header((header::RETRY_AFTER, retry_after_s));
        }
        _ => {}
    }
    if !refused.keeps_connection() {
        builder.force_close();
    }
    let problem = Problem {
        kind: format!("{PROBLEM_TYPE_PREFIX}{name}"),
        title,
        status: status.as_u16(),
        detail: detail(refused),
    };
    match serde_json::to_vec(&problem) {
        Ok(document) => builder.content_type(PROBLEM_JSON).body(document),
        Err(error) => {
            tracing::error!(%error, "cannot write a problem document");
            builder.finish()
        }
    }
}

/// The same without its document, for providers that want no answer to have a body.
pub(crate) fn without_document(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().remove(header::CONTENT_TYPE);
    response.set_body(BoxBody::new(()))
}
