//! `/parked`.

use actix_web::HttpResponse;
use actix_web::web::Query;
use askama::Template;
use clap::ValueEnum as _;
use shared::db::parked_webhooks::ParkReason;

use super::act::{self, Key, ParkedAction, What};
use super::list::{self, ParkedPage, ParkedQuery};
use crate::output::counted;
use crate::parked::mend::mend;
use crate::parked::ticket::Accept;
use crate::server::access::{Caller, Submitted};
use crate::server::jobs::page::go_to;
use crate::server::page::{self, Frame, moment, segment};
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::server::when::{since, until};

/// The fields of the form that are kept for a second time.
const KEPT: [&str; 11] =
    ["do", "scope", "key", "state", "source", "reason", "topic", "since", "until", "because", "accept"];

#[derive(Template)]
#[template(path = "parked.html")]
struct ParkedHtml {
    frame: Frame,
    query: ParkedQuery,
    page: ParkedPage,
    /// Why the query cannot be read.
    problem: Option<String>,
    sources: Vec<String>,
}

impl ParkedHtml {
    /// The states that can be shown: value and name.
    fn states(&self) -> [(&'static str, &'static str); 5] {
        [
            ("", "waiting"),
            ("redriving", "redriving"),
            ("resolved", "resolved"),
            ("discarded", "discarded"),
            ("any", "any"),
        ]
    }

    fn reasons(&self) -> [&'static str; ParkReason::ALL.len()] {
        ParkReason::ALL.map(ParkReason::as_str)
    }

    /// A link with one field of the query changed.
    fn with(&self, name: &str, value: &str) -> String {
        let query = &self.query;
        let fields = [
            ("state", &query.state),
            ("source", &query.source),
            ("reason", &query.reason),
            ("topic", &query.topic),
            ("since", &query.since),
            ("until", &query.until),
        ];
        let mut fields: Vec<(&str, &str)> = fields
            .into_iter()
            .filter(|(field, _)| *field != name)
            .map(|(name, value)| (name, value.as_str()))
            .collect();
        fields.push((name, value));
        format!("/parked{}", page::query(&fields))
    }

    fn many(rows: &i64) -> String {
        counted(*rows)
    }
}

/// `GET /parked`.
pub(crate) async fn list(caller: Caller, console: Shared, query: Query<ParkedQuery>) -> Result<HttpResponse, Problem> {
    let query = query.into_inner().settled();
    let (page, problem) = page::readable(list::read(&console, &query).await)?;
    let (is_readable, frame) = (problem.is_none(), Frame::new(&caller, "Parked", "/parked"));
    let sources = console.config.sources.keys().map(ToString::to_string).collect();
    page::html_of(&ParkedHtml { frame, query, page, problem, sources }, is_readable)
}

/// `POST /parked/act`: redrive or discard what is selected, or all that match the filter. Nobody acts on all that match
/// without having seen how many they are: the first time, it is tried.
pub(crate) async fn act(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let what = match form.field("do") {
        Some("redrive") => What::Redrive,
        Some("discard") => What::Discard,
        _ => return Err(Problem::Malformed("say what to do".to_owned())),
    };
    let text = |name: &str| form.field(name).unwrap_or_default().to_owned();
    let run = form.field("run");
    let of_these = match form.field("scope") {
        Some("filter") => {
            let filter = ParkedQuery {
                state: text("state"),
                source: text("source"),
                reason: text("reason"),
                topic: text("topic"),
                since: text("since"),
                until: text("until"),
                ..ParkedQuery::default()
            };
            ParkedAction { filter: Some(filter), dry_run: run != Some("do"), ..ParkedAction::default() }
        }
        _ => {
            let webhooks = form.fields("key").into_iter().map(key).collect::<Result<_, _>>()?;
            ParkedAction { webhooks, state: text("state"), dry_run: run == Some("dry"), ..ParkedAction::default() }
        }
    };
    let accept = form.fields("accept").into_iter().map(|text| Accept::from_str(text, false)).collect::<Result<_, _>>();
    let action = ParkedAction { accept: accept.map_err(Problem::Malformed)?, because: text("because"), ..of_these };
    let again = form.again(action.dry_run, &KEPT);
    Ok(go_to(&*act::begin(&console, &form.caller, what, action, again)?))
}

/// `source/id`, as check boxes name a webhook.
fn key(text: &str) -> Result<Key, Problem> {
    let (source, id) = text.split_once('/').ok_or_else(|| Problem::Malformed("key".to_owned()))?;
    Ok(Key { source: source.to_owned(), webhook_id: id.to_owned() })
}
