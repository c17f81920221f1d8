//! Postgres: connections, migrations, and every SQL statement, one module a table.
//!
//! Statements are constants beside the function that runs them; columns are named and rows are
//! read by name. Sessions run READ COMMITTED with timeouts, so that a frozen worker's transaction
//! is ended by the database and its late COMMIT fails.

pub mod console_audit;
pub mod console_sessions;
pub mod console_tokens;
pub mod indexes;
pub mod inventory;
pub mod inventory_ledger;
pub mod migrate;
pub mod outbox;
pub mod parked_webhooks;
pub mod paused_effects;
pub mod processed_webhooks;
pub mod retention;
pub mod server;
pub mod webhook_bodies;
pub mod webhook_failures;
pub mod webhook_payloads;
pub mod webhook_search_keys;

mod content;
mod failure;

use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls;

pub use self::content::Content;
pub use self::failure::{Failure, classify};

/// How long a statement waits for a lock before it gives up.
const LOCK_TIMEOUT_MS: u32 = 2_000;
/// How long a transaction may sit idle before Postgres ends its session.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: u32 = 15_000;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the database is and how many connections to hold.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// A `postgres://` URL. Never logged.
    pub url: secrecy::SecretString,
    /// Connections held at most.
    pub connections: usize,
    /// `statement_timeout` of every session, in milliseconds; 0 for none.
    pub statement_timeout_ms: u32,
    /// What the database's own pages call the sessions.
    pub application: &'static str,
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The URL cannot be read. Shows neither the URL nor its password.
    #[error("DATABASE_URL is not a Postgres address such as postgres://user:password@host:5432/database")]
    Address(#[source] tokio_postgres::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for the connection to Postgres")]
    Tls(#[from] rustls::Error),
    /// The pool cannot be made.
    #[error("cannot make a pool of connections")]
    Build(#[from] deadpool_postgres::BuildError),
}

/// Makes a pool. Connects lazily. TLS is used where the URL says `sslmode=require` (or `prefer`);
/// the certificate must verify against the system's.
///
/// # Errors
/// When the URL cannot be read or TLS not be set up.
pub fn pool(config: &DatabaseConfig) -> Result<Pool, PoolError> {
    let tls = MakeRustlsConnect::new(tls::client_config()?);
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(session_config(config)?, tls, manager_config);
    let pool = Pool::builder(manager)
        .max_size(config.connections)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .build()?;
    Ok(pool)
}

fn session_config(config: &DatabaseConfig) -> Result<tokio_postgres::Config, PoolError> {
    use secrecy::ExposeSecret;
    let url = config.url.expose_secret();
    let mut session = tokio_postgres::Config::from_str(url).map_err(PoolError::Address)?;
    if !url.contains("sslmode=") {
        // The library's own default tries TLS and then insists on a certificate that verifies.
        session.ssl_mode(SslMode::Disable);
    }
    let own_options = session.get_options().map_or_else(String::new, |options| format!("{options} "));
    session.connect_timeout(CONNECT_TIMEOUT).application_name(config.application).options(format!(
        "{own_options}-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={} -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}",
        config.statement_timeout_ms,
    ));
    // A dead peer is noticed by the kernel, not after hours.
    session.keepalives_idle(Duration::from_secs(10)).keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
    session.tcp_user_timeout(Duration::from_secs(20));
    Ok(session)
}

/// Why there is no answer from the database: it did not come in time, and the connection is given up.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer within {} s; its connection is given up", .0.as_secs_f64())]
pub struct Silent(Duration);

/// Waits for an answer on a connection for so long and no longer. A peer that is silent for good (a frozen proxy, a
/// network that swallows) is noticed neither by `statement_timeout`, which is the server's, nor by the kernel, to
/// which a proxy answers. The connection then leaves its pool; whether a COMMIT went through is not known.
///
/// # Errors
/// [`Silent`], when there is no answer in time.
pub async fn answer_within<T>(
    patience: Duration,
    mut client: deadpool_postgres::Client,
    ask: impl AsyncFnOnce(&mut deadpool_postgres::Client) -> T,
) -> Result<T, Silent> {
    match tokio::time::timeout(patience, ask(&mut client)).await {
        Ok(answer) => Ok(answer),
        Err(_elapsed) => {
            drop(deadpool_postgres::Object::take(client));
            Err(Silent(patience))
        }
    }
}

/// A JSON array or object as text, for a `::jsonb` cast. What we store always serialises.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_never| "null".to_owned())
}

/// The database's clock: rows that are written from now on are not older.
///
/// # Errors
/// When the statement fails.
pub async fn now(client: &deadpool_postgres::Client) -> Result<time::OffsetDateTime, tokio_postgres::Error> {
    client.query_one("SELECT now() AS now", &[]).await?.try_get("now")
}

/// A text that a column takes: Postgres' text holds no NUL, and an error may quote one from a body
/// or a server. Bounded, too.
#[must_use]
pub fn storable(text: &str) -> String {
    const MAX_CHARS: usize = 2_000;
    text.chars().filter(|char| *char != '\0').take(MAX_CHARS).collect()
}
