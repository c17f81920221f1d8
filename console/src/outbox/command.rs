//! Runs `oncehook outbox` and prints its results.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use shared::config::Config;
use shared::db::outbox::steer::Steer;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::arguments::{OutboxCommand, SteerArgs};
use super::destinations::{self, Destinations};
use super::steer::Steered;
use super::{list, pause, steer};
use crate::connect;
use crate::output::{Output, show};
use crate::server::monitor::services::{Asker, Service};
use crate::settings::Settings;
use crate::steering::{Audited, Progress, Reported};

/// Runs a command and prints its result.
pub(crate) async fn run(
    command: OutboxCommand,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let steered = match command {
        OutboxCommand::Ls(arguments) => {
            let config = arguments.webhook.as_ref().map(|_id| Config::load(&settings.config)).transpose()?;
            let client = connect::database(settings).await?;
            show(&list::list(&client, config.as_ref(), &arguments).await?, output, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        OutboxCommand::Destinations => {
            let config = Config::load(&settings.config)?;
            let workers = Asker::new()?.ask(Service::Worker, settings.worker_ops_url.as_deref()).await;
            let client = connect::database(settings).await?;
            let rows = destinations::read(&client).await.context("cannot read the outbox")?;
            let list = destinations::list(&rows, &config, &workers, OffsetDateTime::now_utc());
            let destinations = Destinations::new(list);
            show(&destinations, output, out)?;
            return Ok(destinations.exit_code());
        }
        OutboxCommand::Pause(arguments) => {
            let config = Config::load(&settings.config)?;
            let client = connect::database(settings).await?;
            show(&pause::pause(&client, &config, &arguments).await?, output, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        OutboxCommand::Resume { effect } => {
            let client = connect::database(settings).await?;
            show(&pause::resume(&client, effect).await?, output, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        OutboxCommand::Resend(arguments) => act(settings, arguments, Steer::Resend).await?,
        OutboxCommand::Hold(arguments) => act(settings, arguments, Steer::Hold).await?,
        OutboxCommand::Cancel(arguments) => act(settings, arguments, Steer::Cancel).await?,
    };
    show(&steered, output, out)?;
    Ok(steered.exit_code())
}

async fn act(settings: &Settings, arguments: SteerArgs, action: Steer) -> anyhow::Result<Steered> {
    let dry_run = arguments.dry_run;
    let (chosen, consent) = arguments.chosen(action)?;
    let client = connect::database(settings).await?;
    steer::all_there(&client, &chosen).await?;
    let survey = Progress::during("counting", steer::survey(&client, &chosen, action)).await?;
    if dry_run {
        return Ok(survey);
    }
    if survey.total() == 0 {
        return Ok(survey.into_done());
    }
    consent.obtain(&survey.question())?;
    let progress = Progress::counting(survey.total(), "effects");
    let (name, subject, request) = chosen.told(action);
    let audited = Audited::begin(&client, name, (&subject, &request)).await?;
    let never = CancellationToken::new();
    audited.report(Ok(steer::run(&client, &chosen, action, &never, &|rows| progress.advance(rows)).await)).await
}
