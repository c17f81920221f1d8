//! Postgres itself, as far as what we promise depends on how it is set up.
//!
//! A server that does not sync its log, or answers COMMIT before it has, forgets what was acknowledged; one without
//! autovacuum grows slow and at last stops.

use deadpool_postgres::Client;
use serde::Serialize;
use tokio_postgres::Error;

const FACTS: &str = "
    SELECT current_setting('server_version') AS version,
           current_setting('server_encoding') AS encoding,
           pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS read_only,
           current_setting('fsync')::boolean AS fsync,
           current_setting('full_page_writes')::boolean AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean AS autovacuum,
           (SELECT age(datfrozenxid)::int8 FROM pg_database WHERE datname = current_database()) AS transaction_age";

const CONNECTIONS: &str = "
    SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
           current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8 AS granted";

/// A table that holds more dead rows than live ones, and more than a busy hour leaves, is not being vacuumed.
const NEGLECTED: &str = "
    SELECT relname::text AS name, n_live_tup AS live, n_dead_tup AS dead
    FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND n_dead_tup > greatest(n_live_tup, 100000)
    ORDER BY n_dead_tup DESC";

/// How a server is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// As in `17.2 (Debian 17.2-1)`.
    pub version: String,
    /// `UTF8`, if bodies and ids are to fit.
    pub encoding: String,
    /// Whether it is a standby, or refuses to write.
    pub read_only: bool,
    /// Whether a COMMIT survives a loss of power.
    pub fsync: bool,
    /// Whether a page that was half written can be mended.
    pub full_page_writes: bool,
    /// `off` answers COMMIT before anything is safe.
    pub synchronous_commit: String,
    /// Whether dead rows are cleared away by themselves.
    pub autovacuum: bool,
    /// Transactions since rows were last frozen; at two thousand million the server stops.
    pub transaction_age: i64,
}

/// How many connections a server has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Connections there are, of anybody.
    pub used: i64,
    /// Connections that it grants to anybody but superusers.
    pub granted: i64,
}

/// A table that is not vacuumed as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeglectedTable {
    /// Its name.
    pub name: String,
    /// Rows that are there, as the server estimates.
    pub live: i64,
    /// Rows that are not, and still take room.
    pub dead: i64,
}

/// Reads how the server is set up.
///
/// # Errors
/// When the statement fails.
pub async fn facts(client: &Client) -> Result<ServerFacts, Error> {
    let row = client.query_one(FACTS, &[]).await?;
    Ok(ServerFacts {
        version: row.try_get("version")?,
        encoding: row.try_get("encoding")?,
        read_only: row.try_get("read_only")?,
        fsync: row.try_get("fsync")?,
        full_page_writes: row.try_get("full_page_writes")?,
        synchronous_commit: row.try_get("synchronous_commit")?,
        autovacuum: row.try_get("autovacuum")?,
        transaction_age: row.try_get("transaction_age")?,
    })
}

/// Counts the server's connections.
///
/// # Errors
/// When the statement fails.
pub async fn connections(client: &Client) -> Result<Connections, Error> {
    let row = client.query_one(&client.prepare_cached(CONNECTIONS).await?, &[]).await?;
    Ok(Connections { used: row.try_get("used")?, granted: row.try_get("granted")? })
}

/// Our tables that hold more dead rows than live ones.
///
/// # Errors
/// When the statement fails.
pub async fn neglected(client: &Client) -> Result<Vec<NeglectedTable>, Error> {
    let rows = client.query(NEGLECTED, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(NeglectedTable { name: row.try_get("name")?, live: row.try_get("live")?, dead: row.try_get("dead")? })
        })
        .collect()
}
