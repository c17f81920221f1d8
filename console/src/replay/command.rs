//! The arguments of `oncehook replay`, and how its result is printed.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use shared::config::Config;
use shared::db::processed_webhooks::replays::ProcessedFilter;
use shared::db::processed_webhooks::{Status, WebhookKey};
use shared::message::{CHANGED_BODY_RUN, ReplayMode};
use shared::name::Name;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::run::{Execution, Run, Selection};
use crate::connect;
use crate::output::{Output, show};
use crate::settings::Settings;
use crate::steering::{Audited, Consent, DEFAULT_RATE, Outlet, Pace, Progress, Report, Reported, moment};

/// The arguments of `oncehook replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// One webhook: the source that sent it.
    #[arg(requires = "id", conflicts_with_all = ["of_source", "topic", "status", "since", "until"])]
    source: Option<String>,
    /// One webhook: its id, as the provider gave it.
    id: Option<String>,
    /// Many: those of one source.
    #[arg(long = "source", value_name = "NAME")]
    of_source: Option<String>,
    /// Many: those of one topic.
    #[arg(long)]
    topic: Option<String>,
    /// Many: those that a route took, or those that none did.
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Many: those that were processed then or later: a time such as 2026-11-23T17:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// Many: those that were processed before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// Let mails and calls go out again that went out before. Without it, a replay only does what is missing.
    #[arg(long)]
    resend: bool,
    /// The run's name: 1 to 64 of a-z, 0-9 and '-', beginning with a letter. A webhook runs once in each run, so a run
    /// that was cut off goes on when it is named again. One is made up if none is given.
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    run: Option<Name>,
    /// Webhooks a second; 0 for no limit.
    #[arg(long, default_value_t = DEFAULT_RATE)]
    rate: u32,
    /// Agree, where the terminal would be asked.
    #[arg(long)]
    yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command and prints its result.
pub(crate) async fn run(
    arguments: ReplayArgs,
    settings: &Settings,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let report = replay(settings, arguments).await?;
    show(&report, output, out)?;
    Ok(report.exit_code())
}

async fn replay(settings: &Settings, arguments: ReplayArgs) -> anyhow::Result<Report> {
    let (selection, consent) = arguments.selection()?;
    let config = Config::load(&settings.config)?;
    let mode = if arguments.resend { ReplayMode::Resend } else { ReplayMode::FillIn };
    let run = Run::new(arguments.run.map_or_else(new_run, Ok)?, mode, &config);
    let client = connect::database(settings).await?;
    let survey = Progress::during("counting", run.survey(&client, &selection)).await?;
    if let Some(report) = survey.concluded(arguments.dry_run) {
        return Ok(report);
    }
    consent.obtain(&survey.question())?;
    let outlet = Outlet::open(settings, &config.queue).await?;
    // Said before anything is done: whoever is cut off needs it.
    writeln!(std::io::stderr(), "if this is cut off, go on with --run {}", run.name).context("cannot write")?;
    let progress = Progress::of(survey.total());
    let execution = Execution {
        run: &run,
        client: &client,
        outlet: &outlet,
        pace: Pace::new(arguments.rate),
        progress: &|webhooks| progress.advance(webhooks),
    };
    let (subject, request) = told(&selection, &run.name, arguments.resend, arguments.rate);
    let audited = Audited::begin(&client, "webhooks.replay", (&subject, &request)).await?;
    let report = execution.carry_out(&selection).await;
    audited.report(outlet.close_behind(report).await).await
}

/// A replay as the audit says it: in short, and in full.
fn told(selection: &Selection, run: &Name, resend: bool, rate: u32) -> (String, Value) {
    let time = |at: &Option<OffsetDateTime>| at.and_then(|at| at.format(&Rfc3339).ok());
    let (what, which) = match selection {
        Selection::One(key) => (format!("{} {}", key.source, key.webhook_id), json!(key)),
        Selection::Matching(ProcessedFilter { source, topic, status, since, until }) => {
            let (since, until) = (time(since), time(until));
            let status = status.map(|status| status.as_str());
            let filter = json!({ "source": source, "topic": topic, "status": status, "since": since, "until": until });
            ("all that match".to_owned(), filter)
        }
    };
    let mode = if resend { ", everything sent again" } else { "" };
    let request = json!({ "webhooks": which, "run": run.as_str(), "resend": resend, "rate": rate });
    (format!("{what} in the run {run}{mode}"), request)
}

impl ReplayArgs {
    /// What to replay: one webhook, or many by a filter if somebody agrees.
    fn selection(&self) -> anyhow::Result<(Selection, Consent)> {
        if let (Some(source), Some(id)) = (&self.source, &self.id) {
            let key = WebhookKey { source: source.clone(), webhook_id: id.clone() };
            return Ok((Selection::One(key), Consent::Given));
        }
        let (source, topic) = (self.of_source.clone(), self.topic.clone());
        let filter = ProcessedFilter { source, topic, status: self.status, since: self.since, until: self.until };
        let takes_all = ProcessedFilter { source: None, topic: None, status: None, since: None, until: None };
        anyhow::ensure!(filter != takes_all, "name a webhook (SOURCE ID), or give a filter such as --since 2h");
        let consent = if self.yes { Consent::Given } else { Consent::Needed };
        Ok((Selection::Matching(filter), consent))
    }
}

/// Reads a run's name.
pub(crate) fn run_name(text: &str) -> Result<Name, String> {
    if text.starts_with(CHANGED_BODY_RUN) {
        return Err(format!("names that begin with {CHANGED_BODY_RUN} are taken"));
    }
    Name::try_from(text).map_err(|error| error.to_string())
}

/// A name that no run has had.
pub(crate) fn new_run() -> anyhow::Result<Name> {
    let id = Uuid::new_v4().simple().to_string();
    let short = id.get(..12).unwrap_or(&id);
    Ok(Name::try_from(format!("r{short}"))?)
}
