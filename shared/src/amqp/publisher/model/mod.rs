//! The confirm matcher under every schedule: requesters, a channel, and a broker that may do whatever
//! lapin and RabbitMQ may do, interleaved by shuttle.
//!
//! The law: a requester hears `Ok` only when its own message is on its queue; every requester hears
//! something; nothing is published on a channel that failed. What runs is the publisher's own code, from
//! handing a message in to hearing of it; only the channel is a model ([`broker`]).
//!
//! Worlds of two requesters are run under every schedule there is, so a test that fails fails again
//! in the same way; larger ones under seeded random schedules. Not covered: what happens within one
//! poll. There the code's tasks meet only in tokio's channels.

mod broker;
mod planted;

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::BasicProperties;
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::scheduler::{DfsScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use self::broker::{Link, World, lock};
use self::planted::Bug;
use super::requests::{Company, Requests, Submissions, requests};
use super::session::publish_all;
use super::window::{BATCHES, WindowLimits};
use super::{MessagingMetrics, PublishError, PublisherConfig};

/// What the broker does with one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    Refused,
    /// It has no queue: it comes back, and is then acknowledged as if nothing were.
    Unroutable,
    /// It is on its queue, and nobody hears of it.
    Silent,
}

/// What may happen beside the messages' own fates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The connection is lost, and all confirms with it.
    Lost,
    /// The budget of what is in flight runs out.
    Late,
    /// The publisher is told to stop.
    Stop,
    /// The first requester goes away.
    Gone,
}

/// One world; the schedules through it are explored by shuttle.
#[derive(Debug, Clone, Copy)]
struct Script {
    /// Of the messages, one a requester.
    fates: [Fate; 3],
    requesters: usize,
    /// The most messages in flight.
    window: usize,
    /// The most batches in flight while the broker is not slow.
    batches: usize,
    /// Where in a row of confirms that come together lapin begins to settle them, and so which of
    /// them gets a message that came back.
    first_settled: usize,
    /// What happens at which step of the broker.
    fault: Option<(Fault, usize)>,
    bug: Option<Bug>,
}

impl Script {
    /// Three requesters and room for all of them; nothing happens but to the messages.
    fn of(fates: [Fate; 3]) -> Self {
        Self { fates, requesters: 3, window: 3, batches: BATCHES, first_settled: 0, fault: None, bug: None }
    }
}

/// One run of a script, under one schedule.
async fn run(script: Script) -> Arc<World> {
    let world = World::new(script);
    let (submissions, waiting) = requests(3);
    // One task: they come one after the other, at any moment, and meet nobody but the publisher.
    let requesters = (0u8..).take(script.requesters);
    let requesters: Vec<_> =
        requesters.map(|message| request(Arc::clone(&world), message, submissions.clone())).collect();
    let requesters = spawn(join_all(requesters));
    drop(submissions);
    supervise(&world, waiting).await;
    requesters.await.unwrap();
    world
}

/// The publisher's sessions, until it is told to stop or all requesters are gone.
async fn supervise(world: &Arc<World>, mut requests: Requests) {
    let window = WindowLimits { messages: world.script.window, bytes: usize::MAX, batches: world.script.batches };
    let config = PublisherConfig { window, timeout: Duration::MAX, metrics: MessagingMetrics::default() };
    while !world.stop.is_cancelled() {
        let (link, channel) = Link::open(world);
        let ended = match world.script.bug {
            None => publish_all(&channel, &mut requests, &config, &world.stop).await,
            Some(bug) => planted::publish_all(bug, &channel, &mut requests).await,
        };
        link.lose();
        if ended.is_ok() {
            return;
        }
    }
}

/// Publishes one message and writes down what it hears of it; the first one may go away.
async fn request(world: Arc<World>, message: u8, submissions: Submissions) {
    for _ in 0..message {
        yield_now().await;
    }
    let patience = async {
        match message {
            0 => world.gone.cancelled().await,
            _ => pending().await,
        }
    };
    let heard = tokio::select! {
        biased;
        () = patience => Err(PublishError::TimedOut),
        heard = submissions.submit(Company::Shared, "webhooks", BasicProperties::default(), vec![message].into()) => heard,
    };
    lock(&world.heard).push((message, heard));
}

fn law(world: &World) -> Result<(), String> {
    if let Some(broken) = lock(&world.broken).first() {
        return Err(broken.clone());
    }
    let (heard, stored) = (lock(&world.heard), lock(&world.stored));
    if heard.len() != world.script.requesters {
        return Err(format!("only {} of {} requesters heard", heard.len(), world.script.requesters));
    }
    match heard.iter().find(|(message, heard)| heard.is_ok() && !stored.contains(message)) {
        Some((message, _)) => Err(format!("message {message}: Ok, and it is on no queue")),
        None => Ok(()),
    }
}

/// Runs a script under the schedules of a scheduler; returns how many, or what was broken.
fn explore(script: Script, scheduler: impl Scheduler + 'static) -> Result<usize, String> {
    let broken = Arc::new(Mutex::new(None));
    let found = Arc::clone(&broken);
    let exploring = AssertUnwindSafe(|| {
        Runner::new(scheduler, Config::default()).run(move || {
            if let Err(what) = law(&block_on(run(script))) {
                lock(&found).get_or_insert(what);
            }
        })
    });
    match (catch_unwind(exploring), lock(&broken).take()) {
        (Ok(schedules), None) => Ok(schedules),
        (_, Some(what)) => Err(format!("{what}; {script:?}")),
        (Err(_deadlock), None) => Err(format!("somebody waits for ever; {script:?}")),
    }
}

/// All schedules there are.
fn all() -> DfsScheduler {
    DfsScheduler::new(None, false)
}

const FATES: [Fate; 4] = [Fate::Stored, Fate::Refused, Fate::Unroutable, Fate::Silent];
/// Those that somebody hears of, sooner than a fault.
const HEARD: [Fate; 3] = [Fate::Stored, Fate::Refused, Fate::Unroutable];
/// Two messages make as many steps: a publish each, and what it leads to.
const STEPS: usize = 4;

/// All worlds of two requesters that differ.
fn small_worlds(window: usize, fates: &[Fate], faults: &[Option<(Fault, usize)>]) -> Vec<Script> {
    let mut scripts = Vec::new();
    for fault in faults {
        for (first, second) in fates.iter().flat_map(|first| fates.iter().map(|second| (*first, *second))) {
            // Where lapin begins matters only to a message that came back.
            let returns = [first, second].contains(&Fate::Unroutable);
            for first_settled in 0..if returns { 2 } else { 1 } {
                let fates = [first, second, Fate::Stored];
                scripts.push(Script { requesters: 2, window, first_settled, fault: *fault, ..Script::of(fates) });
            }
        }
    }
    scripts
}

fn at_every_step(fault: Fault) -> Vec<Option<(Fault, usize)>> {
    (0..STEPS).map(|step| Some((fault, step))).collect()
}

fn holds(scripts: &[Script]) {
    let schedules: usize =
        scripts.iter().map(|script| explore(*script, all()).unwrap_or_else(|broken| panic!("{broken}"))).sum();
    println!("{} worlds, {schedules} schedules", scripts.len());
    assert!(schedules > 10 * scripts.len(), "{schedules} schedules are no exploration");
}

#[test]
fn nobody_is_told_of_anothers_message_under_any_schedule() {
    holds(&small_worlds(3, &FATES, &[None]));
    holds(&small_worlds(1, &FATES, &[None]));
}

/// One batch may be in flight, and another whenever the broker is slow.
#[test]
fn a_batch_more_for_a_slow_broker_is_told_nothing_else_under_any_schedule() {
    let slow = |faults: &[Option<(Fault, usize)>]| {
        let worlds = small_worlds(3, &HEARD, faults).into_iter();
        holds(&worlds.map(|world| Script { batches: 1, ..world }).collect::<Vec<_>>());
    };
    slow(&[None]);
    slow(&at_every_step(Fault::Lost));
    slow(&at_every_step(Fault::Stop));
}

#[test]
fn a_lost_connection_fails_what_was_in_hand_under_any_schedule() {
    holds(&small_worlds(3, &HEARD, &at_every_step(Fault::Lost)));
    holds(&small_worlds(1, &HEARD, &[Some((Fault::Lost, 2))]));
}

#[test]
fn a_budget_that_runs_out_beside_a_confirm_is_told_once_under_any_schedule() {
    holds(&small_worlds(3, &HEARD, &at_every_step(Fault::Late)));
}

#[test]
fn a_stop_finishes_what_is_in_flight_under_any_schedule() {
    holds(&small_worlds(3, &HEARD, &at_every_step(Fault::Stop)));
}

#[test]
fn a_requester_that_goes_away_shifts_no_answer_under_any_schedule() {
    holds(&small_worlds(3, &[Fate::Stored, Fate::Refused], &at_every_step(Fault::Gone)));
}

/// With a message that comes back there are too many schedules to see them all.
#[test]
fn a_requester_that_goes_away_shifts_no_answer_beside_a_message_that_came_back() {
    for script in small_worlds(3, &HEARD, &at_every_step(Fault::Gone)) {
        explore(script, RandomScheduler::new_from_seed(7, 200)).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

/// Three requesters have too many schedules to see them all.
#[test]
fn larger_worlds_hold_under_random_schedules() {
    let faults = [None, Some(Fault::Lost), Some(Fault::Late), Some(Fault::Stop), Some(Fault::Gone)];
    for world in 0..300 {
        let (fates, fault) = ([world, world / 4, world / 16].map(|digit| FATES[digit % 4]), faults[world % 5]);
        let fault = fault.map(|fault| (fault, world % 7));
        let (window, batches) = (2 + world % 2, 1 + world / 2 % 2);
        let script = Script { window, batches, first_settled: world % 3, fault, ..Script::of(fates) };
        let seed = u64::try_from(world).unwrap();
        explore(script, RandomScheduler::new_from_seed(seed, 30)).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

#[test]
fn every_planted_bug_is_found() {
    let in_some_of = |worlds: Vec<Script>, bug: Bug| {
        worlds
            .into_iter()
            .find_map(|world| explore(Script { bug: Some(bug), ..world }, RandomScheduler::new_from_seed(1, 100)).err())
            .unwrap_or_else(|| panic!("{bug:?} went unnoticed"))
    };
    let found = |bug: Bug, faults: &[Option<(Fault, usize)>]| in_some_of(small_worlds(3, &FATES, faults), bug);
    let wrong = |what: &str, broken: &str| assert!(broken.contains(what), "{broken}");
    wrong("Ok, and it is on no queue", &found(Bug::SettledOneByOne, &[None]));
    wrong("Ok, and it is on no queue", &found(Bug::GoneAreLeftOut, &at_every_step(Fault::Gone)));
    wrong("on a channel that failed", &found(Bug::LateChannelsGoOn, &at_every_step(Fault::Late)));
    wrong("somebody waits for ever", &found(Bug::FailuresAreNotAnswered, &at_every_step(Fault::Lost)));
    // It takes three: the oldest, one behind it that is not settled, and one behind that which got what came back.
    let fates = [Fate::Unroutable, Fate::Stored, Fate::Stored];
    let three = Script { first_settled: 2, ..Script::of(fates) };
    wrong("Ok, and it is on no queue", &in_some_of(vec![three], Bug::NobodyLooksBehind));
}
