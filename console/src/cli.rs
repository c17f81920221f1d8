//! The commands and their arguments.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::doctor::command::DoctorArgs;
use crate::outbox::arguments::OutboxCommand;
use crate::output::{Output, show};
use crate::parked::arguments::ParkedCommand;
use crate::purge::PurgeArgs;
use crate::replay::command::ReplayArgs;
use crate::send::SendArgs;
use crate::server::command::ConsoleArgs;
use crate::settings::{HEADING, Settings};
use crate::spool::command::SpoolCommand;
use crate::top::command::TopArgs;
use crate::verify::VerifyArgs;
use crate::webhooks::command::WebhooksCommand;
use crate::{
    doctor, exit_codes, inventory, outbox, parked, providers, purge, queues, replay, send, server, sources, spool,
    status, top, verify, webhooks,
};

/// Sees and steers an Oncehook installation.
#[derive(Debug, Parser)]
#[command(
    name = "oncehook",
    version,
    after_help = "Exit codes: 0 done or fine, 1 not done, 2 wrong arguments, 3 needs a person; see `oncehook exit-codes`."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How to print.
    #[arg(long, global = true, help_heading = HEADING, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a script that completes commands and options: `oncehook completions bash > /etc/bash_completion.d/oncehook`.
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Serve the pages and the JSON API, until told to stop.
    Console(Box<ConsoleArgs>),
    /// Look at everything that an installation needs, change nothing, and say how to mend what is wrong.
    ///
    /// Run it where ingest or a worker runs, with the same environment, to see what they see. Exit code 3 with a
    /// failure, or with a warning under --strict, 0 otherwise.
    Doctor(DoctorArgs),
    /// What the exit codes mean.
    ExitCodes,
    /// Stock per SKU.
    #[command(subcommand)]
    Inventory(InventoryCommand),
    /// Effects that leave the database: what waits to be sent, and what a person must decide on.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Webhooks that could not be processed and wait for a person.
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Run processed webhooks again on purpose, from their stored bodies: one by its id, or many by a filter.
    ///
    /// Stock is never taken twice, and what went out stays out, unless --resend is said: a replay fills in what
    /// is missing, for instance after a mapping was mended. Exit code 1 when it stopped early, 3 when some were refused.
    Replay(ReplayArgs),
    /// The providers that are known.
    Providers,
    /// Count what is older than it is kept, and delete it if told to. The workers do it every hour by themselves.
    Purge(PurgeArgs),
    /// What each queue is for, and how full it is. Exit code 3 when something needs a person.
    Queues,
    /// Send a sample webhook, signed as its provider signs. Exit code 3 when it is not accepted.
    Send(SendArgs),
    /// Who is configured to send, and what has come of late. Exit code 3 when something needs a person.
    Sources,
    /// Explain why a request of a source passes or not. Exit code 3 when it does not.
    Verify(VerifyArgs),
    /// What ingest keeps on its disk while the broker is away; run it where that disk is.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Queue depths, outbox, parked webhooks, workers. Exit code 3 when something needs a person.
    Status,
    /// What goes on now, every second, what is wrong first; without a terminal, one look. Exit code 3 then when something
    /// needs a person.
    Top(TopArgs),
    /// Find webhooks, and tell the story of one.
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
}

#[derive(Debug, Subcommand)]
enum InventoryCommand {
    /// Set one SKU's stock; a known SKU gets an adjustment in the ledger.
    Set {
        /// The stock keeping unit.
        sku: String,
        /// What is in stock.
        #[arg(allow_negative_numbers = true)]
        quantity: i64,
    },
    /// Set many: a CSV file with the columns sku and quantity. All lines or none.
    Import {
        /// The file, or - for standard input.
        file: PathBuf,
    },
    /// Show all stock.
    Show,
    /// Hold every SKU's stock against its ledger, which is read whole. Exit code 3 when one differs.
    Check,
}

/// Runs a command and prints its result.
///
/// # Errors
/// When the command fails; the text is for the user.
pub async fn run(cli: Cli, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let settings = &cli.settings;
    match cli.command {
        Command::Completions { shell } => clap_complete::generate(shell, &mut Cli::command(), "oncehook", out),
        Command::Doctor(arguments) => return doctor::command::run(arguments, settings, cli.output, out).await,
        Command::ExitCodes => show(&exit_codes::list(), cli.output, out)?,
        Command::Inventory(InventoryCommand::Set { sku, quantity }) => {
            show(&inventory::set(settings, &sku, quantity).await?, cli.output, out)?;
        }
        Command::Inventory(InventoryCommand::Import { file }) => {
            show(&inventory::import(settings, &file).await?, cli.output, out)?;
        }
        Command::Inventory(InventoryCommand::Show) => show(&inventory::list(settings).await?, cli.output, out)?,
        Command::Inventory(InventoryCommand::Check) => {
            let drifts = inventory::check(settings).await?;
            show(&drifts, cli.output, out)?;
            return Ok(if drifts.is_none() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        Command::Outbox(command) => return outbox::command::run(command, settings, cli.output, out).await,
        Command::Parked(command) => return parked::command::run(command, settings, cli.output, out).await,
        Command::Replay(arguments) => return replay::command::run(arguments, settings, cli.output, out).await,
        Command::Sources => {
            let sources = sources::look(settings).await?;
            show(&sources, cli.output, out)?;
            return Ok(if sources.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        Command::Top(arguments) => return top::command::run(&arguments, settings, cli.output, out).await,
        Command::Webhooks(command) => return webhooks::command::run(command, settings, cli.output, out).await,
        Command::Spool(command) => return spool::command::run(command, settings, cli.output, out).await,
        Command::Providers => show(&providers::list(settings)?, cli.output, out)?,
        Command::Purge(arguments) => {
            let purged = purge::purge(settings, &arguments).await?;
            show(&purged, cli.output, out)?;
            return Ok(purged.exit_code());
        }
        Command::Queues => {
            let queues = queues::look(settings).await?;
            show(&queues, cli.output, out)?;
            return Ok(if queues.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        Command::Send(args) => {
            let sent = send::send(settings, &args).await?;
            show(&sent, cli.output, out)?;
            return Ok(if sent.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        Command::Verify(args) => {
            let verdict = verify::verify(settings, &args)?;
            show(&verdict, cli.output, out)?;
            return Ok(if verdict.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        Command::Console(arguments) => return server::command::run(&arguments, settings, out).await,
        Command::Status => {
            let status = status::gather(settings).await?;
            show(&status, cli.output, out)?;
            return Ok(if status.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
    }
    Ok(ExitCode::SUCCESS)
}
