//! A hundred copies of one webhook at once.

use futures_util::FutureExt as _;

use super::{Answers, Cost, Doubts, Fault, Injected};
use crate::shop::{Mix, Shop};
use crate::world::{SECRET, World};

/// Ids that are sent a hundredfold.
const ROUNDS: usize = 10;
const COPIES: usize = 100;

pub(super) const CONCURRENT: Fault = Fault {
    number: 21,
    name: "concurrent-copies",
    cost: Cost::Cheap,
    answers: Answers::Always2xx,
    doubts: Doubts::Hardly,
    setup: |setup, _| setup.workers = 8,
    inject: |world, chance| concurrent(world, chance.u64(..)).boxed_local(),
};

async fn concurrent(world: &World, seed: u64) -> anyhow::Result<Injected> {
    let mut shop = Shop::new(&world.domain, SECRET, [seed, 1], Mix::default());
    for _ in 0..ROUNDS {
        let webhook = shop.next_webhook();
        for _ in 0..COPIES {
            world.provider.begin(webhook.clone());
        }
        world.accepts(10).await?;
    }
    Injected::noted(format!("{ROUNDS} times {COPIES} copies at once on 8 workers"))
}
