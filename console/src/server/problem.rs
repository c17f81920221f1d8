//! Why a request is not done: an RFC 9457 problem document (<https://www.rfc-editor.org/rfc/rfc9457>).
//!
//! `type` is `urn:oncehook:problem:<name>`, one name a kind of problem, stable across releases: callers may match on
//! it. Pages show the same title and detail ([`super::outward`]). What the database or the broker said is in the log.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use shared::error_chain::error_chain;
use utoipa::ToSchema;

use super::access::attempts::WINDOW;

const PROBLEM_TYPE_PREFIX: &str = "urn:oncehook:problem:";
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    Unauthenticated,
    TooManyAttempts,
    Forbidden,
    CrossSite,
    NotFound,
    /// What cannot be read.
    Malformed(String),
    /// Why not.
    Conflict(String),
    TooSlow,
    Busy,
    Unavailable,
}

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDocument<'p> {
    /// `urn:oncehook:problem:<name>`: stable, callers may match on it.
    #[serde(rename = "type")]
    #[schema(example = "urn:oncehook:problem:not-found")]
    kind: String,
    /// What kind of problem it is, for a person; the same for each of its kind.
    title: &'p str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'p str>,
}

impl Problem {
    fn name(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::TooManyAttempts => "too-many-attempts",
            Self::Forbidden => "forbidden",
            Self::CrossSite => "cross-site",
            Self::NotFound => "not-found",
            Self::Malformed(_) => "malformed",
            Self::Conflict(_) => "conflict",
            Self::TooSlow => "too-slow",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "Show a valid token",
            Self::TooManyAttempts => "Too many wrong tokens; try again in a minute",
            Self::Forbidden => "This wants an operator's token",
            Self::CrossSite => "The request did not come from a page of this console; load the page again",
            Self::NotFound => "There is nothing here",
            Self::Malformed(_) => "The request cannot be read",
            Self::Conflict(_) => "It is not done",
            Self::TooSlow => "The search took too long; narrow it down, for instance to a shorter time",
            Self::Busy => "Too much is being done already; wait for some of it to end, or stop a job (/jobs)",
            Self::Unavailable => "The database is away or busy; try again",
        }
    }

    fn detail(&self) -> Option<&str> {
        match self {
            Self::Malformed(detail) | Self::Conflict(detail) => Some(detail),
            _ => None,
        }
    }

    fn document(&self) -> ProblemDocument<'_> {
        let kind = format!("{PROBLEM_TYPE_PREFIX}{}", self.name());
        ProblemDocument { kind, title: self.title(), status: self.status_code().as_u16(), detail: self.detail() }
    }
}

/// Title and detail, as pages show them.
impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.title())?;
        self.detail().map_or(Ok(()), |detail| write!(out, ": {detail}"))
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooSlow | Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::Unauthenticated => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            Self::TooManyAttempts => {
                response.insert_header((header::RETRY_AFTER, WINDOW.as_secs()));
            }
            Self::Busy | Self::Unavailable => {
                response.insert_header((header::RETRY_AFTER, 5));
            }
            _ => {}
        }
        let document = serde_json::to_vec(&self.document()).unwrap_or_default();
        response.content_type(PROBLEM_JSON).body(document)
    }
}

impl From<deadpool_postgres::tokio_postgres::Error> for Problem {
    fn from(error: deadpool_postgres::tokio_postgres::Error) -> Self {
        if error.code() == Some(&deadpool_postgres::tokio_postgres::error::SqlState::QUERY_CANCELED) {
            return Self::TooSlow;
        }
        tracing::error!(error = error_chain(&error), "the console cannot read the database");
        Self::Unavailable
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        tracing::error!(error = error_chain(&error), "the console cannot connect to Postgres");
        Self::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_statuses_stay_what_callers_match_on() {
        let problems = [
            (Problem::Unauthenticated, "unauthenticated", 401),
            (Problem::TooManyAttempts, "too-many-attempts", 429),
            (Problem::Forbidden, "forbidden", 403),
            (Problem::CrossSite, "cross-site", 403),
            (Problem::NotFound, "not-found", 404),
            (Problem::Malformed(String::new()), "malformed", 400),
            (Problem::Conflict(String::new()), "conflict", 409),
            (Problem::TooSlow, "too-slow", 503),
            (Problem::Busy, "busy", 503),
            (Problem::Unavailable, "unavailable", 503),
        ];
        for (problem, name, status) in problems {
            let document = problem.document();
            assert_eq!((document.kind, document.status), (format!("urn:oncehook:problem:{name}"), status));
        }
    }
}
