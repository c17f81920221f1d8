//! Runs `oncehook parked` and prints its results.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;
use shared::config::Config;
use shared::db::parked_webhooks::rows::Standing;
use shared::db::processed_webhooks::WebhookKey;
use tokio_util::sync::CancellationToken;

use super::arguments::{DiscardArgs, ListArgs, ParkedCommand, RedriveArgs};
use super::redrive::Redrive;
use super::ticket::Rules;
use super::{discard, list, redrive, show as details};
use crate::connect;
use crate::output::{Output, show};
use crate::settings::Settings;
use crate::steering::{Audited, Outlet, Pace, Progress, Report, Reported};

/// Runs a command and prints its result.
pub(crate) async fn run(
    command: ParkedCommand,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let report = match command {
        ParkedCommand::Ls(ListArgs { filter, state, limit, after }) => {
            let client = connect::database(settings).await?;
            let page = list::list(&client, &filter.with(state.standing()), after.as_ref(), limit).await?;
            show(&page, output, out)?;
            return Ok(ExitCode::SUCCESS);
        }
        ParkedCommand::Show { source, id, raw } => {
            let client = connect::database(settings).await?;
            let key = WebhookKey { source, webhook_id: id };
            if raw {
                out.write_all(&details::raw(&client, &key).await?)?;
            } else {
                show(&details::details(&client, &key).await?, output, out)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        ParkedCommand::Redrive(arguments) => redrive(settings, arguments).await?,
        ParkedCommand::Discard(arguments) => discard(settings, arguments).await?,
    };
    show(&report, output, out)?;
    Ok(report.exit_code())
}

async fn redrive(settings: &Settings, arguments: RedriveArgs) -> anyhow::Result<Report> {
    let RedriveArgs { target, state, rate, accept } = arguments;
    let (selection, consent) = target.selection(state.standing())?;
    let config = Config::load(&settings.config)?;
    let rules = Rules::new(&config, accept)?;
    let client = connect::database(settings).await?;
    let survey = Progress::during("counting", redrive::survey(&client, &selection, &rules)).await?;
    if let Some(report) = survey.concluded(target.dry_run) {
        return Ok(report);
    }
    consent.obtain(&survey.question())?;
    let outlet = Outlet::open(settings, &config.queue).await?;
    let progress = Progress::of(survey.total());
    let how = json!({ "accept": rules.accepted(), "rate": rate });
    let (subject, request) = selection.told(how);
    let audited = Audited::begin(&client, "parked.redrive", (&subject, &request)).await?;
    let redrive = Redrive {
        client: &client,
        rules: &rules,
        outlet: &outlet,
        pace: Pace::new(rate),
        progress: &|webhooks| progress.advance(webhooks),
    };
    let report = redrive.run(&selection).await;
    audited.report(outlet.close_behind(report).await).await
}

async fn discard(settings: &Settings, arguments: DiscardArgs) -> anyhow::Result<Report> {
    let DiscardArgs { target, because } = arguments;
    anyhow::ensure!(!because.trim().is_empty(), "say --because of what");
    let (selection, consent) = target.selection(Standing::Waiting)?;
    let client = connect::database(settings).await?;
    let survey = Progress::during("counting", discard::survey(&client, &selection)).await?;
    if let Some(report) = survey.concluded(target.dry_run) {
        return Ok(report);
    }
    consent.obtain(&survey.question())?;
    let (subject, request) = selection.told(json!({ "because": because }));
    let audited = Audited::begin(&client, "parked.discard", (&subject, &request)).await?;
    let progress = Progress::of(survey.total());
    let (never, advance) = (CancellationToken::new(), |webhooks| progress.advance(webhooks));
    let discarded = discard::discard(&client, &selection, &because, &never, &advance).await;
    audited.report(discarded).await
}
