//! ingest and its two limits, each put under the same load: on new queues, in a new process, with nobody who consumes.

use crate::load::{Load, Target, closed, open};
use crate::process::Program;
use crate::run::Run;

/// Connections over which an open loop sends: more than are ever busy, unless the server falls behind.
const OPEN_CONNECTIONS: usize = 256;

/// What is put under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Ours.
    Ingest,
    /// actix and lapin, and nothing else.
    Handler,
    /// lapin, and nothing else.
    Publisher,
}

impl Side {
    /// What plots and tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Handler => "bare handler",
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

    /// Webhooks at a rate.
    ///
    /// # Errors
    /// When one is not taken.
    pub(super) async fn open(self, run: &mut Run<'_>, per_second: f64) -> anyhow::Result<Load> {
        run.queues.renew().await?;
        let Some(program) = self.start(run).await? else {
            let span = run.settings.span();
            return run.publisher().await?.open(&mut run.shop, per_second, span).await;
        };
        let target = Target::new(program.address, &mut run.shop, OPEN_CONNECTIONS);
        let load = open(target, per_second, run.settings.span()).await?;
        program.stop().await?;
        Ok(load)
    }

    /// Its process, if it has one.
    async fn start(self, run: &Run<'_>) -> anyhow::Result<Option<Program>> {
        Ok(match self {
            Self::Ingest => Some(run.programs.ingest().await?),
            Self::Handler => Some(run.programs.handler(&run.queues.webhooks()).await?),
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
