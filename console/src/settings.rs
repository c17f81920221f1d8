//! Where the installation is, from the environment.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

/// Apart from what a command itself takes.
pub(crate) const HEADING: &str = "Global options";

/// Where the installation is; each command needs only some of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// The configuration file. Not needed by `inventory`, `outbox` (but for `destinations`, `pause` and
    /// `ls --webhook`), `parked ls`, `parked show`, `parked discard`, `spool ls` and `spool verify` with `--dir`,
    /// `console healthcheck`, `completions` and `exit-codes`; `providers` does without.
    #[arg(long, global = true, help_heading = HEADING, hide_short_help = true, env = "ONCEHOOK_CONFIG", default_value = "oncehook.toml")]
    pub(crate) config: PathBuf,
    /// Postgres: postgres://user:password@host:5432/database.
    #[arg(long, global = true, help_heading = HEADING, hide_short_help = true, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<SecretString>,
    /// `RabbitMQ`: <amqp://user:password@host:5672/%2f>; the nodes of a cluster with commas between them.
    #[arg(long, global = true, help_heading = HEADING, hide_short_help = true, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: Option<SecretString>,
    /// ingest's ops address, <http://host:9090>; several with commas. A name is asked for all of its addresses. Without
    /// one, `console`, `status`, `top`, `sources`, `webhooks ls` and `doctor` know nothing of its spool and of what it
    /// refuses.
    #[arg(long, global = true, help_heading = HEADING, hide_short_help = true, env = "INGEST_OPS_URL")]
    pub(crate) ingest_ops_url: Option<String>,
    /// The workers' ops addresses, in the same way. Without one, `console`, `top`, `doctor` and `outbox destinations` know
    /// nothing of rates, batches and breakers.
    #[arg(long, global = true, help_heading = HEADING, hide_short_help = true, env = "WORKER_OPS_URL")]
    pub(crate) worker_ops_url: Option<String>,
}
