//! Pauses a destination and resumes it. Said again, it is no mistake: what is told is how it stands.

use anyhow::Context;
use deadpool_postgres::Client;
use serde::Serialize;
use serde_json::json;
use shared::config::Config;
use shared::db::console_audit::Outcome;
use shared::db::paused_effects::{self, Change, PausedEffect};
use shared::error_chain::error_chain;

use super::arguments::PauseArgs;
use super::destinations;
use crate::output::{Shown, printable};
use crate::steering::{Audited, terminal_user};

/// How an effect stands now.
#[derive(Debug, Serialize)]
pub(crate) struct Pause {
    effect: String,
    /// Whether it stood otherwise before.
    changed: bool,
    /// Who has paused it, and why; `null` while it is sent.
    paused: Option<PausedEffect>,
}

/// Pauses an effect.
///
/// # Errors
/// When there is no such effect, no reason is given, or the database is away.
pub(super) async fn pause(client: &Client, config: &Config, arguments: &PauseArgs) -> anyhow::Result<Pause> {
    let PauseArgs { effect, because, by } = arguments;
    anyhow::ensure!(!because.trim().is_empty(), "say --because of what");
    destinations::refuse_unknown(config, effect)?;
    let by = by.as_deref().map(str::trim).filter(|by| !by.is_empty()).map_or_else(terminal_user, str::to_owned);
    let request = json!({ "effect": effect, "because": because.trim(), "by": by });
    let audited = Audited::begin(client, "destination.pause", (effect, &request)).await?;
    let changed = paused_effects::pause(client, effect, &by, because.trim()).await.context("cannot pause the effect");
    let change = noted(audited, changed, because.trim()).await?;
    stands(client, effect.clone(), change).await
}

/// Resumes an effect, configured or not.
///
/// # Errors
/// When the database is away.
pub(super) async fn resume(client: &Client, effect: String) -> anyhow::Result<Pause> {
    let audited = Audited::begin(client, "destination.resume", (&effect, &json!({ "effect": effect }))).await?;
    let changed = paused_effects::resume(client, &effect).await.context("cannot resume the effect");
    let change = noted(audited, changed, "").await?;
    stands(client, effect, change).await
}

/// Notes in the audit what came of it, also when it failed.
async fn noted(audited: Audited<'_>, changed: anyhow::Result<Change>, because: &str) -> anyhow::Result<Change> {
    match &changed {
        Ok(Change::Changed) => audited.finish(Outcome::Done, because).await,
        Ok(Change::WasSo) => audited.finish(Outcome::Refused, because).await,
        Err(error) => audited.finish(Outcome::Failed, &error_chain(error.as_ref())).await,
    }
    changed
}

async fn stands(client: &Client, effect: String, change: Change) -> anyhow::Result<Pause> {
    let paused = paused_effects::list(client).await.context("cannot read what is paused")?;
    let paused = paused.into_iter().find(|paused| paused.effect == effect);
    Ok(Pause { effect, changed: change == Change::Changed, paused })
}

impl Shown for Pause {
    fn text(&self) -> String {
        let effect = printable(&self.effect);
        match (&self.paused, self.changed) {
            (Some(PausedEffect { paused_by, because, .. }), changed) => {
                let already = if changed { "" } else { " already" };
                format!("{effect} is paused{already}, by {}: {}\n", printable(paused_by), printable(because))
            }
            (None, true) => format!("{effect} is resumed: what is due goes at once\n"),
            (None, false) => format!("{effect} was not paused\n"),
        }
    }
}
