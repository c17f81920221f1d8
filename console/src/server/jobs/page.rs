//! `/jobs/{id}` and `/api/v1/jobs/{id}`: how far a job is, and what came of it.

use actix_web::HttpResponse;
use actix_web::web::{Json, Path};
use askama::Template;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{End, Job};
use crate::outbox::steer::Steered;
use crate::server::access::Caller;
use crate::server::page::{self, Frame, moment};
use crate::server::problem::Problem;
use crate::server::state::Shared;
use crate::steering::Report;

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    Running,
    /// It is over; the report says what was done.
    Ended,
    /// It could not be begun.
    Failed,
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    pub(crate) id: u64,
    /// What is done, and to what.
    pub(crate) title: String,
    pub(crate) state: JobState,
    /// Whether it only says what would be done.
    pub(crate) dry_run: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) begun_at: OffsetDateTime,
    /// Dealt with, of how many.
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What it is done to: `webhooks` or `effects`.
    pub(crate) unit: &'static str,
    /// What was done, or would be: as `oncehook … --output json` says it.
    #[schema(value_type = Option<JobReport>)]
    pub(crate) report: Option<serde_json::Value>,
    /// The same for a person, or why it could not be begun.
    pub(crate) text: String,
    /// The page of the only webhook that it is done to.
    #[serde(skip)]
    pub(crate) about: Option<String>,
}

/// What a job says in the end, for the API's description.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what is written as JSON")]
enum JobReport {
    /// Of webhooks.
    Webhooks(Report),
    /// Of effects.
    Effects(Steered),
}

impl JobView {
    pub(crate) fn of(job: &Job) -> Self {
        let (done, total) = job.progress();
        let (state, report, text) = match job.end() {
            None => (JobState::Running, None, String::new()),
            Some(End::Reported { text, json }) => (JobState::Ended, Some(json), text),
            Some(End::Failed(why)) => (JobState::Failed, None, why),
        };
        let (title, begun_at, unit, about) = (job.title.clone(), job.begun_at, job.unit, job.about.clone());
        Self { id: job.id, title, state, dry_run: job.is_dry, begun_at, done, total, unit, report, text, about }
    }
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    job: JobView,
    again: Again,
}

#[derive(Template)]
#[template(path = "job_now.html")]
struct JobNow {
    job: JobView,
    again: Again,
}

#[derive(Template)]
#[template(path = "job_gone.html")]
struct JobGone;

/// The form that does in earnest what a dry run tried.
struct Again {
    acts: bool,
    csrf: String,
    to: &'static str,
    fields: Vec<(String, String)>,
}

impl Again {
    fn of(job: &Job, caller: &Caller) -> Self {
        let frame = Frame::new(caller, "", "");
        Self { acts: frame.acts, csrf: frame.csrf, to: job.again_to, fields: job.again.clone() }
    }
}

/// Sends a browser to a job's page.
pub(crate) fn go_to(job: &Job) -> HttpResponse {
    page::see(&format!("/jobs/{}", job.id))
}

/// `GET /jobs/{id}`.
pub(crate) async fn show(caller: Caller, console: Shared, id: Path<u64>) -> Result<HttpResponse, Problem> {
    let job = console.jobs.find(*id).ok_or(Problem::NotFound)?;
    let again = Again::of(&job, &caller);
    page::html(&JobPage { frame: Frame::new(&caller, "Job", ""), job: JobView::of(&job), again })
}

/// `GET /jobs/{id}/now`: what changes. A page that was open before the console was started anew is told so, and asks no more.
pub(crate) async fn now(caller: Caller, console: Shared, id: Path<u64>) -> Result<HttpResponse, Problem> {
    let Some(job) = console.jobs.find(*id) else { return page::html(&JobGone) };
    let again = Again::of(&job, &caller);
    page::html(&JobNow { job: JobView::of(&job), again })
}

/// How far a job is, and what came of it. Jobs are remembered until the console ends, at most a hundred.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = JobView)))]
pub(crate) async fn api(_caller: Caller, console: Shared, id: Path<u64>) -> Result<Json<JobView>, Problem> {
    let job = console.jobs.find(*id).ok_or(Problem::NotFound)?;
    Ok(Json(JobView::of(&job)))
}
