//! `oncehook exit-codes`: what a script can tell from how a command ended. The one place where that is written.

use serde::Serialize;

use crate::output::{Shown, table};

/// What the exit codes mean.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct ExitCodes([Meaning; 4]);

#[derive(Debug, Serialize)]
struct Meaning {
    code: u8,
    means: &'static str,
    by: &'static str,
}

/// All of them.
pub(crate) fn list() -> ExitCodes {
    let meaning = |code, means, by| Meaning { code, means, by };
    ExitCodes([
        meaning(0, "it is done, or all is fine", "every command"),
        meaning(
            1,
            "it could not be done, or stopped early: the text or `stopped` says why, and saying it again goes on",
            "every command",
        ),
        meaning(2, "the arguments are wrong, nothing was begun", "every command"),
        meaning(
            3,
            "it is done, and something needs a person: what `attention` or `refused` lists, a damaged file, a request \
             that is not genuine, stock that is not what its ledger says, a failure that doctor found (with --strict: a \
             warning, too)",
            "status, top, queues, sources, inventory check, parked, outbox, replay, spool, send, verify, doctor",
        ),
    ])
}

impl Shown for ExitCodes {
    fn text(&self) -> String {
        let row = |meaning: &Meaning| [meaning.code.to_string(), meaning.by.to_owned(), meaning.means.to_owned()];
        table(["CODE", "BY", "MEANS"], self.0.iter().map(row))
    }
}
