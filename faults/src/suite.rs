//! One run of one fault: load, fault, healing, draining, comparison.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::checker::{Evidence, check};
use crate::faults::{Answers, Destroyed, Fault, Injected, POISON, POISONED};
use crate::report::Run;
use crate::services::Services;
use crate::setup::Setup;
use crate::shop::Shop;
use crate::world::{SECRET, World};

/// Webhooks accepted before the fault, and after it is healed.
const AROUND: usize = 100;
/// How long the provider goes on trying after the last webhook.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long queues, spools and sends may take to drain; an interrupted dead-letter hop alone takes three minutes.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

/// What ingest promises for an answer, whatever happens (`ingest.accept_timeout_ms` and the head's time), with what the
/// client and a busy machine add.
const LONGEST_ANSWER: Duration = Duration::from_millis(4_500);

/// Runs a fault; what goes wrong is in the result.
pub(crate) async fn run(services: &Services, fault: &Fault, seed: u64) -> Run {
    let mut run = Run::new(fault, seed);
    let mut chance = fastrand::Rng::with_seed(seed ^ (u64::from(fault.number) << 32));
    let mut setup = Setup::default();
    (fault.setup)(&mut setup, &mut chance);
    let mix = (setup.mix.clone(), setup.per_second);
    match World::up(services, setup).await {
        Ok(world) => {
            let mut shop = Shop::new(&world.domain, SECRET, [chance.u64(..), 0], mix.0);
            let ran = break_it(&world, fault, &mut chance, (&mut shop, mix.1), &mut run).await;
            run.error = ran.err().map(|error| format!("{error:#}"));
            run.logs = world.directory.display().to_string();
            if run.error.is_some() {
                mend(services, &mut run).await;
            }
            if let Err(error) = world.tear_down(!run.passed()).await {
                run.error.get_or_insert(format!("tear down: {error:#}"));
            }
        }
        Err(error) => run.error = Some(format!("cannot set up: {error:#}")),
    }
    if run.error.is_some() {
        mend(services, &mut run).await;
    }
    run
}

async fn mend(services: &Services, run: &mut Run) {
    if let Err(error) = services.mend().await {
        run.notes.push(format!("the services could not be mended: {error:#}"));
    }
}

async fn break_it(
    world: &World,
    fault: &Fault,
    chance: &mut fastrand::Rng,
    (shop, per_second): (&mut Shop, u32),
    run: &mut Run,
) -> anyhow::Result<()> {
    let enough = CancellationToken::new();
    let loading = world.provider.send(shop, per_second, &enough);
    let breaking = async {
        let injected = inject(world, fault, chance).await;
        enough.cancel();
        injected
    };
    let ((), injected) = tokio::join!(loading, breaking);
    let (injected, healed) = injected?;
    run.notes.push(injected.note);
    let finished = world.provider.finish(PATIENCE).await;
    run.sent(&world.provider.history());
    anyhow::ensure!(finished, "some webhooks were never answered 2xx");
    let drained = world.drained(injected.destroyed.map(|destroyed| destroyed.at), DRAINED_WITHIN).await;
    run.recovered_after_s = healed.elapsed().as_secs_f64();
    let ends = world.ends().await?;
    (run.processes_killed, run.processes_failed) = (ends.killed, ends.failed);
    let stopped = world.stop_processes().await;
    compare(world, fault, injected.destroyed, run).await?;
    drained?;
    stopped?;
    let history = world.provider.history();
    let otherwise = history.answered_otherwise() + history.unanswered();
    anyhow::ensure!(
        fault.answers == Answers::In2xxAtLast || otherwise == 0,
        "{otherwise} deliveries were not answered 2xx: {:?}",
        history.answers
    );
    anyhow::ensure!(history.worst_answer <= LONGEST_ANSWER, "an answer took {:?}", history.worst_answer);
    anyhow::ensure!(fault.number == POISONED || ends.failed == 0, "{} processes failed by themselves", ends.failed);
    Ok(())
}

async fn inject(world: &World, fault: &Fault, chance: &mut fastrand::Rng) -> anyhow::Result<(Injected, Instant)> {
    world.accepts(AROUND).await.context("before the fault")?;
    let injected = (fault.inject)(world, chance).await?;
    let healed = Instant::now();
    world.accepts(AROUND).await.context("after the fault")?;
    Ok((injected, healed))
}

async fn compare(world: &World, fault: &Fault, destroyed: Option<Destroyed>, run: &mut Run) -> anyhow::Result<()> {
    let books = world.database.books().await?;
    let (mails, calls) = (world.mails().await?, world.calls()?);
    let residue = world.residue(&books).await?;
    let history = world.provider.history();
    let evidence = Evidence {
        history: &history,
        books: &books,
        mails: &mails,
        calls: &calls,
        residue: &residue,
        destroyed,
        may_park: &POISON,
        doubts: fault.doubts,
    };
    run.found(&evidence, check(&evidence));
    Ok(())
}
