//! `/jobs` and `/api/v1/jobs`: which there are, how far each is, what came of it, and how to stop it.

use actix_web::web::{Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{End, Job};
use crate::outbox::steer::Steered;
use crate::server::access::{Caller, Submitted};
use crate::server::page::{self, Frame, moment};
use crate::server::problem::{Problem, ProblemDocument};
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

impl JobState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    pub(crate) id: u64,
    /// What is done, and to what.
    pub(crate) title: String,
    /// Who has begun it.
    pub(crate) person: String,
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
    /// Whether it ended before it was through.
    pub(crate) fn was_stopped(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.get("stopped").is_some_and(serde_json::Value::is_string))
    }

    pub(crate) fn of(job: &Job) -> Self {
        let (done, total) = job.progress();
        let (state, report, text) = match job.end() {
            None => (JobState::Running, None, String::new()),
            Some(End::Reported { text, json }) => (JobState::Ended, Some(json), text),
            Some(End::Failed(why)) => (JobState::Failed, None, why),
        };
        let (title, person, about) = (job.title.clone(), job.person.clone(), job.about.clone());
        let (id, dry_run, begun_at, unit) = (job.id, job.is_dry, job.begun_at, job.unit);
        Self { id, title, person, state, dry_run, begun_at, done, total, unit, report, text, about }
    }
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    frame: Frame,
    jobs: Vec<JobView>,
    at_once: usize,
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

/// What the page's forms repeat, and the one that does in earnest what a dry run tried.
struct Again {
    acts: bool,
    /// When the job was begun, to be repeated by whoever stops it.
    begun: String,
    csrf: String,
    to: &'static str,
    fields: Vec<(String, String)>,
}

impl Again {
    fn of(job: &Job, caller: &Caller) -> Self {
        let frame = Frame::new(caller, "", "");
        let (begun, fields) = (job.begun(), job.again.clone());
        Self { acts: frame.acts, begun, csrf: frame.csrf, to: job.again_to, fields }
    }
}

/// Sends a browser to a job's page.
pub(crate) fn go_to(job: &Job) -> HttpResponse {
    page::see(&format!("/jobs/{}", job.id))
}

/// `GET /jobs`.
pub(crate) async fn list(caller: Caller, console: Shared) -> Result<HttpResponse, Problem> {
    let (frame, at_once) = (Frame::new(&caller, "Jobs", ""), console.jobs.at_once());
    page::html(&JobsPage { frame, jobs: views(&console), at_once })
}

fn views(console: &Shared) -> Vec<JobView> {
    console.jobs.list().iter().map(|job| JobView::of(job)).collect()
}

/// `POST /jobs/{id}/stop`.
pub(crate) async fn stop(form: Submitted, console: Shared, id: Path<u64>) -> Result<HttpResponse, Problem> {
    Ok(go_to(&*super::stop(&console, &form.caller, *id, form.field("begun")).await?))
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

/// Jobs, the latest first: those that run, and at most a hundred that this console remembers.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", responses((status = 200, body = Vec<JobView>)))]
pub(crate) async fn api_list(_caller: Caller, console: Shared) -> Json<Vec<JobView>> {
    Json(views(&console))
}

/// Stops a job between two groups. What it did until then stands; its report says that it was stopped. A dry run cannot be
/// stopped: it changes nothing, and ends by itself.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/stop", tag = "jobs", params(("id" = u64, Path, description = "Its number")),
    responses((status = 202, description = "It will stop", body = JobView), (status = 409, description = "It has ended already, or is a dry run.",
        body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn api_stop(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    id: Path<u64>,
) -> Result<HttpResponse, Problem> {
    caller.may_act(&request, None)?;
    let job = super::stop(&console, &caller, *id, None).await?;
    Ok(HttpResponse::Accepted().json(JobView::of(&job)))
}

/// How far a job is, and what came of it. Jobs are remembered until the console ends, at most a hundred.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = JobView)))]
pub(crate) async fn api(_caller: Caller, console: Shared, id: Path<u64>) -> Result<Json<JobView>, Problem> {
    let job = console.jobs.find(*id).ok_or(Problem::NotFound)?;
    Ok(Json(JobView::of(&job)))
}
