//! Sending again, holding, cancelling; pausing and resuming a destination. What is picked out by hand is done at once; all
//! that match a filter, and what is only to be tried, are jobs: the command line's own steering.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::db::console_audit::{Doing, Outcome};
use shared::db::outbox::steer::{self, Steer};
use shared::db::paused_effects::{self, Change};
use utoipa::ToSchema;

use super::list;
use crate::outbox::arguments::Listed;
use crate::outbox::destinations;
use crate::outbox::steer::{self as outbox, Chosen};
use crate::server::access::Caller;
use crate::server::audit::Entry;
use crate::server::jobs::{Job, Order};
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::steering::Reported;

/// The most rows that are steered at once.
const MAX_ROWS: usize = 1_000;
/// The longest name of an effect, and the longest reason.
const MAX_TEXT: usize = 500;

/// Which effects.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboxAction {
    /// These, by number, at most 1,000. Give these or a filter.
    #[serde(default)]
    pub(crate) ids: Vec<i64>,
    /// All that match.
    #[serde(default)]
    pub(crate) filter: Option<OutboxFilter>,
    /// Only say what would be done.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// Effects by what they have in common.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutboxFilter {
    /// As a list's `show`; if it is not given: what waits for `hold`, else what needs a person.
    pub(crate) show: String,
    /// Those of one configured effect.
    pub(crate) effect: String,
}

/// What an action came to.
pub(crate) enum Done {
    /// It is done.
    AtOnce(Steered),
    /// It is being done.
    Begun(Arc<Job>),
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Steered {
    /// These were changed.
    pub(crate) changed: Vec<i64>,
    /// How many were left alone: they are being sent, were sent, or are not there.
    pub(crate) left_alone: usize,
}

/// Does it, or begins to. `again` is the form that does in earnest what is only tried.
///
/// # Errors
/// When nothing is selected, too much is being done already, or the database is away.
pub(crate) async fn act(
    console: &Shared,
    caller: &Caller,
    what: Steer,
    action: &OutboxAction,
    again: Vec<(String, String)>,
) -> Result<Done, Problem> {
    let chosen = match (action.ids.as_slice(), &action.filter) {
        ([_, ..], Some(_)) => return Err(Problem::Malformed("give numbers or a filter, not both".to_owned())),
        ([], None) => {
            return Err(Problem::Malformed(
                "nothing is selected: select effects, or all that match the filter".to_owned(),
            ));
        }
        (ids, None) if ids.len() > MAX_ROWS => {
            return Err(Problem::Malformed(format!("at most {MAX_ROWS} effects; use a filter")));
        }
        (ids, None) => Chosen::Named(ids.to_vec()),
        ([], Some(filter)) => matching(what, filter)?,
    };
    let (name, subject, request) = chosen.told(what);
    if action.filter.is_none() && !action.dry_run {
        let doing = Doing { action: name, subject: &subject, request: &request };
        return Ok(Done::AtOnce(steer(console, caller, (what, &action.ids), &doing).await?));
    }
    let order = Order {
        action: name,
        subject,
        request,
        is_dry: action.dry_run,
        again,
        again_to: "/outbox/act",
        unit: "effects",
        about: None,
    };
    let is_dry = action.dry_run;
    let job = console.jobs.begin(console, caller, order, |console, job, stop| async move {
        let client = console.job_pool.get().await?;
        let survey = outbox::survey(&client, &chosen, what).await?;
        job.expect(survey.total());
        if is_dry {
            return Ok(survey);
        }
        Ok(outbox::run(&client, &chosen, what, &stop, &|rows| job.advance(rows)).await)
    })?;
    Ok(Done::Begun(job))
}

/// All that match.
fn matching(what: Steer, filter: &OutboxFilter) -> Result<Chosen, Problem> {
    let by_default = if what == Steer::Hold { Listed::Pending } else { Listed::Attention };
    let show = list::listed(&filter.show)?.unwrap_or(by_default).show();
    Ok(Chosen::Matching { show, effect: list::given(&filter.effect).map(str::to_owned) })
}

async fn steer(
    console: &Shared,
    caller: &Caller,
    (what, ids): (Steer, &[i64]),
    doing: &Doing<'_>,
) -> Result<Steered, Problem> {
    let client = console.database().await?;
    let entry = Entry::begin(&client, caller, doing).await?;
    match steer::steer(&client, what, ids).await {
        Ok(changed) => {
            let left_alone = ids.len().saturating_sub(changed.len());
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
/// When the effect or the reason is empty or too long, nothing leaves the database by that name, it was so already, or the
/// database is away.
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
    if because.is_some() {
        destinations::refuse_unknown(&console.config, effect)
            .map_err(|unknown| Problem::Malformed(unknown.to_string()))?;
    }
    let client = console.database().await?;
    let name = if because.is_some() { "destination.pause" } else { "destination.resume" };
    let doing = Doing { action: name, subject: effect, request: &json!({ "effect": effect, "because": because }) };
    let entry = Entry::begin(&client, caller, &doing).await?;
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
