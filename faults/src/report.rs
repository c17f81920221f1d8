//! What a run found: a line for people, an object in `results/latest.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::checker::{Evidence, Findings};
use crate::faults::Fault;
use crate::history::History;
use crate::mail::Arrived;

/// One run's result.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) fault: &'static str,
    pub(crate) number: u8,
    pub(crate) seed: u64,
    pub(crate) passed: bool,
    /// Webhooks sent, by id.
    pub(crate) sent: usize,
    /// Webhooks answered 2xx, by id.
    pub(crate) answered_2xx: usize,
    /// Deliveries answered otherwise, and without an answer.
    pub(crate) answered_otherwise: u64,
    pub(crate) unanswered: u64,
    pub(crate) processed: usize,
    pub(crate) parked: usize,
    pub(crate) lost: usize,
    /// Accepted into a queue that the fault deleted.
    pub(crate) destroyed: usize,
    pub(crate) doubled: usize,
    pub(crate) inventory_equal: bool,
    pub(crate) mails_sent: u64,
    /// Copies beyond the first of rows that the outbox does not list as ambiguous.
    pub(crate) mails_doubled: usize,
    /// Copies beyond the first of rows that it does.
    pub(crate) mails_ambiguous: u64,
    /// The same of calls to a service.
    pub(crate) calls_forwarded: u64,
    pub(crate) calls_doubled: usize,
    pub(crate) calls_ambiguous: u64,
    /// Sends that are ambiguous, held or failed at the end, and not for the flaky service's sake.
    pub(crate) sends_in_doubt: usize,
    pub(crate) worst_answer_ms: u128,
    /// From healing to everything processed, sent and empty.
    pub(crate) recovered_after_s: f64,
    pub(crate) processes_killed: u32,
    pub(crate) processes_failed: u32,
    pub(crate) notes: Vec<String>,
    /// Whatever is not as it should be.
    pub(crate) findings: Vec<String>,
    pub(crate) error: Option<String>,
    /// Where the logs of a run lie that did not pass.
    pub(crate) logs: String,
}

#[derive(Serialize)]
struct Results<'r> {
    runs: &'r [Run],
}

impl Run {
    pub(crate) fn new(fault: &Fault, seed: u64) -> Self {
        Self { fault: fault.name, number: fault.number, seed, ..Self::default() }
    }

    /// Whether every invariant held and the fault came about.
    pub(crate) fn passed(&self) -> bool {
        self.passed && self.error.is_none()
    }

    /// Writes down what was sent and answered.
    pub(crate) fn sent(&mut self, history: &History) {
        self.sent = history.webhooks.len();
        self.answered_2xx = history.accepted().count();
        self.answered_otherwise = history.answered_otherwise();
        self.unanswered = history.unanswered();
        self.worst_answer_ms = history.worst_answer.as_millis();
    }

    /// Writes down what the checker found.
    pub(crate) fn found(&mut self, evidence: &Evidence<'_>, findings: Findings) {
        let doubled = |what: &str| findings.doubled.iter().filter(|doubled| doubled.starts_with(what)).count();
        let count = |arrived: &Arrived| arrived.values().flat_map(BTreeMap::values).map(|n| u64::from(*n)).sum();
        (self.mails_sent, self.calls_forwarded) = (count(evidence.mails), count(evidence.calls));
        (self.mails_doubled, self.calls_doubled) = (doubled("mail"), doubled("call"));
        (self.mails_ambiguous, self.calls_ambiguous) = (findings.ambiguous_mails, findings.ambiguous_calls);
        self.passed = findings.is_right();
        self.processed = evidence.books.processed.len();
        self.parked = evidence.books.parked.len();
        self.lost = findings.lost.len();
        self.destroyed = findings.destroyed.len();
        self.doubled = findings.doubled.len();
        self.sends_in_doubt = findings.in_doubt.len();
        self.inventory_equal = findings.stock_off.is_empty();
        let lists = [
            ("lost", findings.lost),
            ("doubled", findings.doubled),
            ("invented", findings.invented),
            ("missing", findings.missing),
            ("parked without reason", findings.parked_without_reason),
            ("never accepted", findings.never_accepted),
            ("stock off", findings.stock_off),
            ("altered", findings.altered),
            ("processed and parked", findings.processed_and_parked),
            ("too many in doubt", findings.too_many_in_doubt),
            ("left behind", findings.residue),
        ];
        for (name, list) in lists {
            let count = list.len();
            // The first few tell where to look.
            self.findings.extend(list.into_iter().take(5).map(|found| format!("{name} (of {count}): {found}")));
        }
    }

    /// The line that is printed.
    pub(crate) fn line(&self) -> String {
        let verdict = if self.passed() { "ok    " } else { "FAILED" };
        format!(
            "{verdict} {:>2} {:<27} seed {:<10} {:>6} sent {:>6} 2xx {:>5} otherwise {:>6} processed {:>3} parked \
             {:>2} lost {:>2} doubled {:>3} ambiguous copies, worst answer {:>4} ms, recovered after {:.1} s",
            self.number,
            self.fault,
            self.seed,
            self.sent,
            self.answered_2xx,
            self.answered_otherwise + self.unanswered,
            self.processed,
            self.parked,
            self.lost,
            self.doubled,
            self.mails_ambiguous + self.calls_ambiguous,
            self.worst_answer_ms,
            self.recovered_after_s,
        )
    }

    /// What a person needs to know beyond the line.
    pub(crate) fn details(&self) -> Vec<String> {
        let mut details = self.notes.clone();
        if !self.passed() {
            details.extend(self.error.clone());
            details.extend(self.findings.iter().cloned());
            details.push(format!("again: make faults FAULT={} SEED={}; logs: {}", self.fault, self.seed, self.logs));
        }
        details
    }
}

/// Writes all runs.
pub(crate) fn write(path: &Path, runs: &[Run]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, serde_json::to_vec_pretty(&Results { runs })?)?)
}
