//! What the environment tells the worker. Each variable can be given as an argument too, for a try at
//! a terminal; secrets belong into the environment, since arguments are seen by every user.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use lettre::message::Mailbox;
use secrecy::SecretString;

/// The worker's environment.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The configuration file.
    #[arg(long, env = "ONCEHOOK_CONFIG", default_value = "oncehook.toml")]
    pub config: PathBuf,
    /// Postgres: postgres://user:password@host:5432/database. Needed to run and to migrate.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, required = true)]
    pub database_url: Option<SecretString>,
    /// `RabbitMQ`: <amqp://user:password@host:5672/%2f>; the nodes of a cluster with commas between them.
    /// Needed to run.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, required = true)]
    pub amqp_url: Option<SecretString>,
    /// The mail server: smtps://user:password@host:465, smtp://host:587?tls=required, or
    /// smtp://host:25 in the clear.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<SecretString>,
    /// The sender of all mails: shop@example.com or "Our shop <shop@example.com>".
    #[arg(long, env = "MAIL_FROM")]
    pub mail_from: Option<Mailbox>,
    /// Who gets a mail when a webhook parks, at most one per reason and hour.
    #[arg(long, env = "OPERATOR_EMAIL")]
    pub operator_email: Option<lettre::Address>,
    /// Where /livez, /readyz and /metrics are served; keep it off the public network.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9091")]
    pub ops_listen: SocketAddr,
    /// Apply migrations at start. Turn off where `worker migrate` is run before.
    #[arg(long, env = "MIGRATE_ON_START", default_value_t = true, action = clap::ArgAction::Set)]
    pub migrate_on_start: bool,
}
