//! One batch in work: what the pipeline does between taking and settling, a statement at a time.
//!
//! It stands for `pipeline.rs`, without its I/O. [`Course`] says what to do.

use std::collections::BTreeMap;

use shared::config::ReplayDefence;
use shared::db::parked_webhooks::ParkReason;
use shared::message::Message;

use super::database::{Database, Reply};
use super::webhooks::{Kind, Webhook, number};
use crate::batch::{Arrival, Planned, Trouble, Verdict};
use crate::course::{BatchError, Course, Pace, Step, Unprocessed};
use crate::ladder::{Fate, Ladder};
use crate::lane::Held;
use crate::rules::Rules;
use crate::settlement;

/// Steps in vain after which a statement stops waiting for a key.
const LOCK_TIMEOUT: u32 = 25;

/// A batch in work.
pub(super) struct Work {
    pub(super) held: Vec<Held<u64>>,
    course: Course,
    transaction: Option<u64>,
    statement: usize,
    /// Whether nothing is left to say but COMMIT.
    complete: bool,
    waited: u32,
}

/// What a step of it was.
pub(super) enum Worked {
    /// It goes on.
    On(&'static str),
    /// Everything has its verdict.
    Done(Vec<Verdict>),
}

/// A webhook in the batch ends whoever plans it.
pub(super) struct Died;

impl Work {
    /// Sorts out what is not tried, and plans the rest.
    pub(super) fn begin(
        held: Vec<Held<u64>>,
        arrivals: Vec<Arrival>,
        rules: &Rules,
        webhooks: &BTreeMap<u64, Webhook>,
    ) -> Result<Self, Died> {
        let count = arrivals.len();
        let (mut planned, mut unprocessed) = (Vec::new(), Vec::new());
        for (position, arrival) in arrivals.into_iter().enumerate() {
            match rules.objection(&arrival) {
                Some(trouble) => unprocessed.push((position, arrival.message, trouble)),
                None => match plan(position, arrival.message, webhooks)? {
                    Ok(ready) => planned.push(ready),
                    Err(failed) => unprocessed.push(failed),
                },
            }
        }
        let course = Course::new(count, planned, unprocessed);
        Ok(Self { held, course, transaction: None, statement: 0, complete: false, waited: 0 })
    }

    /// One statement, or what follows from the last one.
    pub(super) fn step(&mut self, database: &mut Database, ladder: &Ladder, rules: &Rules) -> Worked {
        let id = *self.transaction.get_or_insert_with(|| database.begin());
        let n = self.statement;
        match self.course.next(ladder) {
            Step::Commit(batch) => match database.batch(id, n, batch) {
                Reply::Done(None) => self.goes_on("a statement of a batch", n == 4),
                Reply::Done(Some(outcomes)) => {
                    let thoughts = batch.iter().zip(outcomes).enumerate().filter_map(|(offset, (planned, outcome))| {
                        Some((offset, rules.afterthought(&planned.message, outcome)?))
                    });
                    let troubles = thoughts.collect();
                    self.course.committed(troubles);
                    self.ends("commits a batch")
                }
                Reply::Waits => match self.waits(id, database) {
                    true => self.failed(BatchError::Away(String::new())),
                    false => Worked::On("waits for another transaction"),
                },
                Reply::Failed(error) => self.failed(error),
            },
            Step::Record(_position, message, fate) => match record(database, id, n, message, &fate) {
                Reply::Done(false) => self.goes_on("a statement of a failure", n == 1),
                Reply::Done(true) => {
                    self.course.recorded(fate.verdict());
                    self.ends("records a failure")
                }
                Reply::Waits => match self.waits(id, database) {
                    true => self.ends("cannot record a failure"),
                    false => Worked::On("waits for another transaction"),
                },
                Reply::Failed(_) => self.ends("cannot record a failure"),
            },
            Step::Done(verdicts) => {
                database.roll_back(id);
                Worked::Done(verdicts)
            }
        }
    }

    /// Nobody goes on with it; what was said last may yet be heard.
    pub(super) fn abandon(self, database: &mut Database) {
        if let Some(id) = self.transaction {
            database.abandon(id, self.complete);
        }
    }

    /// Whether the batch's transaction is about to be committed.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// What it is at, for whoever reads the log.
    pub(super) fn describe(&self) -> String {
        let ids: Vec<&str> = self.held.iter().map(|held| held.message().id.as_str()).collect();
        format!("[{}], statement {}", ids.join(" "), self.statement)
    }

    fn goes_on(&mut self, what: &'static str, complete: bool) -> Worked {
        (self.statement, self.complete, self.waited) = (self.statement + 1, complete, 0);
        Worked::On(what)
    }

    fn ends(&mut self, what: &'static str) -> Worked {
        (self.transaction, self.statement, self.complete, self.waited) = (None, 0, false, 0);
        Worked::On(what)
    }

    fn failed(&mut self, error: BatchError) -> Worked {
        match self.course.failed(error) {
            Pace::GoOn => self.ends("a batch is halved"),
            Pace::Pause => self.ends("a batch is tried again"),
        }
    }

    /// Waits for a key; tells whether it has waited too long, and is rolled back.
    fn waits(&mut self, id: u64, database: &mut Database) -> bool {
        self.waited += 1;
        let too_long = self.waited >= LOCK_TIMEOUT;
        if too_long {
            database.roll_back(id);
        }
        too_long
    }
}

fn record(database: &mut Database, id: u64, n: usize, message: &Message, fate: &Fate) -> Reply<bool> {
    match fate {
        Fate::Retry { .. } => database.record_retry(id),
        Fate::Park { reason, .. } => database.park(id, n, message, *reason),
    }
}

fn plan(
    position: usize,
    message: Message,
    webhooks: &BTreeMap<u64, Webhook>,
) -> Result<Result<Planned, Unprocessed>, Died> {
    let webhook = &webhooks[&number(&message.id)];
    match webhook.kind {
        Kind::Beast => Err(Died),
        Kind::Unplannable => Ok(Err((position, message, Trouble::Park(ParkReason::Plan, String::new())))),
        Kind::Panics => Ok(Err((position, message, Trouble::Retry(String::new())))),
        _ => Ok(Ok(Planned {
            position,
            key: settlement::key(&message),
            message,
            plan: webhook.plan(),
            defence: ReplayDefence::Off,
        })),
    }
}
