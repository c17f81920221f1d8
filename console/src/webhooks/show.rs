//! All that is known of one webhook, processed or not.

use std::collections::BTreeMap;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::db::outbox::attempts::AttemptRow;
use shared::db::outbox::rows::OutboxRow;
use shared::db::processed_webhooks::WebhookKey;
use shared::db::webhook_failures::FailureRow;
use time::format_description::well_known::Rfc3339;

use super::Known;
use super::entry::Standing;
use super::timeline::{Moment, timeline};
use crate::output::{Shown, printable, table};
use crate::parked::body::{ShownBody, masked};

/// One webhook.
#[derive(Debug, Serialize)]
pub(crate) struct Details {
    #[serde(flatten)]
    key: WebhookKey,
    topic: Option<String>,
    /// `completed`, `skipped`, a parked one's state, `retrying`, or `forgotten`: it has failed, and what it came to is purged.
    status: String,
    duplicates: i32,
    /// How many of the duplicates had another body.
    changed_bodies: i32,
    /// What effects left out, and why.
    skips: Vec<String>,
    /// SHA-256 of the body, in hex.
    body_sha256: Option<String>,
    /// The W3C trace id that it came with or was given; log lines carry it, too.
    trace_id: Option<String>,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    /// Every failed attempt that is on record.
    failures: Vec<FailureRow>,
    effects: Vec<OutboxRow>,
    /// Every attempt to send them that did not succeed and is on record.
    effect_attempts: Vec<AttemptRow>,
    timeline: Vec<Moment>,
    /// `null` when it is purged, or on the retry ladder, where only the queue has it.
    body: Option<ShownBody>,
}

/// All that is known of a webhook. `days` is for how long ids of processed ones are kept.
///
/// # Errors
/// When nothing is.
pub(crate) async fn details(client: &Client, days: i32, key: &WebhookKey) -> anyhow::Result<Details> {
    let known = known(client, days, key).await?;
    let content = known.content(client, key).await.context("cannot read the body")?;
    let timeline = timeline(&known);
    let status = status(&known).to_owned();
    let trace_id = known.trace_id(key, content.as_ref());
    let Known { processed, parked, failures, effects, attempts, .. } = known;
    let (content_type, headers, body) = content.map_or_else(Default::default, |content| {
        (content.content_type, masked(content.headers), Some(ShownBody::from(content.body)))
    });
    let (row, waiting) = (processed.as_ref(), parked.as_ref());
    let skips = row.map(|row| row.skips.iter().map(|skip| format!("{}: {}", skip.by, skip.reason)).collect());
    Ok(Details {
        key: key.clone(),
        topic: row
            .map(|row| row.topic.clone())
            .or_else(|| waiting.map(|row| row.topic.clone()))
            .or_else(|| failures.last().and_then(|failure| failure.topic.clone())),
        status,
        duplicates: row.map_or(0, |row| row.duplicates),
        changed_bodies: row.map_or(0, |row| row.changed_bodies),
        skips: skips.unwrap_or_default(),
        body_sha256: row.map(|row| row.body_sha256.clone()).or_else(|| waiting.map(|row| row.body_sha256.clone())),
        trace_id,
        content_type,
        headers,
        failures,
        effects,
        effect_attempts: attempts,
        timeline,
        body,
    })
}

/// The body, byte for byte.
///
/// # Errors
/// When it is not there.
pub(crate) async fn raw(client: &Client, days: i32, key: &WebhookKey) -> anyhow::Result<Vec<u8>> {
    let known = known(client, days, key).await?;
    let content = known.content(client, key).await.context("cannot read the body")?;
    let content = content.context("its body is not there: it is purged, or the webhook waits in a retry queue")?;
    Ok(content.body)
}

async fn known(client: &Client, days: i32, key: &WebhookKey) -> anyhow::Result<Known> {
    let known = Known::read(client, days, key).await.context("cannot read what is known of the webhook")?;
    known.with_context(|| {
        let WebhookKey { source, webhook_id } = key;
        format!("nothing is known of a webhook {webhook_id} of source {source}: it may be purged, or still on its way")
    })
}

fn status(known: &Known) -> &'static str {
    match (&known.processed, &known.retrying, &known.parked) {
        (Some(row), ..) => row.status.as_str(),
        (None, Some(_row), _) => Standing::Retrying.as_str(),
        (None, None, Some(row)) => row.state.as_str(),
        (None, None, None) => "forgotten",
    }
}

impl Shown for Details {
    fn text(&self) -> String {
        let time = |time: time::OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
        let mut facts = vec![
            ("source", self.key.source.clone()),
            ("id", self.key.webhook_id.clone()),
            ("topic", self.topic.clone().unwrap_or_else(|| "-".to_owned())),
            ("status", self.status.clone()),
            ("duplicates", format!("{}, {} with another body", self.duplicates, self.changed_bodies)),
        ];
        facts.extend(self.skips.iter().map(|skip| ("left out", skip.clone())));
        facts.extend(self.body_sha256.iter().map(|hash| ("body's SHA-256", hash.clone())));
        facts.extend(self.trace_id.iter().map(|id| ("trace", id.clone())));
        facts.extend(self.content_type.iter().map(|kind| ("content type", kind.clone())));
        let mut text: String =
            facts.into_iter().map(|(what, fact)| format!("{what:<18}{}\n", printable(&fact))).collect();
        let row = |event: &Moment| [time(event.at), printable(&event.what)];
        text += &format!("\n{}", table(["WHEN", "WHAT"], self.timeline.iter().map(row)));
        if !self.effects.is_empty() {
            let row = |row: &OutboxRow| {
                let state = if row.ambiguous { format!("{}, ambiguous", row.state) } else { row.state.clone() };
                let error = row.last_error.clone().unwrap_or_else(|| "-".to_owned());
                [row.id.to_string(), row.effect.clone(), state, row.attempts.to_string(), error]
                    .map(|cell| printable(&cell))
            };
            let head = ["OUTBOX", "EFFECT", "STATE", "ATTEMPTS", "LAST ERROR"];
            text += &format!("\n{}", table(head, self.effects.iter().map(row)));
        }
        if !self.headers.is_empty() {
            let row = |(name, value): (&String, &String)| [printable(name), printable(value)];
            text += &format!("\n{}", table(["HEADER", "VALUE"], self.headers.iter().map(row)));
        }
        let body = self.body.as_ref().map_or_else(|| "(the body is not there)\n".to_owned(), ShownBody::text);
        text + "\n" + &body
    }
}
