//! Two faults at once, drawn at random from those that can be combined.

use anyhow::Context as _;
use futures_util::FutureExt as _;

use super::{Answers, Cost, Doubts, Fault, Injected, broker, network, postgres, workers};
use crate::world::World;

const COMBINED: [Fault; 6] =
    [broker::KILLED, broker::DISK_ALARM, network::BLACK_HOLE, network::CUT, postgres::KILLED, workers::FROZEN];

pub(super) const AT_ONCE: Fault = Fault {
    number: 26,
    name: "two-at-once",
    cost: Cost::Slow,
    answers: Answers::In2xxAtLast,
    doubts: Doubts::Some,
    setup: |_, _| {},
    inject: |world, chance| at_once(world, chance).boxed_local(),
};

async fn at_once(world: &World, chance: &mut fastrand::Rng) -> anyhow::Result<Injected> {
    let drawn = chance.choose_multiple(COMBINED.iter(), 2);
    let [one, other] = drawn.as_slice() else { anyhow::bail!("two faults are to be drawn") };
    let mut chances = [chance.fork(), chance.fork()];
    let [first, second] = &mut chances;
    let (one_injected, other_injected) = tokio::join!((one.inject)(world, first), (other.inject)(world, second));
    let (one_injected, other_injected) = (one_injected.context(one.name)?, other_injected.context(other.name)?);
    Injected::noted(format!("{}: {}; {}: {}", one.name, one_injected.note, other.name, other_injected.note))
}
