//! One run: finds what is to be replayed, reads its body, publishes it under the run's name.

use std::collections::BTreeMap;

use anyhow::Context;
use deadpool_postgres::Client;
use futures_util::future::join_all;
use shared::config::Config;
use shared::db::processed_webhooks::WebhookKey;
use shared::db::processed_webhooks::replays::{self, ProcessedCursor, ProcessedFilter, ProcessedRow};
use shared::db::{Content, webhook_payloads};
use shared::error_chain::error_chain;
use shared::message::{Message, Replay, ReplayMode, Steering, sha256};
use shared::name::Name;
use time::OffsetDateTime;

use crate::steering::{Action, Outlet, Pace, Report, Reported, Tense, Turn, traceparent};

/// Rows without bodies that are in memory at once.
const PAGE: i64 = 1_000;

/// What a run replays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// One webhook.
    One(WebhookKey),
    /// All that match and that the run has not done.
    Matching(ProcessedFilter),
}

/// How a run replays.
pub(crate) struct Run {
    pub(crate) name: Name,
    pub(crate) mode: ReplayMode,
    /// Each source's provider.
    sources: BTreeMap<Name, Name>,
}

/// Why the one webhook is not replayed.
#[derive(Debug, thiserror::Error)]
enum NotFirst {
    #[error("no webhook {id} of source {source_name} was processed, or its id is purged; see oncehook parked show")]
    Unknown { source_name: String, id: String },
    #[error("it is a replay of {0}; replay that")]
    IsReplay(String),
}

/// Why one of many is not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the run has done it already, with the options of that time; name another run, or none")]
    Taken,
    #[error("its body is purged (retention.payload_days), so there is nothing to run")]
    Purged,
    #[error("its source is not in the configuration, so no route would take it")]
    UnknownSource,
    #[error("it does not fit into a message")]
    Unsendable,
}

/// A webhook that can be replayed.
struct Candidate {
    row: ProcessedRow,
    source: Name,
    provider: Name,
    body_bytes: i64,
}

impl Run {
    pub(crate) fn new(name: Name, mode: ReplayMode, config: &Config) -> Self {
        let sources = config.sources.iter().map(|(name, source)| (name.clone(), source.provider.clone())).collect();
        Self { name, mode, sources }
    }

    /// Counts what would be replayed and what would be refused. Changes nothing.
    pub(crate) async fn survey(&self, client: &Client, selection: &Selection) -> anyhow::Result<Report> {
        let mut report = Report::new(Action::Replay, Tense::Would);
        let mut walk = Walk::begin(client, selection, self).await?;
        loop {
            let page = walk.next().await?;
            if page.is_empty() {
                return Ok(report);
            }
            for candidate in self.candidates(client, page, &mut report).await? {
                report.done(&candidate.row.key.source, candidate.row.status.as_str());
            }
        }
    }

    /// Those that can be replayed; the others are refused in the report.
    async fn candidates(
        &self,
        client: &Client,
        page: Vec<ProcessedRow>,
        report: &mut Report,
    ) -> anyhow::Result<Vec<Candidate>> {
        let stored: Vec<_> = page.iter().map(|row| (row.stored_on, &row.key)).collect();
        let sizes = webhook_payloads::sizes(client, &stored).await.context("cannot read the stored bodies")?;
        // Of many, those that the run has done are not on the page.
        let taken = match &page[..] {
            [one] => replays::is_taken(client, &one.key, self.name.as_str()).await,
            _many => Ok(false),
        };
        let taken = taken.context("cannot read what the run has done")?;
        let mut candidates = Vec::with_capacity(page.len());
        for row in page {
            if taken {
                report.refuse(&row.key, &Refusal::Taken);
                continue;
            }
            let source = self.sources.get_key_value(row.key.source.as_str());
            match (source, sizes.get(&row.key)) {
                (None, _) => report.refuse(&row.key, &Refusal::UnknownSource),
                (_, None) => report.refuse(&row.key, &Refusal::Purged),
                (Some((source, provider)), Some(bytes)) => {
                    let (source, provider) = (source.clone(), provider.clone());
                    candidates.push(Candidate { row, source, provider, body_bytes: *bytes });
                }
            }
        }
        Ok(candidates)
    }

    /// The webhook as it was, in this run.
    fn message(&self, candidate: &Candidate, content: Content) -> Message {
        let of = candidate.row.key.webhook_id.clone();
        let replay = Replay { of, run: self.name.clone(), mode: self.mode };
        Message {
            source: candidate.source.clone(),
            provider: candidate.provider.clone(),
            id: replay.id(),
            topic: candidate.row.topic.clone(),
            received_at: candidate.row.received_at,
            content_type: content.content_type,
            headers: content.headers.into_iter().collect(),
            body_sha256: sha256(&content.body),
            attempt: 0,
            traceparent: traceparent(content.trace_id.as_deref()),
            steering: Some(Steering { at: OffsetDateTime::now_utc(), replay: Some(replay) }),
            body: content.body.into(),
        }
    }
}

/// What carrying a run out needs.
pub(crate) struct Execution<'a> {
    pub(crate) run: &'a Run,
    pub(crate) client: &'a Client,
    pub(crate) outlet: &'a Outlet,
    pub(crate) pace: Pace,
    /// Told how many webhooks have been dealt with.
    pub(crate) progress: &'a (dyn Fn(usize) + Sync),
}

impl Execution<'_> {
    /// Carries the run out.
    ///
    /// # Errors
    /// When it cannot be begun. What stops it later stands in the report, beside what was done until then.
    pub(crate) async fn carry_out(mut self, selection: &Selection) -> anyhow::Result<Report> {
        let mut report = Report::new(Action::Replay, Tense::Done);
        report.run = Some(self.run.name.clone());
        let walk = Walk::begin(self.client, selection, self.run).await?;
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
            let candidates = self.run.candidates(self.client, page, report).await?;
            for group in self.pace.groups(candidates, |candidate| candidate.body_bytes) {
                if self.pace.turn(group.len()).await == Turn::Stop {
                    report.stop("interrupted".to_owned());
                    return Ok(());
                }
                self.group(&group, report).await?;
                (self.progress)(group.len());
                if report.is_stopped() {
                    return Ok(());
                }
            }
        }
    }

    /// Reads a group's bodies and publishes them.
    async fn group(&self, group: &[Candidate], report: &mut Report) -> anyhow::Result<()> {
        let mut messages = Vec::with_capacity(group.len());
        for candidate in group {
            let row = &candidate.row;
            let read = webhook_payloads::read(self.client, row.stored_on, &row.key).await;
            match read.context("cannot read a stored body")? {
                Some(content) => messages.push((row, self.run.message(candidate, content))),
                None => report.refuse(&row.key, &Refusal::Purged),
            }
        }
        let published = join_all(messages.iter().map(|(_row, message)| self.outlet.publish(message))).await;
        for ((row, _message), published) in messages.iter().zip(published) {
            match published {
                Ok(()) => report.done(&row.key.source, row.status.as_str()),
                Err(error) if error.is_for_good() => report.refuse(&row.key, &Refusal::Unsendable),
                Err(error) => report.stop(format!("{error}; go on with --run {}", self.run.name)),
            }
        }
        Ok(())
    }
}

/// A selection's rows, page by page. What is processed after the beginning is not among them.
struct Walk<'a> {
    client: &'a Client,
    run: &'a Run,
    rest: Rest,
}

enum Rest {
    One(Box<ProcessedRow>),
    Matching(ProcessedFilter, Option<ProcessedCursor>),
    Nothing,
}

impl<'a> Walk<'a> {
    async fn begin(client: &'a Client, selection: &Selection, run: &'a Run) -> anyhow::Result<Self> {
        let rest = match selection {
            Selection::One(key) => Rest::One(Box::new(one(client, key).await?)),
            Selection::Matching(filter) => {
                let now = shared::db::now(client).await.context("cannot ask the database for the time")?;
                let until = Some(filter.until.map_or(now, |until| until.min(now)));
                Rest::Matching(ProcessedFilter { until, ..filter.clone() }, None)
            }
        };
        Ok(Self { client, run, rest })
    }

    /// The next rows; none at the end.
    async fn next(&mut self) -> anyhow::Result<Vec<ProcessedRow>> {
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::One(row) => Ok(vec![*row]),
            Rest::Nothing => Ok(Vec::new()),
            Rest::Matching(filter, after) => {
                let page = replays::page(self.client, &filter, self.run.name.as_str(), after.as_ref(), PAGE).await;
                let page = page.context("cannot read the processed webhooks")?;
                if let Some(last) = page.last() {
                    self.rest = Rest::Matching(filter, Some(last.cursor()));
                }
                Ok(page)
            }
        }
    }
}

async fn one(client: &Client, key: &WebhookKey) -> anyhow::Result<ProcessedRow> {
    let row = replays::find(client, key).await.context("cannot read the processed webhook")?;
    let (source_name, id) = (key.source.clone(), key.webhook_id.clone());
    let row = row.ok_or(NotFirst::Unknown { source_name, id })?;
    match row.replay {
        Some((of, _run)) => Err(NotFirst::IsReplay(of).into()),
        None => Ok(row),
    }
}
