//! ingest and its limits, each put under the same load: on new queues, in a new process, with nobody who consumes.

use crate::load::{Load, Target, closed, open};
use crate::process::Program;
use crate::run::Run;

/// Connections over which an open loop sends: more than are ever busy, unless the server falls behind.
const OPEN_CONNECTIONS: usize = 256;

/// Bare publishes a second beside an open loop: too few to be felt, enough for a p99.
const PROBES: f64 = 100.0;

/// What is put under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Ours.
    Ingest,
    /// actix and lapin, and nothing else.
    Handler,
    /// The same, with the header and the properties that ingest's messages have.
    MessageHandler,
    /// lapin, and nothing else.
    Publisher,
}

/// What an open loop saw.
#[derive(Debug)]
pub(super) struct Probed {
    /// The webhooks.
    pub(super) load: Load,
    /// The bare publishes.
    pub(super) probe: Load,
}

impl Side {
    /// What plots and tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Handler => "bare handler",
            Self::MessageHandler => "bare handler of ingest's message",
            Self::Publisher => "bare publisher",
        }
    }

    /// As many webhooks as come through, so many at once.
    ///
    /// # Errors
    /// When one is not taken.
    pub(super) async fn closed(self, run: &mut Run<'_>, connections: usize) -> anyhow::Result<Load> {
        run.queues.renew().await?;
        let Some(program) = self.start(run).await? else {
            let span = run.settings.span();
            return run.publisher().await?.closed(&mut run.shop, connections, span).await;
        };
        let load = under_load(run, &program, connections).await?;
        program.stop().await?;
        Ok(load)
    }

    /// Webhooks at a rate, and beside them a few bare publishes: what the broker took at that very moment.
    ///
    /// # Errors
    /// When one is not taken.
    pub(super) async fn open(self, run: &mut Run<'_>, per_second: f64) -> anyhow::Result<Probed> {
        run.queues.renew().await?;
        let span = run.settings.span();
        let (probe, body) = (run.publisher().await?, run.shop.body());
        let probing = probe.open(body.clone(), PROBES, span);
        let Some(program) = self.start(run).await? else {
            let publisher = run.publisher().await?;
            let (load, probe) = tokio::try_join!(publisher.open(body, per_second, span), probing)?;
            return Ok(Probed { load, probe });
        };
        let target = Target::new(program.address, &mut run.shop, OPEN_CONNECTIONS);
        let (load, probe) = tokio::try_join!(open(target, per_second, span), probing)?;
        program.stop().await?;
        Ok(Probed { load, probe })
    }

    /// Its process, if it has one.
    async fn start(self, run: &Run<'_>) -> anyhow::Result<Option<Program>> {
        Ok(match self {
            Self::Ingest => Some(run.programs.ingest().await?),
            Self::Handler => Some(run.programs.handler(&run.queues.webhooks(), false).await?),
            Self::MessageHandler => Some(run.programs.handler(&run.queues.webhooks(), true).await?),
            Self::Publisher => None,
        })
    }
}

/// Puts a running program under load.
///
/// # Errors
/// When a webhook is not answered 200.
pub(super) async fn under_load(run: &mut Run<'_>, program: &Program, connections: usize) -> anyhow::Result<Load> {
    let target = Target::new(program.address, &mut run.shop, connections);
    closed(target, run.settings.span()).await
}
