//! A replay from the console: the command line's own, as a job.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use shared::db::processed_webhooks::WebhookKey;
use shared::message::ReplayMode;
use shared::name::Name;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::replay::command::{new_run, run_name};
use crate::replay::run::{Execution, Run, Selection};
use crate::server::access::Caller;
use crate::server::jobs::{Job, Order};
use crate::server::page;
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::steering::{Outlet, Pace, Report, Reported};

/// What to replay.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayAction {
    pub(crate) source: String,
    pub(crate) webhook_id: String,
    /// Let mails and calls go out again that went out before. Without it, a replay only does what is missing.
    #[serde(default)]
    pub(crate) resend: bool,
    /// The run's name; a webhook runs once in each. One is made up if none is given: then each request is a run, so name
    /// one where a request may be repeated.
    #[serde(default)]
    pub(crate) run: String,
    /// Only say what would be done.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// A run's name for a form: submitted twice, it is the same run.
///
/// # Errors
/// When the name is none, which no made-up one is.
pub(crate) fn made_up_run() -> Result<Name, Problem> {
    new_run().map_err(|error| Problem::Conflict(error.to_string()))
}

/// Begins to replay.
///
/// # Errors
/// When the run's name is none, or too much is being done already.
pub(crate) fn begin(
    console: &Shared,
    caller: &Caller,
    action: ReplayAction,
    again: Vec<(String, String)>,
) -> Result<Arc<Job>, Problem> {
    let name = match action.run.trim() {
        "" => made_up_run()?,
        name => run_name(name).map_err(Problem::Malformed)?,
    };
    let mode = if action.resend { ", everything sent again" } else { "" };
    let subject = format!("{} {} in the run {name}{mode}", action.source, action.webhook_id);
    let request = json!({
        "source": action.source, "webhook_id": action.webhook_id, "run": name.as_str(), "resend": action.resend
    });
    let order = Order {
        action: "webhooks.replay",
        subject,
        request,
        is_dry: action.dry_run,
        again,
        again_to: "/webhooks/replay",
        unit: "webhooks",
        about: Some(page::of_webhook(&action.source, &action.webhook_id)),
    };
    console.jobs.begin(console, caller, order, |console, job, stop| replay(console, (action, name), job, stop))
}

async fn replay(
    console: Shared,
    (action, name): (ReplayAction, Name),
    job: Arc<Job>,
    stop: CancellationToken,
) -> anyhow::Result<Report> {
    let client = console.job_pool.get().await?;
    let mode = if action.resend { ReplayMode::Resend } else { ReplayMode::FillIn };
    let run = Run::new(name, mode, &console.config);
    let selection = Selection::One(WebhookKey { source: action.source, webhook_id: action.webhook_id });
    let survey = run.survey(&client, &selection).await?;
    job.expect(survey.total());
    if let Some(report) = survey.concluded(action.dry_run) {
        return Ok(report);
    }
    let outlet = Outlet::open(&console.settings, &console.config.queue).await?;
    let progress = |webhooks| job.advance(webhooks);
    let pace = Pace::until(0, stop);
    let execution = Execution { run: &run, client: &client, outlet: &outlet, pace, progress: &progress };
    let report = execution.carry_out(&selection).await;
    outlet.close_behind(report).await
}
