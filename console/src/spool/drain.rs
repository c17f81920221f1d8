//! Publishes what a spool holds, as ingest's own drainer does: file by file, the oldest first, one webhook after the
//! other, each with its confirm; a file goes when all of it is confirmed, and to `corrupt/` when something in it never
//! can be. Cut off in between, it is published again, which the claim absorbs.
//!
//! A directory is locked while it is drained. One that a live ingest has locked is left alone: that ingest drains it.
//! A file that cannot be read, or not taken away, is passed over and told. Nothing is tried again here; the same
//! command goes on where this one stopped.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use shared::error_chain::error_chain;
use shared::spool::{self, Batch, BatchName, Limits, Replica, Settlement, Store};

use crate::output::{Shown, table};
use crate::steering::{Outlet, Pace, Progress, Turn};

/// What was drained.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Drained {
    replicas: Vec<DrainedReplica>,
    /// What is wrong with files that were passed over.
    problems: Vec<String>,
    /// Why it ended before it was through.
    stopped: Option<String>,
}

#[derive(Debug, Serialize)]
struct DrainedReplica {
    /// The replica's directory.
    replica: String,
    state: ReplicaState,
    /// Webhooks that were published.
    webhooks: u64,
    /// Files that are gone, since all of them was.
    files: u64,
    /// Files in which something was damaged; they are in `corrupt/` for a person.
    set_aside: u64,
    /// Files that could not be read, or were published and could not be taken away. They stay.
    passed_over: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ReplicaState {
    /// Nothing waits in it any more.
    Empty,
    /// A live ingest uses it, and drains it itself.
    InUse,
    /// Files are left in it.
    Stopped,
}

/// What draining needs.
pub(crate) struct Drain<'a> {
    pub(crate) outlet: &'a Outlet,
    pub(crate) pace: Pace,
    /// Counts files.
    pub(crate) progress: &'a Progress,
}

impl Drain<'_> {
    /// Drains every directory below `root` that nobody uses.
    ///
    /// # Errors
    /// When `root` cannot be read. What stops it later stands in the result, beside what was done until then.
    pub(crate) async fn run(mut self, root: &Path) -> anyhow::Result<Drained> {
        let mut drained = Drained::default();
        let replicas = spool::replicas(root)?;
        anyhow::ensure!(
            !replicas.is_empty(),
            "there is no spool in {}: give the directory above replica-000",
            root.display()
        );
        for path in replicas {
            let replica = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let state = ReplicaState::InUse;
            let mut one = DrainedReplica { replica, state, webhooks: 0, files: 0, set_aside: 0, passed_over: 0 };
            if let Some(locked) = Replica::try_lock(path)? {
                one.state = ReplicaState::Empty;
                if let Err(error) = self.drain(locked, &mut one, &mut drained.problems).await {
                    one.state = ReplicaState::Stopped;
                    drained.stopped = Some(error_chain(error.as_ref()));
                } else if one.passed_over > 0 {
                    one.state = ReplicaState::Stopped;
                }
            }
            drained.replicas.push(one);
            if drained.stopped.is_some() {
                break;
            }
        }
        Ok(drained)
    }

    async fn drain(
        &mut self,
        replica: Replica,
        drained: &mut DrainedReplica,
        problems: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let store = Store::open(replica, Limits::NONE)?;
        let progress = self.progress;
        progress.expect_more(store.holdings().files);
        let mut pass_over = |drained: &mut DrainedReplica, name, problem| {
            store.defer(name, None);
            drained.passed_over += 1;
            progress.advance(1);
            problems.push(format!("{}: {problem}", drained.replica));
        };
        while let Some(name) = store.oldest() {
            let batch = match store.read(name) {
                Ok(batch) => batch,
                Err(error) => {
                    pass_over(drained, name, format!("cannot read {name}: {error}"));
                    continue;
                }
            };
            let mut unpublishable = 0;
            for message in &batch.messages {
                anyhow::ensure!(self.pace.turn(1).await == Turn::Go, "interrupted; {name} stays");
                match self.outlet.publish(message).await {
                    Ok(()) => drained.webhooks += 1,
                    Err(error) if error.is_for_good() => unpublishable += 1,
                    Err(error) => return Err(error).with_context(|| format!("{name} stays; drain again")),
                }
            }
            match settle(&store, name, &batch, unpublishable) {
                Ok(Settlement::Remove) => {
                    drained.files += 1;
                    progress.advance(1);
                }
                Ok(Settlement::SetAside) => {
                    drained.set_aside += 1;
                    progress.advance(1);
                }
                Err(error) => {
                    pass_over(drained, name, format!("{name} is published and cannot be taken away: {error}"));
                }
            }
        }
        Ok(())
    }
}

fn settle(store: &Store<Replica>, name: BatchName, batch: &Batch, unpublishable: usize) -> io::Result<Settlement> {
    let settlement = Settlement::of(batch, unpublishable);
    store.settle(name, settlement).map(|()| settlement)
}

impl Drained {
    /// 1 when something is left to be published, 3 when something needs a person, 0 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.replicas.iter().any(|replica| replica.state != ReplicaState::Empty) {
            ExitCode::FAILURE
        } else if self.replicas.iter().any(|replica| replica.set_aside > 0) {
            ExitCode::from(3)
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl Shown for Drained {
    fn text(&self) -> String {
        let row = |one: &DrainedReplica| {
            let counts = [one.webhooks, one.files, one.set_aside].map(|count| count.to_string());
            let [webhooks, files, set_aside] = counts;
            [one.replica.clone(), webhooks, files, set_aside, one.state.text().to_owned()]
        };
        let mut text = table(["REPLICA", "WEBHOOKS", "FILES", "SET ASIDE", "STATE"], self.replicas.iter().map(row));
        if self.replicas.iter().any(|one| one.state == ReplicaState::InUse) {
            text += "! refused what is in use: a live ingest has it locked and drains it itself\n";
        }
        if self.replicas.iter().any(|one| one.set_aside > 0) {
            text += "! damaged files are in corrupt/: oncehook spool verify tells what is wrong with them\n";
        }
        for problem in &self.problems {
            text += &format!("! passed over: {problem}\n");
        }
        if let Some(why) = &self.stopped {
            text += &format!("! stopped: {why}\n");
        }
        text
    }
}

impl ReplicaState {
    fn text(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::InUse => "in use",
            Self::Stopped => "stopped",
        }
    }
}
