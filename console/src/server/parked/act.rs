//! Redriving and discarding from the console: the command line's own steering, as jobs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::db::processed_webhooks::WebhookKey;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::list::ParkedQuery;
use crate::parked::discard;
use crate::parked::redrive::{self, Redrive};
use crate::parked::selection::Selection;
use crate::parked::ticket::{Accept, Rules};
use crate::server::access::Caller;
use crate::server::jobs::{Job, Order};
use crate::server::page;
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::steering::{DEFAULT_RATE, Outlet, Pace, Report, Reported};

/// The most webhooks that are picked out by hand.
const MAX_CHOSEN: usize = 1_000;
/// The longest reason, in characters.
const MAX_BECAUSE: usize = 500;

/// What to do with parked webhooks.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParkedAction {
    /// These, by source and id, as far as they are in `state`. Give these or a filter.
    #[serde(default)]
    pub(crate) webhooks: Vec<Key>,
    /// Where `webhooks` are, in a filter's words; `waiting` if it is not given. A filter says its own.
    #[serde(default)]
    pub(crate) state: String,
    /// All that match; one with no field takes all that wait.
    pub(crate) filter: Option<ParkedQuery>,
    /// Only say what would be done.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Redrive: webhooks a second, 0 for no limit; 100 if it is not given.
    pub(crate) rate: Option<u32>,
    /// Redrive what is refused otherwise, having looked at it: `too-old`, `changed-body`, `unreadable`.
    #[serde(default)]
    pub(crate) accept: Vec<Accept>,
    /// Discard: why; kept beside the webhook.
    #[serde(default)]
    pub(crate) because: String,
}

/// What a webhook is known by.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) source: String,
    pub(crate) webhook_id: String,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Redrive,
    Discard,
}

impl ParkedAction {
    fn selection(&self) -> Result<Selection, Problem> {
        match (self.webhooks.as_slice(), &self.filter) {
            ([], None) => {
                Err(Problem::Malformed("nothing is selected: select webhooks, or all that match the filter".to_owned()))
            }
            ([_, ..], Some(_)) => Err(Problem::Malformed("give webhooks or a filter, not both".to_owned())),
            ([], Some(_)) if !self.state.is_empty() => {
                Err(Problem::Malformed("a filter says its state itself".to_owned()))
            }
            (chosen, None) if chosen.len() > MAX_CHOSEN => {
                Err(Problem::Malformed(format!("at most {MAX_CHOSEN} webhooks; use a filter")))
            }
            (chosen, None) => {
                let key = |key: &Key| WebhookKey { source: key.source.clone(), webhook_id: key.webhook_id.clone() };
                let standing = ParkedQuery { state: self.state.clone(), ..ParkedQuery::default() }.filter()?.standing;
                Ok(Selection::Chosen(chosen.iter().map(key).collect(), standing))
            }
            ([], Some(filter)) => Ok(Selection::Matching(filter.filter()?)),
        }
    }
}

/// Begins to do it.
///
/// # Errors
/// When the action cannot be read, or too much is being done already.
pub(crate) fn begin(
    console: &Shared,
    caller: &Caller,
    what: What,
    action: ParkedAction,
    again: Vec<(String, String)>,
) -> Result<Arc<Job>, Problem> {
    let selection = action.selection()?;
    if what == What::Discard && (action.because.trim().is_empty() || action.because.chars().count() > MAX_BECAUSE) {
        return Err(Problem::Malformed(format!("say why, in 1 to {MAX_BECAUSE} characters")));
    }
    let (name, how) = match what {
        What::Redrive => {
            ("parked.redrive", json!({ "accept": action.accept, "rate": action.rate.unwrap_or(DEFAULT_RATE) }))
        }
        What::Discard => ("parked.discard", json!({ "because": action.because.trim() })),
    };
    let (subject, request) = selection.told(how);
    let about = match action.webhooks.as_slice() {
        [one] => Some(page::of_webhook(&one.source, &one.webhook_id)),
        _ => None,
    };
    let order = Order {
        action: name,
        subject,
        request,
        is_dry: action.dry_run,
        again,
        again_to: "/parked/act",
        unit: "webhooks",
        about,
    };
    console.jobs.begin(console, caller, order, |console, job, stop| async move {
        match what {
            What::Redrive => redrive(console, selection, action, job, stop).await,
            What::Discard => discard(console, selection, action, job, stop).await,
        }
    })
}

async fn redrive(
    console: Shared,
    selection: Selection,
    action: ParkedAction,
    job: Arc<Job>,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    let client = console.job_pool.get().await?;
    let rules = Rules::new(&console.config, action.accept)?;
    let survey = redrive::survey(&client, &selection, &rules).await?;
    job.expect(survey.total());
    if let Some(report) = survey.concluded(action.dry_run) {
        return Ok(report);
    }
    let outlet = Outlet::open(&console.settings, &console.config.queue).await?;
    let progress = |webhooks| job.advance(webhooks);
    let pace = Pace::until(action.rate.unwrap_or(DEFAULT_RATE), stop);
    let redrive = Redrive { client: &client, rules: &rules, outlet: &outlet, pace, progress: &progress };
    let report = redrive.run(&selection).await;
    outlet.close_behind(report).await
}

async fn discard(
    console: Shared,
    selection: Selection,
    action: ParkedAction,
    job: Arc<Job>,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    let client = console.job_pool.get().await?;
    let survey = discard::survey(&client, &selection).await?;
    job.expect(survey.total());
    if let Some(report) = survey.concluded(action.dry_run) {
        return Ok(report);
    }
    discard::discard(&client, &selection, action.because.trim(), &stop, &|webhooks| job.advance(webhooks)).await
}
