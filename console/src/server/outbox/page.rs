//! `/outbox`.

use actix_web::HttpResponse;
use actix_web::web::Query;
use askama::Template;
use shared::db::outbox::steer::Steer;

use super::act::{self, Done, OutboxAction, OutboxFilter};
use super::list::{self, OutboxPage, OutboxQuery};
use crate::outbox::destinations::{Destination, Health};
use crate::server::access::{Caller, Submitted};
use crate::server::jobs::page::go_to;
use crate::server::page::{self, Frame, age, moment, segment};
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// The fields of the form that are kept for a second time.
const KEPT: [&str; 4] = ["do", "scope", "show", "effect"];

#[derive(Template)]
#[template(path = "outbox.html")]
struct OutboxHtml {
    frame: Frame,
    query: OutboxQuery,
    page: OutboxPage,
    destinations: Vec<Destination>,
}

impl OutboxHtml {
    fn shows(&self) -> [(&'static str, &'static str); 7] {
        [
            ("attention", "held or failed"),
            ("ambiguous", "ambiguous"),
            ("failing", "failing"),
            ("pending", "pending"),
            ("held", "held"),
            ("failed", "failed"),
            ("cancelled", "cancelled"),
        ]
    }

    fn is_shown(&self, show: &str) -> bool {
        self.query.show == show || (self.query.show.is_empty() && self.query.webhook.is_empty() && show == "attention")
    }

    fn link(&self, show: &str, before: &str) -> String {
        let OutboxQuery { effect, webhook, .. } = &self.query;
        format!(
            "/outbox{}",
            page::query(&[("show", show), ("effect", effect), ("webhook", webhook), ("before", before)])
        )
    }

    /// Whether all that match can be acted on: what one webhook brought about is on the page.
    fn is_filter(&self) -> bool {
        self.query.webhook.trim().is_empty()
    }

    /// What all that match are, in words.
    fn filter(&self) -> String {
        let shown = self.shows().into_iter().find(|(show, _name)| self.is_shown(show)).map_or("", |(_show, name)| name);
        match self.query.effect.trim() {
            "" => shown.to_owned(),
            effect => format!("{shown}, {effect}"),
        }
    }

    /// What was done before this page was shown.
    fn told(&self) -> Option<String> {
        told(&self.query.told, self.query.rows)
    }
}

/// What was done to effects, in words.
pub(crate) fn told(what: &str, rows: usize) -> Option<String> {
    let done = match what {
        "resend" => "put back to be sent",
        "hold" => "held",
        "cancel" => "cancelled",
        _ => return None,
    };
    Some(format!("{rows} {done}."))
}

/// `GET /outbox`.
pub(crate) async fn list(caller: Caller, console: Shared, query: Query<OutboxQuery>) -> Result<HttpResponse, Problem> {
    let (page, destinations) = (list::read(&console, &query).await?, list::destinations(&console).await?);
    let frame = Frame::new(&caller, "Outbox", "/outbox");
    page::html(&OutboxHtml { frame, query: query.into_inner(), page, destinations })
}

/// `POST /outbox/act`: what is selected, at once; all that match the filter, as a job. Nobody acts on all that match without
/// having seen how many they are: the first time, it is tried.
pub(crate) async fn act(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let (what, told) = match form.field("do") {
        Some("resend") => (Steer::Resend, "resend"),
        Some("hold") => (Steer::Hold, "hold"),
        Some("cancel") => (Steer::Cancel, "cancel"),
        _ => return Err(Problem::Malformed("say what to do".to_owned())),
    };
    let text = |name: &str| form.field(name).unwrap_or_default().to_owned();
    let action = if form.field("scope") == Some("filter") {
        // What the page shows if nobody says what to show, whatever is to be done with it.
        let show = form.field("show").unwrap_or("attention").to_owned();
        let filter = Some(OutboxFilter { show, effect: text("effect") });
        OutboxAction { filter, dry_run: form.field("run") != Some("do"), ..OutboxAction::default() }
    } else {
        let ids: Result<Vec<i64>, _> = form.fields("id").into_iter().map(str::parse).collect();
        let ids = ids.map_err(|_no_number| Problem::Malformed("id".to_owned()))?;
        OutboxAction { ids, ..OutboxAction::default() }
    };
    let again = form.again(action.dry_run, &KEPT);
    let steered = match act::act(&console, &form.caller, what, &action, again).await? {
        Done::AtOnce(steered) => steered,
        Done::Begun(job) => return Ok(go_to(&job)),
    };
    let rows = steered.changed.len().to_string();
    Ok(match (form.field("source"), form.field("webhook_id")) {
        // It came from the webhook's own page.
        (Some(source), Some(id)) => {
            let query = page::query(&[("told", told), ("rows", &rows)]);
            page::see(&format!("/webhooks/{}/{}{query}", segment(source), segment(id)))
        }
        _ => {
            let (show, effect, webhook) = (text("show"), text("effect"), text("webhook"));
            let fields =
                [("show", show.as_str()), ("effect", &effect), ("webhook", &webhook), ("told", told), ("rows", &rows)];
            back(&page::query(&fields))
        }
    })
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
    page::see(&format!("/outbox{query}"))
}
