//! What the environment tells ingest: addresses and credentials. Everything else is in `oncehook.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

/// Ingest's environment.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The configuration file.
    #[arg(long, env = "ONCEHOOK_CONFIG", default_value = "oncehook.toml")]
    pub config: PathBuf,
    /// `RabbitMQ`: <amqp://user:password@host:5672/%2f>; the nodes of a cluster with commas between them.
    /// Needed to run, not to ask for health.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, required = true)]
    pub amqp_url: Option<SecretString>,
    /// Where webhooks are kept while the broker takes nothing; goes before `spool.directory` of the configuration.
    #[arg(long, env = "SPOOL_DIR")]
    pub spool_dir: Option<PathBuf>,
    /// Where webhooks are received.
    #[arg(long, env = "INGEST_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served; keep it off the public network.
    #[arg(long, env = "OPS_LISTEN", default_value = "127.0.0.1:9090")]
    pub ops_listen: SocketAddr,
}
