//! Which parked webhooks a command acts on: one by its id, or all that match a filter, page by page.

use std::collections::BTreeMap;

use anyhow::Context;
use deadpool_postgres::Client;
use serde_json::{Value, json};
use shared::db::parked_webhooks::rows::{self, ParkState, ParkedCursor, ParkedFilter, ParkedRow, Standing};
use shared::db::processed_webhooks::WebhookKey;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Rows without bodies that are in memory at once.
const PAGE: i64 = 1_000;

/// What a command acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// One webhook, if it is where it was expected.
    One(WebhookKey, Standing),
    /// Those that a person has picked out, as far as they are where they were expected.
    Chosen(Vec<WebhookKey>, Standing),
    /// All that match.
    Matching(ParkedFilter),
}

impl Selection {
    /// As the audit says it: for a person in short, and in full, beside how it is done.
    pub(crate) fn told(&self, how: Value) -> (String, Value) {
        let short = |key: &WebhookKey| format!("{} {}", key.source, key.webhook_id);
        let (subject, name, which) = match self {
            Self::One(key, _) => (short(key), "webhooks", json!([key])),
            Self::Chosen(keys, _) => {
                let more = keys.len().saturating_sub(3);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let some: Vec<String> = keys.iter().take(3).map(short).collect();
                (some.join(", ") + &more, "webhooks", json!(keys))
            }
            Self::Matching(filter) => {
                let fields = fields(filter);
                let all: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let subject = if all.is_empty() { "all that wait".to_owned() } else { all.join(" ") };
                (subject, "filter", json!(fields))
            }
        };
        let mut request = serde_json::Map::from_iter([(name.to_owned(), which)]);
        if let Value::Object(how) = how {
            request.extend(how);
        }
        (subject, Value::Object(request))
    }
}

/// What a filter asks for beyond that it waits.
fn fields(filter: &ParkedFilter) -> BTreeMap<&'static str, String> {
    let ParkedFilter { standing, source, reason, topic, since, until } = filter;
    let time = |at: &Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
    let state = match standing {
        Standing::Waiting => None,
        Standing::Open => Some("open".to_owned()),
        Standing::In(state) => Some(state.as_str().to_owned()),
        Standing::Any => Some("any".to_owned()),
    };
    let fields = [
        ("state", state),
        ("source", source.clone()),
        ("reason", reason.map(|reason| reason.as_str().to_owned())),
        ("topic", topic.clone()),
        ("since", time(since)),
        ("until", time(until)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Why the one webhook is not acted on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHere {
    #[error("no webhook {id} of source {source_name} is parked")]
    Unknown { source_name: String, id: String },
    #[error("it was processed on {0}; to run it again on purpose: oncehook replay SOURCE ID")]
    Resolved(String),
    #[error("it has been on its way since {0}; to send it once more: --state redriving")]
    Redriving(String),
    #[error("it was discarded ({0}); to redrive it nevertheless: --state discarded")]
    Discarded(String),
    #[error("it is {0}, not what --state says")]
    Elsewhere(&'static str),
}

/// A selection's rows, page by page. What is parked after the beginning is not among them.
pub(crate) struct Walk<'c> {
    client: &'c Client,
    rest: Rest,
}

enum Rest {
    One(Box<ParkedRow>),
    Chosen(Vec<WebhookKey>, Standing),
    Matching(ParkedFilter, Option<ParkedCursor>),
    Nothing,
}

impl<'c> Walk<'c> {
    /// Begins to walk.
    ///
    /// # Errors
    /// When the one webhook is not there or not in the expected state.
    pub(crate) async fn begin(client: &'c Client, selection: &Selection) -> anyhow::Result<Self> {
        let rest = match selection {
            Selection::One(key, standing) => Rest::One(Box::new(one(client, key, *standing).await?)),
            Selection::Chosen(keys, standing) => Rest::Chosen(keys.clone(), *standing),
            Selection::Matching(filter) => {
                let now = shared::db::now(client).await.context("cannot ask the database for the time")?;
                let until = Some(filter.until.map_or(now, |until| until.min(now)));
                Rest::Matching(ParkedFilter { until, ..filter.clone() }, None)
            }
        };
        Ok(Self { client, rest })
    }

    /// The next rows; none at the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Vec<ParkedRow>> {
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::One(row) => Ok(vec![*row]),
            Rest::Nothing => Ok(Vec::new()),
            Rest::Chosen(keys, standing) => chosen(self.client, &keys, standing).await,
            Rest::Matching(filter, after) => {
                let page = rows::page(self.client, &filter, after.as_ref(), PAGE).await;
                let page = page.context("cannot read the parked webhooks")?;
                if let Some(last) = page.last() {
                    self.rest = Rest::Matching(filter, Some(last.cursor()));
                }
                Ok(page)
            }
        }
    }
}

/// Those of the chosen ones that are where they were expected. What somebody else was faster with is left out.
async fn chosen(client: &Client, keys: &[WebhookKey], standing: Standing) -> anyhow::Result<Vec<ParkedRow>> {
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let row = rows::find(client, key).await.context("cannot read the parked webhooks")?;
        rows.extend(row.filter(|row| stands(row, standing)));
    }
    Ok(rows)
}

fn stands(row: &ParkedRow, standing: Standing) -> bool {
    match standing {
        Standing::Waiting => row.waits,
        Standing::Open => matches!(row.state, ParkState::Parked | ParkState::Redriving),
        Standing::In(state) => row.state == state,
        Standing::Any => true,
    }
}

async fn one(client: &Client, key: &WebhookKey, standing: Standing) -> anyhow::Result<ParkedRow> {
    let row = rows::find(client, key).await.context("cannot read the parked webhook")?;
    let (source_name, id) = (key.source.clone(), key.webhook_id.clone());
    let row = row.ok_or(NotHere::Unknown { source_name, id })?;
    let since = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    if stands(&row, standing) {
        return Ok(row);
    }
    Err(match row.state {
        ParkState::Resolved => NotHere::Resolved(since(row.changed_at)),
        ParkState::Redriving if standing == Standing::Waiting => NotHere::Redriving(since(row.changed_at)),
        ParkState::Discarded if standing == Standing::Waiting => {
            NotHere::Discarded(row.discarded_because.unwrap_or_default())
        }
        state => NotHere::Elsewhere(state.as_str()),
    }
    .into())
}
