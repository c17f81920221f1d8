//! `oncehook purge`: what retention would delete now. The workers do it every hour by themselves; this is for whoever
//! wants to see it first, or cannot wait.
//!
//! Invariant: nothing is deleted before the retention of `oncehook.toml`, and nothing that a worker would keep: the list
//! and the statements are the workers' own.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use deadpool_postgres::Client;
use serde::Serialize;
use shared::config::{Config, RetentionConfig};
use shared::db::console_audit::Outcome;
use shared::db::retention::{self, Purge, days};
use shared::db::webhook_payloads;
use shared::error_chain::error_chain;

use crate::connect;
use crate::output::{Shown, table};
use crate::settings::Settings;
use crate::steering::{Audited, Progress, Tense};

/// The arguments of `purge`.
#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// Delete it. Otherwise it is only counted.
    #[arg(long)]
    yes: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Purged {
    tense: Tense,
    tables: Vec<PurgedTable>,
    /// Bodies go by the day: partitions, by name.
    partitions: Vec<String>,
    /// For how many days bodies are kept.
    payload_days: i32,
    /// Why it ended before it was through. What it did until then stands.
    stopped: Option<String>,
}

#[derive(Debug, Serialize)]
struct PurgedTable {
    table: &'static str,
    rows: u64,
    /// For how many days its rows are kept.
    days: i32,
}

/// Counts, and deletes if that was said.
///
/// # Errors
/// When the configuration is mistaken or the database away.
pub(crate) async fn purge(settings: &Settings, arguments: &PurgeArgs) -> anyhow::Result<Purged> {
    let config = Config::load(&settings.config)?.retention;
    let client = connect::database(settings).await?;
    let found = Progress::during("counting", survey(&client, &config)).await.context("cannot count what is old")?;
    if !arguments.yes {
        return Ok(found);
    }
    let rows = found.tables.iter().map(|table| table.rows).sum();
    let progress = Progress::counting(rows, "rows");
    let request = serde_json::to_value(&found).unwrap_or_default();
    let audited = Audited::begin(&client, "purge", ("what is older than it is kept", &request)).await?;
    let mut purged = Purged { tense: Tense::Done, tables: Vec::new(), partitions: Vec::new(), ..found };
    if let Err(error) = delete(&client, &config, &progress, &mut purged).await {
        purged.stopped = Some(error_chain(error.as_ref()));
    }
    let outcome = if purged.stopped.is_some() { Outcome::Failed } else { Outcome::Done };
    audited.finish(outcome, &purged.text()).await;
    Ok(purged)
}

async fn survey(client: &Client, config: &RetentionConfig) -> anyhow::Result<Purged> {
    let mut tables = Vec::new();
    for what in Purge::ALL {
        let rows = retention::count(client, what, config).await?;
        tables.push(PurgedTable { table: what.table(), rows: rows.unsigned_abs(), days: what.days(config) });
    }
    let payload_days = days(config.payload_days);
    let partitions = webhook_payloads::partitions_before(client, payload_days).await?;
    Ok(Purged { tense: Tense::Would, tables, partitions, payload_days, stopped: None })
}

/// As a worker does it; beside workers that do it, each row and each partition goes once.
async fn delete(
    client: &Client,
    config: &RetentionConfig,
    progress: &Progress,
    purged: &mut Purged,
) -> anyhow::Result<()> {
    let dropped = webhook_payloads::drop_partitions(client, purged.payload_days).await;
    purged.partitions = dropped.context("cannot drop old bodies; a long transaction may be reading them")?;
    for what in Purge::ALL {
        let mut table = PurgedTable { table: what.table(), rows: 0, days: what.days(config) };
        let outcome = loop {
            match retention::purge(client, what, config).await {
                Ok(0) => break Ok(()),
                Ok(rows) => {
                    table.rows += rows;
                    progress.advance(usize::try_from(rows).unwrap_or(usize::MAX));
                }
                Err(error) => break Err(error),
            }
        };
        purged.tables.push(table);
        outcome.with_context(|| format!("cannot purge {}", what.table()))?;
    }
    Ok(())
}

impl Purged {
    /// 1 when it ended early, 0 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.stopped.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Shown for Purged {
    fn text(&self) -> String {
        let row =
            |table: &PurgedTable| [table.table.to_owned(), table.rows.to_string(), format!("{} days", table.days)];
        let days = format!("{} days", self.payload_days);
        let payloads = ["webhook_payloads".to_owned(), format!("{} partitions", self.partitions.len()), days];
        let mut text = table(["TABLE", "ROWS", "KEPT FOR"], self.tables.iter().map(row).chain([payloads]));
        text += match self.tense {
            Tense::Would => {
                "would be deleted (of parked_webhooks and outbox: emptied), as the workers will within the hour; nothing is changed\n"
            }
            Tense::Done => "deleted (of parked_webhooks and outbox: emptied)\n",
        };
        if let Some(why) = &self.stopped {
            text += &format!("! stopped: {why}\n");
        }
        text
    }
}
