//! Gives parked webhooks up, with the reason why. Nothing is deleted: they can be looked at, and redriven.

use anyhow::Context;
use deadpool_postgres::Client;
use shared::db::parked_webhooks::rows::ParkedRow;
use shared::db::parked_webhooks::steer;
use shared::db::storable;
use shared::error_chain::error_chain;
use tokio_util::sync::CancellationToken;

use super::selection::{Selection, Walk};
use crate::steering::{Action, Report, Tense};

/// Counts what would be discarded. Changes nothing.
pub(crate) async fn survey(client: &Client, selection: &Selection) -> anyhow::Result<Report> {
    let mut report = Report::new(Action::Discard, Tense::Would);
    let mut walk = Walk::begin(client, selection).await?;
    loop {
        let page = walk.next().await?;
        if page.is_empty() {
            return Ok(report);
        }
        for row in page {
            report.done(&row.key.source, row.reason.as_str());
        }
    }
}

/// Discards a selection page by page until told to stop; `progress` is told of every page.
///
/// # Errors
/// When it cannot be begun. What stops it later stands in the report, beside what was done until then.
pub(crate) async fn discard(
    client: &Client,
    selection: &Selection,
    because: &str,
    stop: &CancellationToken,
    progress: &(dyn Fn(usize) + Sync),
) -> anyhow::Result<Report> {
    let (mut report, because) = (Report::new(Action::Discard, Tense::Done), storable(because));
    let walk = Walk::begin(client, selection).await?;
    if let Err(error) = pages(client, walk, (&*because, stop, progress), &mut report).await {
        report.stop(error_chain(error.as_ref()));
    }
    Ok(report)
}

async fn pages(
    client: &Client,
    mut walk: Walk<'_>,
    (because, stop, progress): (&str, &CancellationToken, &(dyn Fn(usize) + Sync)),
    report: &mut Report,
) -> anyhow::Result<()> {
    loop {
        let page = walk.next().await?;
        if page.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(!stop.is_cancelled(), "interrupted");
        let seen: Vec<&ParkedRow> = page.iter().collect();
        let discarded = steer::discard(client, &seen, because).await.context("cannot discard parked webhooks")?;
        report.overtaken(page.len().saturating_sub(discarded.len()));
        for row in page.iter().filter(|row| discarded.contains(&row.key)) {
            report.done(&row.key.source, row.reason.as_str());
        }
        progress(page.len());
    }
}
