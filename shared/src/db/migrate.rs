//! Migrations: `migrations/*.sql`, applied in order, safe when several workers start at once.
//!
//! refinery takes no lock of its own. All starts queue on one advisory lock, held by the session
//! that migrates, with the timeouts off: they apply to advisory locks too.
//!
//! During a rolling upgrade, and behind one that was taken back, an older program meets a newer schema. It runs on it:
//! migrations add, and what an earlier release reads stays for a release. A newer program waits for its schema.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Client, Object, Pool, PoolError};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The advisory lock that every migrating session takes; a constant of ours ("once").
const LOCK: i64 = 0x6f6e_6365;
const BEGIN: &str = "SET lock_timeout = 0; SET statement_timeout = 0";
const TAKE_LOCK: &str = "SELECT pg_advisory_lock($1)";
const TABLE: &str = "oncehook_migrations";
const HAS_TABLE: &str = "SELECT to_regclass('oncehook_migrations') IS NOT NULL AS has_table";
const APPLIED: &str = "SELECT version FROM oncehook_migrations";
const APPLIED_IN_FULL: &str = "SELECT version, name, checksum FROM oncehook_migrations ORDER BY version";

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
    /// Migrations that are older than the newest one applied were left out.
    #[error("the database has newer migrations and lacks {}; it was migrated by another branch", .0.join(", "))]
    LeftOut(Vec<String>),
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
    // Else a program that starts on a newer schema than its own ends. It would not miss one of its own, either: see below.
    let runner = runner.set_abort_missing(false);
    let report = runner.run_async(&mut **client).await;
    let left_out = missing(&client).await;
    // The session carries the lock and odd timeouts: it is closed, not given back.
    drop(Object::take(client));
    let applied = report?.applied_migrations().iter().map(ToString::to_string).collect();
    let left_out = left_out?;
    if left_out.is_empty() { Ok(applied) } else { Err(MigrateError::LeftOut(left_out)) }
}

/// The migrations of this program that the database does not have. It may have others, of a newer one.
///
/// # Errors
/// When a statement fails.
pub async fn missing(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let has_table: bool = client.query_one(HAS_TABLE, &[]).await?.try_get("has_table")?;
    let rows = if has_table { client.query(APPLIED, &[]).await? } else { Vec::new() };
    let applied = rows.iter().map(|row| row.try_get("version")).collect::<Result<BTreeSet<i32>, _>>()?;
    let runner = embedded::migrations::runner();
    let known = runner.get_migrations().iter();
    Ok(known.filter(|migration| !applied.contains(&migration.version())).map(ToString::to_string).collect())
}

/// The schema of a database, compared with the migrations that this program knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaStanding {
    /// How many are applied and known.
    pub applied: usize,
    /// Known, and not applied yet.
    pub missing: Vec<String>,
    /// Applied by a newer version, and not known to this one.
    pub unknown: Vec<String>,
    /// Applied from another text than the one that is known.
    pub edited: Vec<String>,
}

/// Compares a database with the migrations of this program; changes nothing.
///
/// # Errors
/// When a statement fails.
pub async fn standing(client: &Client) -> Result<SchemaStanding, tokio_postgres::Error> {
    let has_table: bool = client.query_one(HAS_TABLE, &[]).await?.try_get("has_table")?;
    let rows = if has_table { client.query(APPLIED_IN_FULL, &[]).await? } else { Vec::new() };
    let runner = embedded::migrations::runner();
    let mut known: BTreeMap<i64, &refinery::Migration> =
        runner.get_migrations().iter().map(|migration| (i64::from(migration.version()), migration)).collect();
    let mut standing = SchemaStanding::default();
    for row in &rows {
        let (version, name): (i32, String) = (row.try_get("version")?, row.try_get("name")?);
        let checksum: String = row.try_get("checksum")?;
        match known.remove(&version.into()) {
            None => standing.unknown.push(format!("V{version}__{name}")),
            Some(migration) if migration.checksum().to_string() != checksum => {
                standing.edited.push(migration.to_string());
            }
            Some(_same) => standing.applied += 1,
        }
    }
    standing.missing = known.values().map(ToString::to_string).collect();
    Ok(standing)
}
