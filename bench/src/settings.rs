//! What the command line and the environment tell the benchmark: `dev/bench` sets all of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use crate::load::Span;

/// What a run is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// Postgres: any database of the instance.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: SecretString,
    /// The broker.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: SecretString,
    /// The broker's management API.
    #[arg(long, env = "RABBITMQ_API_URL", hide_env_values = true)]
    pub(crate) rabbitmq_api_url: SecretString,
    /// Where the release binaries `ingest`, `worker` and `oncehook` are.
    #[arg(long, env = "BENCH_BINARIES")]
    pub(crate) binaries: PathBuf,
    /// A directory on the disk that is to be measured.
    #[arg(long, env = "BENCH_DATA")]
    pub(crate) data: PathBuf,
    /// Where the services have put `postgres.pid` and `rabbitmq.pid`.
    #[arg(long, env = "BENCH_PIDS")]
    pub(crate) pids: PathBuf,
    /// The log of Postgres, from which the worker's statements are read.
    #[arg(long, env = "BENCH_POSTGRES_LOG")]
    pub(crate) postgres_log: PathBuf,
    /// Where results and plots go.
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
    /// One figure; all without it.
    #[arg(long, env = "FIGURE")]
    pub(crate) figure: Option<String>,
    /// How often each figure is measured.
    #[arg(long, env = "ROUNDS")]
    rounds: Option<usize>,
    /// Two short rounds.
    #[arg(long)]
    quick: bool,
    /// Messages that wait while one worker's memory is measured.
    #[arg(long, env = "BACKLOG")]
    backlog: Option<usize>,
    /// Rows of `processed_webhooks` in the large database.
    #[arg(long, env = "GROWTH_ROWS", default_value_t = 10_000_000)]
    pub(crate) growth_rows: i64,
    /// Webhooks that the console's pages are measured before.
    #[arg(long, env = "CONSOLE_ROWS", default_value_t = 1_000_000)]
    pub(crate) console_rows: i64,
    /// Connections on which a worker writes batches: as many clients does pgbench get.
    #[arg(long, env = "WRITERS", default_value_t = 1)]
    pub(crate) writers: usize,
}

impl Settings {
    /// How often each figure is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }).max(1)
    }

    /// How long ingest and its limits are under load.
    pub(crate) fn span(&self) -> Span {
        let (warm_up, counted) = if self.quick { (500, 2000) } else { (2000, 8000) };
        Span { warm_up: Duration::from_millis(warm_up), counted: Duration::from_millis(counted) }
    }

    /// Webhooks that a worker drains.
    pub(crate) fn drained(&self) -> usize {
        if self.quick { 10_000 } else { 40_000 }
    }

    /// Webhooks that a worker drains one by one.
    pub(crate) fn drained_singly(&self) -> usize {
        if self.quick { 1_000 } else { 4_000 }
    }

    /// Webhooks that wait while one worker's memory is measured.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.unwrap_or(if self.quick { 50_000 } else { 1_000_000 })
    }

    /// Effects of each kind that are sent.
    pub(crate) fn sent(&self) -> usize {
        if self.quick { 2_000 } else { 10_000 }
    }

    /// The process of a service of the instance.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn service_pid(&self, service: &str) -> anyhow::Result<u32> {
        Ok(std::fs::read_to_string(self.pids.join(format!("{service}.pid")))?.trim().parse()?)
    }
}
