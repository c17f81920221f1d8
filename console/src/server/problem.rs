//! Why a request is not done: an RFC 9457 problem document (<https://www.rfc-editor.org/rfc/rfc9457>).
//!
//! `type` is `urn:oncehook:problem:<name>`, one name a kind of problem, stable across releases: callers may match on
//! it. Pages show the same title and detail ([`super::outward`]). What the database or the broker said is in the log.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use shared::error_chain::error_chain;
use utoipa::ToSchema;

use super::access::attempts::WINDOW;

const PROBLEM_TYPE_PREFIX: &str = "urn:oncehook:problem:";
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("Show a valid token")]
    Unauthenticated,
    #[error("Too many wrong tokens; try again in a minute")]
    TooManyAttempts,
    #[error("This wants an operator's token")]
    Forbidden,
    #[error("The request did not come from a page of this console; load the page again")]
    CrossSite,
    #[error("There is nothing here")]
    NotFound,
    #[error("The request cannot be read: {0}")]
    Malformed(String),
    #[error("It is not done: {0}")]
    Conflict(String),
    #[error("The search took too long; narrow it down, for instance to a shorter time")]
    TooSlow,
    #[error("Too much is being done already; wait for some of it to end")]
    Busy,
    #[error("The database is away or busy; try again")]
    Unavailable,
}

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDocument {
    /// `urn:oncehook:problem:<name>`: stable, callers may match on it.
    #[serde(rename = "type")]
    #[schema(example = "urn:oncehook:problem:not-found")]
    kind: String,
    /// What kind of problem it is, for a person; the same for each of its kind.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
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

    pub(crate) fn document(&self) -> ProblemDocument {
        let kind = format!("{PROBLEM_TYPE_PREFIX}{}", self.name());
        let (title, detail) = match self {
            Self::Malformed(detail) => ("The request cannot be read".to_owned(), Some(detail.clone())),
            Self::Conflict(detail) => ("It is not done".to_owned(), Some(detail.clone())),
            other => (other.to_string(), None),
        };
        ProblemDocument { kind, title, status: self.status_code().as_u16(), detail }
    }
}

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
