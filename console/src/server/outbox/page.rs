//! `/outbox`.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Query;
use askama::Template;
use shared::db::outbox::steer::Steer;

use super::act::{self, OutboxAction};
use super::list::{self, OutboxPage, OutboxQuery};
use crate::outbox::destinations::{Destination, Health};
use crate::server::access::{Caller, Submitted};
use crate::server::page::{self, Frame, age, moment, segment};
use crate::server::problem::Problem;
use crate::server::state::Shared;

#[derive(Template)]
#[template(path = "outbox.html")]
struct OutboxHtml {
    frame: Frame,
    query: OutboxQuery,
    page: OutboxPage,
    destinations: Vec<Destination>,
}

impl OutboxHtml {
    fn shows(&self) -> [(&'static str, &'static str); 6] {
        [
            ("attention", "held or failed"),
            ("ambiguous", "ambiguous"),
            ("pending", "pending"),
            ("held", "held"),
            ("failed", "failed"),
            ("cancelled", "cancelled"),
        ]
    }

    fn is_shown(&self, show: &str) -> bool {
        self.query.show == show || (self.query.show.is_empty() && show == "attention")
    }

    fn link(&self, show: &str, before: &str) -> String {
        format!("/outbox{}", page::query(&[("show", show), ("effect", &self.query.effect), ("before", before)]))
    }

    /// What was done before this page was shown.
    fn told(&self) -> Option<String> {
        let done = match self.query.told.as_str() {
            "resend" => "will be sent again",
            "hold" => "held",
            "cancel" => "cancelled",
            _ => return None,
        };
        Some(format!("{} {done}.", self.query.rows))
    }
}

/// `GET /outbox`.
pub(crate) async fn list(caller: Caller, console: Shared, query: Query<OutboxQuery>) -> Result<HttpResponse, Problem> {
    let (page, destinations) = (list::read(&console, &query).await?, list::destinations(&console).await?);
    let frame = Frame::new(&caller, "Outbox", "/outbox");
    page::html(&OutboxHtml { frame, query: query.into_inner(), page, destinations })
}

/// `POST /outbox/act`.
pub(crate) async fn act(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let (what, told) = match form.field("do") {
        Some("resend") => (Steer::Resend, "resend"),
        Some("hold") => (Steer::Hold, "hold"),
        Some("cancel") => (Steer::Cancel, "cancel"),
        _ => return Err(Problem::Malformed("say what to do".to_owned())),
    };
    let ids: Result<Vec<i64>, _> = form.fields("id").into_iter().map(str::parse).collect();
    let ids = ids.map_err(|_no_number| Problem::Malformed("id".to_owned()))?;
    let steered = act::steer(&console, &form.caller, what, &OutboxAction { ids }).await?;
    let (show, rows) = (form.field("show").unwrap_or_default(), steered.changed.len().to_string());
    Ok(back(&page::query(&[("show", show), ("told", told), ("rows", &rows)])))
}

/// `POST /outbox/pause`.
pub(crate) async fn pause(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let because = form.field("because").unwrap_or("no reason given");
    act::pause(&console, &form.caller, form.field("effect").unwrap_or_default(), Some(because)).await?;
    Ok(back(""))
}

/// `POST /outbox/resume`.
pub(crate) async fn resume(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    act::pause(&console, &form.caller, form.field("effect").unwrap_or_default(), None).await?;
    Ok(back(""))
}

fn back(query: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/outbox{query}"))).finish()
}
