//! Plans a batch on a blocking thread, catches panics per webhook, and watches the time.
//!
//! jq has no fuel: an expression that never returns can only be ended with its process. The
//! watchdog does that; the message is delivered again, and the third time it takes the suspects'
//! queue, where it is alone. Time in which the whole process stood still is not the plan's: what is counted are the
//! watchdog's own looks.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use shared::failpoint;
use shared::message::Message;
use shared::plan::{Plan, PlanError, Planner, SearchKey, Subject};

use crate::panics::panic_text;

/// Why a webhook has no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanningError {
    /// It fails the same way every time.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Our code panicked on it.
    #[error("planning panicked: {0}")]
    Panicked(String),
}

/// A planner under watch.
#[derive(Clone)]
pub(crate) struct WatchedPlanner {
    planner: Arc<Planner>,
    watch: Arc<Watch>,
}

/// So often does the watchdog look within the time that a plan may take.
const LOOKS: u32 = 10;

/// What is being planned, by which call: each lane plans on a thread of its own.
#[derive(Default)]
struct Watch {
    calls: Mutex<HashMap<u64, Current>>,
    next_call: AtomicU64,
}

struct Current {
    /// How often it was found still going on.
    looks: u32,
    webhook: String,
}

/// One call under watch, until dropped.
struct Watched<'w> {
    watch: &'w Watch,
    call: u64,
}

impl WatchedPlanner {
    /// Starts the watchdog; it ends with the last clone.
    pub(crate) fn start(planner: Arc<Planner>, timeout: Duration) -> std::io::Result<Self> {
        let watch = Arc::new(Watch::default());
        let watched = Arc::downgrade(&watch);
        std::thread::Builder::new().name("planning-watchdog".to_owned()).spawn(move || guard(&watched, timeout))?;
        Ok(Self { planner, watch })
    }

    /// Plans each webhook of a batch; one that fails or panics does not touch its neighbours.
    pub(crate) async fn plan(&self, messages: Vec<Message>) -> Vec<(Message, Result<Plan, PlanningError>)> {
        let this = self.clone();
        let planning = tokio::task::spawn_blocking(move || {
            messages.into_iter().map(|message| this.plan_one(message)).collect::<Vec<_>>()
        });
        match planning.await {
            Ok(planned) => planned,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// What a webhook that failed can be found by; nothing when its body or our code is at fault.
    pub(crate) async fn search_keys(&self, message: Message) -> Vec<SearchKey> {
        let this = self.clone();
        let finding = tokio::task::spawn_blocking(move || {
            let watched = this.watch.begin(format!("{}/{}", message.source, message.id));
            let subject = Subject { source: &message.source, topic: &message.topic, body: &message.body };
            let found = catch_unwind(AssertUnwindSafe(|| this.planner.search_keys(subject)));
            drop(watched);
            found.unwrap_or_default()
        });
        finding.await.unwrap_or_default()
    }

    fn plan_one(&self, message: Message) -> (Message, Result<Plan, PlanningError>) {
        let watched = self.watch.begin(format!("{}/{}", message.source, message.id));
        let subject = Subject { source: &message.source, topic: &message.topic, body: &message.body };
        let planned = catch_unwind(AssertUnwindSafe(|| {
            failpoint::reach_for("worker.plan", &message.id);
            self.planner.plan(subject)
        }));
        drop(watched);
        let plan = match planned {
            Ok(plan) => plan.map_err(PlanningError::Plan),
            Err(panic) => Err(PlanningError::Panicked(panic_text(panic.as_ref()))),
        };
        (message, plan)
    }
}

impl Watch {
    fn begin(&self, webhook: String) -> Watched<'_> {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        self.calls().insert(call, Current { looks: 0, webhook });
        Watched { watch: self, call }
    }

    /// Looks at all that goes on; returns the webhook whose plan was seen in more than [`LOOKS`], if there is one.
    fn look(&self) -> Option<String> {
        let mut calls = self.calls();
        calls.values_mut().for_each(|current| current.looks += 1);
        calls.values().find(|current| current.looks > LOOKS).map(|current| current.webhook.clone())
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Current>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watch.calls().remove(&self.call);
    }
}

/// Looks every so often until the planner is gone; ends the process when a plan never returns.
fn guard(watched: &Weak<Watch>, timeout: Duration) {
    while let Some(watch) = watched.upgrade() {
        if let Some(webhook) = watch.look() {
            tracing::error!(webhook, timeout_ms = timeout.as_millis(), "planning never returns; ending this worker");
            shared::telemetry::finish();
            std::process::abort();
        }
        drop(watch);
        std::thread::sleep(timeout / LOOKS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_stays_under_watch_while_others_come_and_go() {
        let watch = Watch::default();
        let hanging = watch.begin("shopify/hangs".to_owned());
        for _ in 0..LOOKS {
            drop(watch.begin("shopify/quick".to_owned()));
            assert_eq!(watch.look(), None, "as long as it may take");
        }
        let fresh = watch.begin("shopify/fresh".to_owned());
        assert_eq!(watch.look(), Some("shopify/hangs".to_owned()));
        drop(hanging);
        assert_eq!(watch.look(), None);
        drop(fresh);
    }
}
