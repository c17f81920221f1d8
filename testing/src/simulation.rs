//! Seeded simulations: worlds in memory that live, and break, by a number.
//!
//! A life is a function of its seed alone, so whatever breaks can be seen again. A failing test says
//! what was broken, shows the last steps of the shortest broken life that it found, and the command
//! that repeats it:
//!
//! ```text
//! SIM_SEED=17 cargo nextest run -p worker -E 'test(=simulation::the_law_holds)' --no-capture
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

/// The variable that has a test live one seed alone, and show all of its steps.
const SEED: &str = "SIM_SEED";
/// The steps that a failing test shows.
const LAST_STEPS: usize = 60;
/// After a seed is broken, so many more are lived to find one that breaks sooner.
const SEEDS_TO_SHRINK: u64 = 200;

/// Numbers by chance, the same for the same seed: splitmix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins a row of numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to less than `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// The same for positions.
    pub fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(u64::try_from(limit).unwrap())).unwrap()
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.index(items.len())]
    }
}

/// What happened in a life: how many steps, of which kinds, and where somebody will look at them,
/// which.
#[derive(Debug, Default)]
pub struct Log {
    /// How many steps.
    pub steps: u64,
    /// The kinds of steps.
    pub seen: BTreeSet<&'static str>,
    last: VecDeque<String>,
    /// How many steps are kept.
    keeps: usize,
}

impl Log {
    fn keeping(keeps: usize) -> Self {
        Self { keeps, ..Self::default() }
    }

    /// A step.
    pub fn note(&mut self, kind: &'static str, detail: impl FnOnce() -> String) {
        self.steps += 1;
        self.see(kind);
        if self.keeps > 0 {
            if self.last.len() == self.keeps {
                self.last.pop_front();
            }
            self.last.push_back(format!("{:6} {kind}: {}", self.steps, detail()));
        }
    }

    /// Something that is no step of its own.
    pub fn see(&mut self, kind: &'static str) {
        self.seen.insert(kind);
    }
}

/// A life that has been lived.
#[derive(Debug)]
pub struct Life {
    /// What happened in it.
    pub log: Log,
    /// What of the law was broken in it.
    pub broken: Option<String>,
}

/// What lives have come to.
#[derive(Debug, Default)]
pub struct Lived {
    /// How many steps they had together.
    pub steps: u64,
    /// The kinds of what happened in them.
    pub seen: BTreeSet<&'static str>,
}

impl Lived {
    /// A simulation must come to what it is made for.
    ///
    /// # Panics
    /// When the lives had fewer steps, or none of one of these kinds.
    pub fn assert_seen(&self, least_steps: u64, kinds: &[&'static str]) {
        assert!(self.steps >= least_steps, "only {} steps", self.steps);
        let unseen: Vec<_> = kinds.iter().filter(|kind| !self.seen.contains(*kind)).collect();
        assert!(unseen.is_empty(), "in {} steps never seen: {unseen:?}", self.steps);
    }
}

/// The one seed that is asked for, by `SIM_SEED`.
///
/// # Panics
/// When it is no number.
#[must_use]
pub fn only_seed() -> Option<u64> {
    std::env::var(SEED).ok().map(|seed| seed.parse().expect("SIM_SEED is a number"))
}

/// Lives all seeds, or the one of `SIM_SEED`: then there is nothing to be said of all of them, and
/// `None` is returned. `package` and `test` say how the test is called.
///
/// # Panics
/// When the law is broken in one of them.
pub fn hold(package: &str, test: &str, seeds: Range<u64>, live: impl Fn(u64, Log) -> Life) -> Option<Lived> {
    if let Some(seed) = only_seed() {
        report(package, test, seed, live(seed, Log::keeping(usize::MAX)));
        return None;
    }
    let mut lived = Lived::default();
    for seed in seeds {
        let life = live(seed, Log::default());
        if life.broken.is_some() {
            let shortest = shrink(seed, life.log.steps, &live);
            report(package, test, shortest, live(shortest, Log::keeping(LAST_STEPS)));
        }
        lived.steps += life.log.steps;
        lived.seen.extend(life.log.seen);
    }
    Some(lived)
}

/// A seed after this one that breaks sooner, if there is one.
fn shrink(broken: u64, steps: u64, live: impl Fn(u64, Log) -> Life) -> u64 {
    let more = (broken + 1..=broken + SEEDS_TO_SHRINK).map(|seed| (live(seed, Log::default()), seed));
    let shorter = more.filter(|(life, _)| life.broken.is_some() && life.log.steps < steps);
    shorter.min_by_key(|(life, _)| life.log.steps).map_or(broken, |(_, seed)| seed)
}

fn report(package: &str, test: &str, seed: u64, life: Life) {
    for step in &life.log.last {
        println!("{step}");
    }
    if let Some(broken) = life.broken {
        let command = format!("{SEED}={seed} cargo nextest run -p {package} -E 'test(={test})' --no-capture");
        panic!("seed {seed}, after {} steps: {broken}\nagain: {command}", life.log.steps);
    }
}

/// A planted bug must break a law in one of the seeds: a check that cannot fail is no check.
///
/// # Panics
/// When it does not.
pub fn find<B: std::fmt::Debug + Copy>(bug: B, law: &str, seeds: Range<u64>, live: impl Fn(u64, B) -> Life) {
    let mut broken = seeds.filter_map(|seed| live(seed, bug).broken);
    assert!(broken.any(|broken| broken.contains(law)), "{bug:?} went unnoticed: never {law:?}");
}
