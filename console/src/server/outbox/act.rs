//! Sending again, holding, cancelling; pausing and resuming a destination. Done at once: nothing here takes long.

use serde::{Deserialize, Serialize};
use shared::db::console_audit::Outcome;
use shared::db::outbox::steer::{self, Steer};
use shared::db::paused_effects::{self, Change};
use utoipa::ToSchema;

use crate::server::access::Caller;
use crate::server::audit::Entry;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// The most rows that are steered at once.
const MAX_ROWS: usize = 1_000;
/// The longest name of an effect, and the longest reason.
const MAX_TEXT: usize = 500;

/// Which effects.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboxAction {
    /// By number, at most 1,000.
    pub(crate) ids: Vec<i64>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Steered {
    /// These were changed.
    pub(crate) changed: Vec<i64>,
    /// How many were left alone: they are being sent, were sent, or are not there.
    pub(crate) left_alone: usize,
}

/// Does it.
///
/// # Errors
/// When nothing is selected, or the database is away.
pub(crate) async fn steer(
    console: &Shared,
    caller: &Caller,
    what: Steer,
    action: &OutboxAction,
) -> Result<Steered, Problem> {
    if action.ids.is_empty() || action.ids.len() > MAX_ROWS {
        return Err(Problem::Malformed(format!("select 1 to {MAX_ROWS} effects")));
    }
    let name = match what {
        Steer::Resend => "outbox.resend",
        Steer::Hold => "outbox.hold",
        Steer::Cancel => "outbox.cancel",
    };
    let ids: Vec<String> = action.ids.iter().map(ToString::to_string).collect();
    let client = console.database().await?;
    let entry = Entry::begin(&client, caller, name, &ids.join(" ")).await?;
    match steer::steer(&client, what, &action.ids).await {
        Ok(changed) => {
            let left_alone = action.ids.len().saturating_sub(changed.len());
            let outcome = if changed.is_empty() { Outcome::Refused } else { Outcome::Done };
            entry.finish(&client, outcome, &format!("{} changed, {left_alone} left alone", changed.len())).await;
            Ok(Steered { changed, left_alone })
        }
        Err(error) => {
            entry.finish(&client, Outcome::Failed, "the database failed").await;
            Err(error.into())
        }
    }
}

/// Pauses a destination, or resumes it when no reason is given.
///
/// # Errors
/// When it was so already, or the database is away.
pub(crate) async fn pause(
    console: &Shared,
    caller: &Caller,
    effect: &str,
    because: Option<&str>,
) -> Result<(), Problem> {
    if effect.is_empty() || effect.len() > MAX_TEXT || because.is_some_and(|why| why.is_empty() || why.len() > MAX_TEXT)
    {
        return Err(Problem::Malformed("name the effect, and say why".to_owned()));
    }
    let client = console.database().await?;
    let name = if because.is_some() { "destination.pause" } else { "destination.resume" };
    let entry = Entry::begin(&client, caller, name, effect).await?;
    let changed = match because {
        Some(because) => paused_effects::pause(&client, effect, &caller.person, because).await,
        None => paused_effects::resume(&client, effect).await,
    };
    match changed {
        Ok(Change::Changed) => {
            entry.finish(&client, Outcome::Done, because.unwrap_or_default()).await;
            Ok(())
        }
        Ok(Change::WasSo) => {
            entry.finish(&client, Outcome::Refused, "it was so already").await;
            Err(Problem::Conflict("it was so already".to_owned()))
        }
        Err(error) => {
            entry.finish(&client, Outcome::Failed, "the database failed").await;
            Err(error.into())
        }
    }
}
