//! A mail server that drops, refuses for now, and takes its time.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::world::{World, until};

pub(super) const FAILING: Fault = Fault {
    number: 20,
    name: "mail-server-failing",
    cost: Cost::Slow,
    answers: Answers::Always2xx,
    doubts: Doubts::Any,
    setup: |setup, _| {
        // See dev/mail_sink.py: what an address begins with is what happens to it.
        setup.mix.mailboxes =
            vec![("drop-after-data", 10), ("drop-before-data", 5), ("temporary-once", 25), ("tarpit", 1)];
        setup.settings.push(("max_attempts = 48", "max_attempts = 3"));
    },
    inject: |world, _| failing(world).boxed_local(),
};

async fn failing(world: &World) -> anyhow::Result<Injected> {
    world.accepts(500).await?;
    let query = "SELECT count(*) FROM outbox WHERE ambiguous";
    let ambiguous = async || Ok(world.database.number(query).await? > 10);
    until(Duration::from_secs(60), "more than 10 ambiguous sends", ambiguous).await?;
    Injected::noted("dropped after DATA, dropped before, 451, tarpit of 60 s")
}
