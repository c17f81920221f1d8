//! Why a worker does not start, or does not go on. Every text says what to mend.

use std::net::SocketAddr;

use shared::plan::PlannerMistake;

/// Why a worker does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The configuration file is mistaken.
    #[error(transparent)]
    Config(#[from] shared::config::ConfigError),
    /// A provider file is wrong.
    #[error("the provider files can't be used")]
    Providers(#[from] shared::provider::CatalogueError),
    /// Routes or effects do not compile (the configuration check reports the same).
    #[error("routes and effects do not compile: {0}")]
    Planner(String),
    /// A variable of the environment is missing.
    #[error("{0} is not set")]
    Unset(&'static str),
    /// Mail is to be sent and there is nowhere to send it.
    #[error("SMTP_URL and MAIL_FROM are needed: the configuration has effects of kind email, or OPERATOR_EMAIL is set")]
    NoMail,
    /// `SMTP_URL` cannot be read.
    #[error(transparent)]
    SmtpUrl(#[from] shared::smtp::SmtpUrlError),
    /// An effect of kind http cannot be performed.
    #[error(transparent)]
    HttpEffect(#[from] crate::dispatch::HttpEffectError),
    /// `AMQP_URL` cannot be read.
    #[error(transparent)]
    Broker(#[from] shared::amqp::AddressesError),
    /// `DATABASE_URL` cannot be read.
    #[error(transparent)]
    Pool(#[from] shared::db::PoolError),
    /// Postgres is away.
    #[error("cannot connect to Postgres")]
    Connect(#[from] deadpool_postgres::PoolError),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[from] shared::db::migrate::MigrateError),
    /// The first partitions could not be made.
    #[error("cannot make the payload partitions")]
    Partitions(#[from] tokio_postgres::Error),
    /// The watchdog's thread could not be started.
    #[error("cannot start the planning watchdog")]
    Watchdog(#[source] std::io::Error),
    /// The ops address is taken or not ours.
    #[error("cannot listen on {address} (OPS_LISTEN)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A task of the worker panicked; it must be started anew.
    #[error("a task of the worker ended before it was told to; its panic is in the log")]
    TaskEnded,
    /// The ops server could not be started.
    #[error("cannot serve the ops port")]
    Serve {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl WorkerError {
    pub(crate) fn planner(mistakes: Vec<PlannerMistake>) -> Self {
        let lines: Vec<String> =
            mistakes.into_iter().map(|mistake| format!("{}: {}", mistake.key, mistake.problem)).collect();
        Self::Planner(lines.join("; "))
    }
}
