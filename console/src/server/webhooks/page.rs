//! `/webhooks`, a page for each, and its body byte for byte.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Path, Query};
use askama::Template;
use serde::Deserialize;
use shared::db::outbox::rows::{OutboxRow, Show};
use shared::db::processed_webhooks::WebhookKey;
use shared::name::Name;

use super::replay::{self, ReplayAction};
use super::search::{self, WebhookPage, WebhookQuery};
use super::story::{self, Story};
use crate::parked::mend::mend;
use crate::server::access::{Caller, Submitted};
use crate::server::jobs::page::go_to;
use crate::server::outbox::page as outbox;
use crate::server::page::{self, Frame, moment, segment};
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::server::when::{since, until};
use crate::webhooks::again;
use crate::webhooks::search::Note;

/// The fields of the replay's form that are kept for a second time.
const KEPT: [&str; 4] = ["source", "webhook_id", "resend", "name"];

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksHtml {
    frame: Frame,
    query: WebhookQuery,
    page: WebhookPage,
    /// Why nothing could be looked for.
    problem: Option<String>,
    sources: Vec<String>,
    /// The names of the keys that sources extract.
    keys: Vec<String>,
}

impl WebhooksHtml {
    fn next(&self, after: &str) -> String {
        let query = &self.query;
        let fields = [
            ("q", query.q.as_str()),
            ("text", &query.text),
            ("source", &query.source),
            ("topic", &query.topic),
            ("status", &query.status),
            ("since", &query.since),
            ("until", &query.until),
            ("after", after),
        ];
        format!("/webhooks{}", page::query(&fields))
    }

    /// How far the search came.
    fn note(&self) -> Noted {
        Noted(self.page.noted)
    }

    fn statuses(&self) -> [&'static str; 7] {
        ["completed", "skipped", "duplicated", "parked", "redriving", "discarded", "retrying"]
    }
}

/// A note as a page says it: its moment is the viewer's.
struct Noted(Option<Note>);

impl std::fmt::Display for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((before, at, behind)) = self.0.map(Note::words) else { return Ok(()) };
        f.write_str(before)?;
        if let Some(at) = at {
            page::Moment(at).fmt(f)?;
        }
        f.write_str(behind)
    }
}

/// Our own words, and a moment.
impl askama::filters::HtmlSafe for Noted {}

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookHtml {
    frame: Frame,
    story: Story,
    /// What was done before this page was shown.
    told: Option<String>,
    /// The replay's run, unless somebody names another: a form that is submitted twice runs once.
    run: Name,
}

impl WebhookHtml {
    /// Where the page asks whether something is still under way; `None` when nothing is.
    fn moving(&self) -> Option<String> {
        let Story { source, webhook_id, parked, effects, .. } = &self.story;
        story::is_moving(parked.as_ref(), effects)
            .then(|| format!("/moving/{}/{}", segment(source), segment(webhook_id)))
    }

    /// Whether there is an effect that a person can do anything with.
    fn can_be_steered(&self) -> bool {
        self.story.effects.iter().any(OutboxRow::can_be_steered)
    }

    /// What needs a person is selected from the beginning.
    fn is_chosen(effect: &OutboxRow) -> bool {
        Show::Attention.takes(effect)
    }

    fn chosen(&self) -> usize {
        self.story.effects.iter().filter(|effect| Self::is_chosen(effect)).count()
    }
}

/// What was done before a webhook's page was shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    told: String,
    rows: usize,
}

/// `GET /webhooks`.
pub(crate) async fn list(caller: Caller, console: Shared, query: Query<WebhookQuery>) -> Result<HttpResponse, Problem> {
    let query = query.into_inner().settled();
    let (page, problem) = page::readable(search::find(&console, &query).await)?;
    let is_readable = problem.is_none();
    let sources = console.config.sources.keys().map(ToString::to_string).collect();
    let keys = console.config.sources.values().flat_map(|source| source.search_keys.keys().map(ToString::to_string));
    let keys: std::collections::BTreeSet<String> = keys.collect();
    let (frame, keys) = (Frame::new(&caller, "Webhooks", "/webhooks"), keys.into_iter().collect());
    page::html_of(&WebhooksHtml { frame, query, page, problem, sources, keys }, is_readable)
}

/// `GET /webhooks/{source}/{id}`.
pub(crate) async fn show(
    caller: Caller,
    console: Shared,
    path: Path<(String, String)>,
    told: Query<Told>,
) -> Result<HttpResponse, Problem> {
    let story = story::tell(&console, &key(path)).await?;
    let (frame, run) = (Frame::new(&caller, "Webhook", "/webhooks"), replay::made_up_run()?);
    let told = outbox::told(&told.told, told.rows);
    page::html(&WebhookHtml { frame, story, told, run })
}

/// `GET /moving/{source}/{id}`: nothing while something is under way; then, that the page is to be loaded anew.
pub(crate) async fn moving(
    _caller: Caller,
    console: Shared,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let mut answer = HttpResponse::Ok();
    if !story::moves(&console, &key(path)).await? {
        answer.insert_header(("HX-Refresh", "true"));
    }
    Ok(answer.finish())
}

/// `GET /bodies/{source}/{id}`: the body, byte for byte, to be saved. Never shown: it is a stranger's.
pub(crate) async fn raw(
    _caller: Caller,
    console: Shared,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let content = story::content(&console, &key(path)).await?.ok_or(Problem::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"body\""))
        .body(content.body))
}

/// `POST /webhooks/replay`.
pub(crate) async fn replay(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let text = |name: &str| form.field(name).unwrap_or_default().to_owned();
    let dry_run = form.field("run") == Some("dry");
    // Made up here, it would be another one for the second click of two.
    let run = form.field("name").ok_or_else(|| Problem::Malformed("name the run".to_owned()))?;
    let action = ReplayAction {
        source: text("source"),
        webhook_id: text("webhook_id"),
        resend: form.field("resend").is_some(),
        run: run.to_owned(),
        dry_run,
    };
    let again = form.again(dry_run, &KEPT);
    Ok(go_to(&*replay::begin(&console, &form.caller, action, again)?))
}

pub(crate) fn key(path: Path<(String, String)>) -> WebhookKey {
    let (source, webhook_id) = path.into_inner();
    WebhookKey { source, webhook_id }
}
