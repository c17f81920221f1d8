//! What all pages have in common: the frame around them, links to scripts and styles, and how they are sent.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use askama::Template;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::access::Caller;
use super::assets;
use super::problem::Problem;
use crate::output;
use shared::db::console_tokens::Role;

/// Where the frame's scripts and styles are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AssetPaths;

impl AssetPaths {
    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> String {
        assets::path(name)
    }
}

/// What the frame around a page shows.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) assets: AssetPaths,
    /// The page's own name.
    pub(crate) title: &'static str,
    /// The part of the navigation it belongs to.
    pub(crate) part: &'static str,
    pub(crate) person: String,
    pub(crate) role: &'static str,
    /// Whether the caller may act: viewers see no buttons.
    pub(crate) acts: bool,
    /// What forms repeat.
    pub(crate) csrf: String,
}

impl Frame {
    pub(crate) fn new(caller: &Caller, title: &'static str, part: &'static str) -> Self {
        Self {
            assets: AssetPaths,
            title,
            part,
            person: caller.person.clone(),
            role: caller.role.as_str(),
            acts: caller.role == Role::Operator,
            csrf: caller.csrf().to_owned(),
        }
    }

    /// The navigation: path, name and key.
    pub(crate) fn parts(&self) -> [(&'static str, &'static str, &'static str); 7] {
        [
            ("/", "Overview", "o"),
            ("/webhooks", "Webhooks", "w"),
            ("/parked", "Parked", "p"),
            ("/outbox", "Outbox", "x"),
            ("/inventory", "Stock", "i"),
            ("/sources", "Sources", "s"),
            ("/audit", "Audit", "a"),
        ]
    }
}

/// A moment on a page: readable without scripts, in the viewer's zone with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(pub(crate) OffsetDateTime);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = self.0.format(&Rfc3339).unwrap_or_default();
        let (date, time) = (self.0.date(), self.0.time());
        let (hour, minute, second) = time.as_hms();
        write!(f, r#"<time datetime="{machine}">{date} {hour:02}:{minute:02}:{second:02} UTC</time>"#)
    }
}

impl askama::filters::HtmlSafe for Moment {}

/// A moment, as templates ask for it.
pub(crate) fn moment(at: &OffsetDateTime) -> Moment {
    Moment(*at)
}

/// How long, as templates ask for it.
pub(crate) fn age(seconds: &i64) -> String {
    output::age(Duration::seconds(*seconds))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    assets: AssetPaths,
    title: String,
    status: u16,
}

/// A problem as a page of its own.
pub(crate) fn problem(problem: &Problem) -> askama::Result<String> {
    let status = actix_web::ResponseError::status_code(problem).as_u16();
    ProblemPage { assets: AssetPaths, title: problem.to_string(), status }.render()
}

/// Sends a page.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn html(page: &impl Template) -> Result<HttpResponse, Problem> {
    match page.render() {
        Ok(text) => Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(text)),
        Err(error) => {
            tracing::error!(%error, "cannot write a page");
            Err(Problem::Unavailable)
        }
    }
}

/// What was asked for; or, where that cannot be read, nothing, and why: what was entered stays, to be mended.
///
/// # Errors
/// What no other query would mend.
pub(crate) fn readable<P: Default>(asked: Result<P, Problem>) -> Result<(P, Option<String>), Problem> {
    match asked {
        Ok(page) => Ok((page, None)),
        Err(problem @ Problem::Malformed(_)) => Ok((P::default(), Some(problem.to_string()))),
        Err(problem) => Err(problem),
    }
}

/// Sends a page whose query could be read or not.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn html_of(page: &impl Template, is_readable: bool) -> Result<HttpResponse, Problem> {
    let mut answer = html(page)?;
    *answer.status_mut() = if is_readable { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(answer)
}

/// Sends a browser on to another page.
pub(crate) fn see(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

/// A query string, from its `?` on; empty for no fields.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields.iter().filter(|(_name, value)| !value.is_empty()).collect();
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &fields {
        text.append_pair(name, value);
    }
    let text = text.finish();
    if text.is_empty() { text } else { format!("?{text}") }
}

/// The page of a webhook.
pub(crate) fn of_webhook(source: &str, id: &str) -> String {
    format!("/webhooks/{}/{}", segment(source), segment(id))
}

/// A part of a path, so that an id with slashes stays one part.
pub(crate) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
