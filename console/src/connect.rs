//! Connections for a command, with errors that say which setting is missing.

use anyhow::Context;
use deadpool_postgres::Client;
use secrecy::{ExposeSecret, SecretString};
use shared::amqp::Broker;
use shared::db::{self, DatabaseConfig};

use crate::settings::Settings;

/// How long one statement of a command may take, in milliseconds.
const STATEMENT_TIMEOUT_MS: u32 = 60_000;

/// A connection to the database.
pub(crate) async fn database(settings: &Settings) -> anyhow::Result<Client> {
    let url = setting("DATABASE_URL", settings.database_url.as_ref())?.clone();
    let config =
        DatabaseConfig { url, connections: 1, statement_timeout_ms: STATEMENT_TIMEOUT_MS, application: "oncehook" };
    db::pool(&config)?.get().await.context("cannot connect to Postgres (DATABASE_URL)")
}

/// The broker, not connected yet.
pub(crate) fn broker(settings: &Settings, heartbeat_s: u16) -> anyhow::Result<Broker> {
    let url = setting("AMQP_URL", settings.amqp_url.as_ref())?;
    Ok(Broker::new(url.expose_secret(), "oncehook", heartbeat_s)?)
}

pub(crate) fn setting<'a>(name: &str, value: Option<&'a SecretString>) -> anyhow::Result<&'a SecretString> {
    value.with_context(|| format!("{name} is not set"))
}
