//! What a command does is written down as what the console does is: before it is begun, and again when its outcome is known.
//!
//! Not promised: that the person is who the terminal says. Whoever has the database's password can write any name.

use std::os::unix::fs::MetadataExt;

use anyhow::Context;
use deadpool_postgres::Client;
use serde_json::Value;
use shared::db::console_audit::{self, Actor, Doing, Outcome};
use shared::error_chain::error_chain;

use super::Reported;

/// An action of a command that has been written down, and whose outcome is not.
pub(crate) struct Audited<'c> {
    client: &'c Client,
    id: i64,
}

impl<'c> Audited<'c> {
    /// Writes down what is about to be done.
    ///
    /// # Errors
    /// When it cannot be written down; then it must not be done.
    pub(crate) async fn begin(
        client: &'c Client,
        action: &'static str,
        (subject, request): (&str, &Value),
    ) -> anyhow::Result<Self> {
        let begun = console_audit::begin(client, &terminal(), &Doing { action, subject, request }).await;
        Ok(Self { client, id: begun.context("cannot write down in the audit what is about to be done")? })
    }

    /// Notes what came of it. If that fails it stays "begun", which is true.
    pub(crate) async fn finish(self, outcome: Outcome, detail: &str) {
        if let Err(error) = console_audit::finish(self.client, self.id, outcome, detail).await {
            tracing::error!(error = error_chain(&error), id = self.id, "cannot note the outcome in the audit");
        }
    }

    /// Notes what a report says.
    pub(crate) async fn report<R: Reported>(self, worked: anyhow::Result<R>) -> anyhow::Result<R> {
        let detail = match &worked {
            Ok(report) => report.text(),
            Err(error) => error_chain(error.as_ref()),
        };
        self.finish(outcome(&worked), &detail).await;
        worked
    }
}

/// What the audit calls what came of something.
pub(crate) fn outcome(worked: &anyhow::Result<impl Reported>) -> Outcome {
    match worked {
        Err(_) => Outcome::Failed,
        Ok(report) if report.is_stopped() => Outcome::Failed,
        Ok(report) if report.total() == 0 => Outcome::Refused,
        Ok(_) => Outcome::Done,
    }
}

/// Who sits at the terminal: the user, and behind `sudo` who that was before.
pub(crate) fn terminal_user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let number = || std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |own| own.uid().to_string());
    named.into_iter().find(|name| !name.trim().is_empty()).unwrap_or_else(|| format!("uid {}", number()))
}

fn terminal() -> Actor {
    let person = terminal_user();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Actor { person, role: "operator", via: "terminal", peer: host.trim().to_owned() }
}
