//! What takes longer than an answer: redriving, discarding and replaying webhooks, and steering many effects, with dry run
//! and progress.
//!
//! A job is begun, has a number, and is looked at until it has ended; its report is the command line's. A person can stop it
//! between two groups of webhooks, and a console that ends does. Jobs live in memory: what is unfinished is to be seen where
//! the webhooks are. So many run at once (`CONSOLE_JOBS`), and the last hundred are remembered.
//!
//! Invariant: what a job does is in the audit before it is done, and its outcome is when it has ended.

pub(crate) mod page;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shared::db::console_audit::{Doing, Outcome};
use shared::error_chain::error_chain;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Caller;
use super::audit::Entry;
use super::problem::Problem;
use super::state::Shared;
use crate::steering::{Reported, outcome};

/// The most jobs that are remembered.
const MAX_KEPT: usize = 100;

/// All jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// The most that run.
    at_once: usize,
    kept: Mutex<VecDeque<Arc<Job>>>,
    last_id: AtomicU64,
    stop: CancellationToken,
    running: TaskTracker,
}

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// What is done, and to what.
    pub(crate) title: String,
    /// Who has begun it.
    pub(crate) person: String,
    pub(crate) begun_at: OffsetDateTime,
    /// Whether it only says what would be done.
    pub(crate) is_dry: bool,
    /// The form that does in earnest what this one tried; empty where there is none.
    pub(crate) again: Vec<(String, String)>,
    /// Where that form goes.
    pub(crate) again_to: &'static str,
    /// What it is done to: `webhooks` or `effects`.
    pub(crate) unit: &'static str,
    /// The page of the only webhook that it is done to.
    pub(crate) about: Option<String>,
    total: AtomicU64,
    done: AtomicU64,
    stop: CancellationToken,
    end: Mutex<Option<End>>,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// It was carried out, or stopped early; the report says which.
    Reported { text: String, json: serde_json::Value },
    /// It could not be begun.
    Failed(String),
}

/// What is to be done.
pub(crate) struct Order {
    /// For the audit, such as `parked.redrive`.
    pub(crate) action: &'static str,
    pub(crate) subject: String,
    /// What was asked for, in full; for the audit.
    pub(crate) request: serde_json::Value,
    pub(crate) is_dry: bool,
    pub(crate) again: Vec<(String, String)>,
    pub(crate) again_to: &'static str,
    /// What it is done to: `webhooks` or `effects`.
    pub(crate) unit: &'static str,
    /// The page of the only webhook that it is done to.
    pub(crate) about: Option<String>,
}

impl Jobs {
    /// None so far, and never more than so many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        let (kept, last_id) = (Mutex::default(), AtomicU64::default());
        Self { at_once, kept, last_id, stop: CancellationToken::new(), running: TaskTracker::new() }
    }

    /// Begins a job; returns it at once.
    ///
    /// # Errors
    /// When too many run already, or the console stops.
    pub(crate) fn begin<F, R>(
        &self,
        console: &Shared,
        caller: &Caller,
        order: Order,
        work: impl FnOnce(Shared, Arc<Job>, CancellationToken) -> F,
    ) -> Result<Arc<Job>, Problem>
    where
        F: Future<Output = anyhow::Result<R>> + Send + 'static,
        R: Reported,
    {
        if self.running.len() >= self.at_once || self.stop.is_cancelled() {
            return Err(Problem::Busy);
        }
        let job = Arc::new(Job {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            title: format!("{} {}", order.action, order.subject),
            person: caller.person.clone(),
            begun_at: OffsetDateTime::now_utc(),
            is_dry: order.is_dry,
            again: order.again,
            again_to: order.again_to,
            unit: order.unit,
            about: order.about,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stop: self.stop.child_token(),
            end: Mutex::new(None),
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Arc::clone(&job));
        forget_one(&mut kept);
        drop(kept);
        let runtime = console.runtime.clone();
        let work = work(console.clone(), Arc::clone(&job), job.stop.clone());
        let (console, caller, done) = (console.clone(), caller.clone(), Arc::clone(&job));
        let (action, subject, request, is_dry) = (order.action, order.subject, order.request, order.is_dry);
        console.metrics.running.inc();
        let task = async move {
            let doing = Doing { action, subject: &subject, request: &request };
            let end = if is_dry { ended(work.await).0 } else { audited(&console, &caller, &doing, work).await };
            console.metrics.running.dec();
            *done.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        };
        self.running.spawn_on(task, &runtime);
        Ok(job)
    }

    /// How many run now.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// The most that run at once.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once
    }

    /// A job, while it is remembered.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Job>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|job| job.id == id).map(Arc::clone)
    }

    /// All that are remembered, the latest first.
    pub(crate) fn list(&self) -> Vec<Arc<Job>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().map(Arc::clone).collect()
    }

    /// Stops all jobs between two groups, and waits until they have said so.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

impl Job {
    /// So many are to be dealt with.
    pub(crate) fn expect(&self, many: u64) {
        self.total.store(many, Ordering::Relaxed);
    }

    /// So many more have been dealt with.
    pub(crate) fn advance(&self, more: usize) {
        self.done.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Dealt with, of how many.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// When it was begun, as its page repeats it.
    pub(crate) fn begun(&self) -> String {
        self.begun_at.unix_timestamp_nanos().to_string()
    }

    /// How it ended, if it has.
    pub(crate) fn end(&self) -> Option<End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Of too many, the oldest that has ended is forgotten: what runs can be looked at and stopped.
fn forget_one(kept: &mut VecDeque<Arc<Job>>) {
    if kept.len() > MAX_KEPT
        && let Some(oldest) = kept.iter().position(|job| job.end().is_some())
    {
        drop(kept.remove(oldest));
    }
}

/// Stops a job between two groups; what it did until then stands, and its report says so. `begun` is what the page from which
/// it is stopped says of when it was begun: numbers are given out anew by every console.
///
/// # Errors
/// When it is not known, changes nothing, has ended already, or it cannot be written down who stops it.
pub(crate) async fn stop(console: &Shared, caller: &Caller, id: u64, begun: Option<&str>) -> Result<Arc<Job>, Problem> {
    let job = console.jobs.find(id).ok_or(Problem::NotFound)?;
    if begun.is_some_and(|begun| begun != job.begun()) {
        return Err(Problem::Conflict("the console was started anew since, and that is another job".to_owned()));
    }
    if job.is_dry {
        return Err(Problem::Conflict("a dry run changes nothing, and ends by itself".to_owned()));
    }
    let ended = || Problem::Conflict("the job has ended already".to_owned());
    if job.end().is_some() {
        return Err(ended());
    }
    let request = serde_json::json!({ "job": id });
    let doing = Doing { action: "job.stop", subject: &job.title, request: &request };
    let client = console.database().await?;
    let entry = Entry::begin(&client, caller, &doing).await?;
    if job.end().is_some() {
        entry.finish(&client, Outcome::Refused, "it had ended").await;
        return Err(ended());
    }
    job.stop.cancel();
    entry.finish(&client, Outcome::Done, "").await;
    Ok(job)
}

async fn audited(
    console: &Shared,
    caller: &Caller,
    doing: &Doing<'_>,
    work: impl Future<Output = anyhow::Result<impl Reported>>,
) -> End {
    let entry = match begun(console, caller, doing).await {
        Ok(entry) => entry,
        Err(problem) => return End::Failed(problem.to_string()),
    };
    let (end, outcome) = ended(work.await);
    console.metrics.job_ended(doing.action, outcome.as_str());
    let detail = match &end {
        End::Reported { text, .. } | End::Failed(text) => text,
    };
    match console.database().await {
        Ok(client) => entry.finish(&client, outcome, detail).await,
        Err(problem) => {
            let Doing { action, subject, .. } = doing;
            tracing::error!(%problem, action, subject, "cannot note a job's outcome in the audit");
        }
    }
    end
}

/// The connection goes back at once: a job may take hours.
async fn begun(console: &Shared, caller: &Caller, doing: &Doing<'_>) -> Result<Entry, Problem> {
    Entry::begin(&console.database().await?, caller, doing).await
}

fn ended(worked: anyhow::Result<impl Reported>) -> (End, Outcome) {
    let outcome = outcome(&worked);
    match worked {
        Ok(report) => {
            let json = serde_json::to_value(&report).unwrap_or_default();
            (End::Reported { text: report.text(), json }, outcome)
        }
        Err(error) => (End::Failed(error_chain(error.as_ref())), outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, end: Option<End>) -> Arc<Job> {
        Arc::new(Job {
            id,
            title: String::new(),
            person: String::new(),
            begun_at: OffsetDateTime::UNIX_EPOCH,
            is_dry: false,
            again: Vec::new(),
            again_to: "",
            unit: "webhooks",
            about: None,
            total: AtomicU64::default(),
            done: AtomicU64::default(),
            stop: CancellationToken::new(),
            end: Mutex::new(end),
        })
    }

    #[test]
    fn of_too_many_jobs_the_oldest_that_has_ended_is_forgotten() {
        let mut kept = VecDeque::from([job(1, None)]);
        for id in 2..=MAX_KEPT as u64 + 1 {
            kept.push_back(job(id, Some(End::Failed(String::new()))));
        }
        forget_one(&mut kept);
        let ids: Vec<u64> = kept.iter().map(|job| job.id).collect();
        assert_eq!((ids.len(), ids[0], ids[1]), (MAX_KEPT, 1, 3), "the first runs still");
        forget_one(&mut kept);
        assert_eq!(kept.len(), MAX_KEPT);
    }
}
