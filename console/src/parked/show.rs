//! All that is known of one parked webhook.

use std::collections::BTreeMap;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::Content;
use shared::db::parked_webhooks::rows::{self, ParkedRow};
use shared::db::processed_webhooks::WebhookKey;
use shared::db::webhook_failures::{self, FailureRow};
use time::format_description::well_known::Rfc3339;

use super::body::{ShownBody, masked};
use super::mend::mend;
use crate::output::{Shown, printable, table};

/// One parked webhook.
#[derive(Debug, Serialize)]
pub(crate) struct Details {
    #[serde(flatten)]
    row: ParkedRow,
    /// The W3C trace id that it came with or was given; log lines carry it, too.
    trace_id: Option<String>,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    /// Every failed attempt that is on record.
    failures: Vec<FailureRow>,
    body: ShownBody,
}

/// All that is known of a parked webhook, whatever its state.
///
/// # Errors
/// When it is not there.
pub(crate) async fn details(client: &Client, key: &WebhookKey) -> anyhow::Result<Details> {
    let row = rows::find(client, key).await.context("cannot read the parked webhook")?;
    let row = row.with_context(|| missing(key))?;
    let Content { content_type, headers, body, trace_id } = content(client, key).await?;
    let failures = webhook_failures::list(client, key).await.context("cannot read the failed attempts")?;
    Ok(Details { row, trace_id, content_type, headers: masked(headers), failures, body: body.into() })
}

/// The body, byte for byte.
///
/// # Errors
/// When it is not there, or purged.
pub(crate) async fn raw(client: &Client, key: &WebhookKey) -> anyhow::Result<Vec<u8>> {
    let row = rows::find(client, key).await.context("cannot read the parked webhook")?.with_context(|| missing(key))?;
    anyhow::ensure!(!row.is_purged, "its body is purged (retention.payload_days)");
    Ok(content(client, key).await?.body)
}

async fn content(client: &Client, key: &WebhookKey) -> anyhow::Result<Content> {
    let content = rows::content(client, key).await.context("cannot read the parked webhook")?;
    content.with_context(|| missing(key))
}

fn missing(key: &WebhookKey) -> String {
    format!("no webhook {} of source {} is parked", key.webhook_id, key.source)
}

impl Shown for Details {
    fn text(&self) -> String {
        let row = &self.row;
        let time = |time: time::OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
        let mut facts = vec![
            ("source", row.key.source.clone()),
            ("id", row.key.webhook_id.clone()),
            ("topic", row.topic.clone()),
            ("state", format!("{} since {}", row.state.as_str(), time(row.changed_at))),
            ("reason", row.reason.to_string()),
            ("detail", row.detail.clone()),
            ("attempts", row.attempts.to_string()),
            ("received", time(row.received_at)),
            ("parked", time(row.parked_at)),
        ];
        facts.extend(row.waits.then(|| ("to do", mend(&row.reason).to_owned())));
        facts.extend(row.redriven_at.map(|at| ("redriven", time(at))));
        facts.extend(row.discarded_because.clone().map(|because| ("discarded because", because)));
        if let Some(replay) = &row.replay {
            facts.push(("replay of", format!("{} in run {} ({})", replay.of, replay.run, replay.mode)));
        }
        facts.push(("body", format!("{} bytes, SHA-256 {}", row.body_bytes, row.body_sha256)));
        facts.extend(self.trace_id.clone().map(|id| ("trace", id)));
        facts.extend(self.content_type.clone().map(|kind| ("content type", kind)));
        let mut text: String =
            facts.into_iter().map(|(what, fact)| format!("{what:<18}{}\n", printable(&fact))).collect();
        if !self.headers.is_empty() {
            let row = |(name, value): (&String, &String)| [printable(name), printable(value)];
            text += &format!("\n{}", table(["HEADER", "VALUE"], self.headers.iter().map(row)));
        }
        if !self.failures.is_empty() {
            let row = |failure: &FailureRow| {
                let attempt = failure.attempt.to_string();
                [time(failure.occurred_at), attempt, failure.outcome.clone(), printable(&failure.error)]
            };
            text += &format!("\n{}", table(["FAILED", "ATTEMPT", "OUTCOME", "ERROR"], self.failures.iter().map(row)));
        }
        let body = if row.is_purged { "(purged: retention.payload_days)\n".to_owned() } else { self.body.text() };
        text + "\n" + &body
    }
}
