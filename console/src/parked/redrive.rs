//! Puts parked webhooks back on the queue.
//!
//! Group by group: take the rows (committed), publish their bodies with confirms, note the confirms. A row stays
//! open until the worker's claim resolves it. Cut off at any point, what was taken counts as parked again after a
//! minute; sent twice, it runs once, by the claim.

use std::collections::HashMap;

use anyhow::Context;
use deadpool_postgres::Client;
use futures_util::future::join_all;
use shared::amqp::PublishError;
use shared::db::parked_webhooks::rows::ParkedRow;
use shared::db::parked_webhooks::steer::{self, Taken};
use shared::db::processed_webhooks::WebhookKey;
use shared::error_chain::error_chain;
use shared::failpoint;
use shared::message::{Message, sha256};
use time::OffsetDateTime;

use super::selection::{Selection, Walk};
use super::ticket::{Refusal, Rules, Ticket};
use crate::steering::{Action, Outlet, Pace, Report, Reported, Tense, Turn, traceparent};

/// Counts what would be redriven and what would be refused. Changes nothing.
pub(crate) async fn survey(client: &Client, selection: &Selection, rules: &Rules) -> anyhow::Result<Report> {
    let mut report = Report::new(Action::Redrive, Tense::Would);
    let mut walk = Walk::begin(client, selection).await?;
    loop {
        let page = walk.next().await?;
        if page.is_empty() {
            return Ok(report);
        }
        for (row, _ticket) in passing(page, rules, &mut report) {
            report.done(&row.key.source, row.reason.as_str());
        }
    }
}

/// What redriving needs.
pub(crate) struct Redrive<'a> {
    pub(crate) client: &'a Client,
    pub(crate) rules: &'a Rules,
    pub(crate) outlet: &'a Outlet,
    pub(crate) pace: Pace,
    /// Told how many webhooks have been dealt with.
    pub(crate) progress: &'a (dyn Fn(usize) + Sync),
}

impl Redrive<'_> {
    /// Redrives a selection.
    ///
    /// # Errors
    /// When it cannot be begun. What stops it later stands in the report, beside what was done until then.
    pub(crate) async fn run(mut self, selection: &Selection) -> anyhow::Result<Report> {
        let mut report = Report::new(Action::Redrive, Tense::Done);
        let walk = Walk::begin(self.client, selection).await?;
        if let Err(error) = self.pages(walk, &mut report).await {
            report.stop(error_chain(error.as_ref()));
        }
        Ok(report)
    }

    async fn pages(&mut self, mut walk: Walk<'_>, report: &mut Report) -> anyhow::Result<()> {
        loop {
            let page = walk.next().await?;
            if page.is_empty() {
                return Ok(());
            }
            let passing = passing(page, self.rules, report);
            for group in self.pace.groups(passing, |(row, _ticket)| row.body_bytes) {
                let webhooks = group.len();
                if self.pace.turn(webhooks).await == Turn::Stop {
                    report.stop("interrupted".to_owned());
                    return Ok(());
                }
                self.group(group, report).await?;
                (self.progress)(webhooks);
                if report.is_stopped() {
                    return Ok(());
                }
            }
        }
    }

    /// Takes a group, publishes it, and settles it.
    async fn group(&self, group: Vec<(ParkedRow, Ticket)>, report: &mut Report) -> anyhow::Result<()> {
        let seen: Vec<&ParkedRow> = group.iter().map(|(row, _ticket)| row).collect();
        let taken = steer::begin(self.client, &seen).await.context("cannot take parked webhooks")?;
        failpoint::reach("console.taken");
        report.overtaken(seen.len().saturating_sub(taken.len()));
        let mut tickets: HashMap<WebhookKey, Ticket> =
            group.into_iter().map(|(row, ticket)| (row.key, ticket)).collect();
        let mut rows = Vec::with_capacity(taken.len());
        let mut messages = Vec::with_capacity(taken.len());
        for Taken { row, content } in taken {
            if let Some(ticket) = tickets.remove(&row.key) {
                messages.push(message(&row, ticket, content));
                rows.push(row);
            }
        }
        let published = join_all(messages.iter().map(|message| self.outlet.publish(message))).await;
        drop(messages);
        self.settle(&rows, &published, report).await
    }

    /// Notes what was confirmed, and gives back what was not.
    async fn settle(
        &self,
        rows: &[ParkedRow],
        published: &[Result<(), PublishError>],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let (mut confirmed, mut unpublished) = (Vec::new(), Vec::new());
        let mut stopped_by = None;
        for (row, published) in rows.iter().zip(published) {
            match published {
                Ok(()) => {
                    report.done(&row.key.source, row.reason.as_str());
                    confirmed.push(row);
                }
                Err(error) => {
                    unpublished.push(row);
                    if error.is_for_good() {
                        report.refuse(&row.key, &Refusal::Unsendable);
                    } else {
                        stopped_by = Some(*error);
                    }
                }
            }
        }
        if let Some(error) = stopped_by {
            let count = unpublished.len();
            report.stop(format!("{error}; {count} webhooks are parked as before, redrive them again"));
        }
        let late = "what was taken counts as parked again after a minute, and redriving it again is safe";
        steer::settle(self.client, &confirmed).await.with_context(|| format!("cannot note the confirms; {late}"))?;
        failpoint::reach("console.settled");
        steer::release(self.client, &unpublished)
            .await
            .with_context(|| format!("cannot give back what was not published; {late}"))?;
        Ok(())
    }
}

/// Those that may go back; the others are refused in the report.
fn passing(page: Vec<ParkedRow>, rules: &Rules, report: &mut Report) -> Vec<(ParkedRow, Ticket)> {
    let at = OffsetDateTime::now_utc();
    let mut passing = Vec::with_capacity(page.len());
    for row in page {
        match rules.judge(&row, at) {
            Ok(ticket) => passing.push((row, ticket)),
            Err(refusal) => report.refuse(&row.key, &refusal),
        }
    }
    passing
}

/// The webhook as it was, at the ladder's foot again.
fn message(row: &ParkedRow, ticket: Ticket, content: shared::db::Content) -> Message {
    Message {
        source: ticket.source,
        provider: ticket.provider,
        id: ticket.id,
        topic: row.topic.clone(),
        received_at: row.received_at,
        content_type: content.content_type,
        headers: content.headers.into_iter().collect(),
        body_sha256: sha256(&content.body),
        attempt: 0,
        traceparent: traceparent(content.trace_id.as_deref()),
        steering: Some(ticket.steering),
        body: content.body.into(),
    }
}
