//! Migrations: `migrations/*.sql`, applied in order, safe when several workers start at once.
//!
//! refinery takes no lock of its own. All starts queue on one advisory lock, held by the session
//! that migrates, with the timeouts off: they apply to advisory locks too.

use deadpool_postgres::{Object, Pool, PoolError};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The advisory lock that every migrating session takes; a constant of ours ("once").
const LOCK: i64 = 0x6f6e_6365;
const BEGIN: &str = "SET lock_timeout = 0; SET statement_timeout = 0";
const TAKE_LOCK: &str = "SELECT pg_advisory_lock($1)";
const TABLE: &str = "oncehook_migrations";

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error("cannot connect to Postgres")]
    Connect(#[from] PoolError),
    /// The lock could not be taken.
    #[error("cannot take the migration lock")]
    Lock(#[from] tokio_postgres::Error),
    /// A migration failed, or an applied one was edited.
    #[error("a migration failed")]
    Migration(#[from] refinery::Error),
}

/// Applies what is missing; returns the names of the migrations that were applied now.
///
/// # Errors
/// When the database is away or a migration fails; then nothing of that migration stays.
pub async fn migrate(pool: &Pool) -> Result<Vec<String>, MigrateError> {
    let mut client = pool.get().await?;
    client.batch_execute(BEGIN).await?;
    client.execute(TAKE_LOCK, &[&LOCK]).await?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(TABLE);
    let report = runner.run_async(&mut **client).await;
    // The session carries the lock and odd timeouts: it is closed, not given back.
    drop(Object::take(client));
    let applied = report?.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(applied)
}
