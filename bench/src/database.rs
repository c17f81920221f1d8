//! The databases of the benchmark: migrated as the worker migrates them, emptied before each measurement.
//!
//! Only what the worker never asks stands here; what it does ask is what is measured, and is read from the log of Postgres
//! ([`crate::statements`]).

use std::time::Duration;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use shared::db::{self, DatabaseConfig, indexes, migrate, webhook_payloads};
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::shop::Shop;

/// What each SKU begins with.
const STOCK: i64 = 1_000_000_000;
/// How often a drain is looked at: seldom enough not to be felt.
const INTERVAL: Duration = Duration::from_millis(200);

/// Effects are written down, as always, but are not due while the worker's batches are measured: sending is measured by
/// itself (`effects_ratio`).
const POSTPONE: &str = "ALTER TABLE outbox ALTER COLUMN next_attempt_at SET DEFAULT now() + interval '1 day'";

const CLEAR: &str = "
    TRUNCATE processed_webhooks, webhook_bodies, inventory_ledger, outbox, outbox_attempts, webhook_failures, parked_webhooks,
             webhook_payloads;
    UPDATE inventory SET quantity = initial_quantity;
    VACUUM inventory;
    CHECKPOINT";

/// Leaves out the beginning and the end, when not all workers are at work.
const RATE: &str = "
    WITH processed AS (SELECT first_processed_at AS at FROM processed_webhooks WHERE first_processed_at >= $1),
         bounds AS (
            SELECT percentile_disc(0.1) WITHIN GROUP (ORDER BY at) AS first,
                   percentile_disc(0.95) WITHIN GROUP (ORDER BY at) AS last
            FROM processed)
    SELECT (SELECT count(*) FROM processed, bounds WHERE at >= first AND at < last)
           / extract(epoch FROM last - first)::float8
    FROM bounds";

/// What the tables of effects hold: rows, and bytes with their indexes.
const SIZES: &str = "
    SELECT (SELECT count(*) FROM processed_webhooks)::float8 AS webhooks,
           ((SELECT count(*) FROM processed_webhooks) + (SELECT count(*) FROM inventory_ledger)
            + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM webhook_payloads))::float8 AS rows,
           (pg_total_relation_size('processed_webhooks') + pg_total_relation_size('inventory_ledger')
            + pg_total_relation_size('outbox')
            + (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('webhook_payloads')))::float8 AS bytes";

/// How much the tables hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) webhooks: f64,
    pub(crate) rows: f64,
    pub(crate) bytes: f64,
}

/// A database of the instance.
pub(crate) struct Database {
    /// How the worker reaches it.
    pub(crate) url: String,
    client: Client,
}

impl Database {
    /// Makes it, or takes it as an earlier run left it.
    ///
    /// # Errors
    /// When Postgres is not there, or refuses.
    pub(crate) async fn open(instance: &SecretString, name: &str) -> anyhow::Result<Self> {
        let mut url = Url::parse(instance.expose_secret())?;
        let admin = connect(url.as_str()).await?;
        if admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name]).await?.is_none() {
            admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        }
        url.set_path(name);
        let (url, config) = (
            url.to_string(),
            DatabaseConfig {
                url: SecretString::from(url.as_str()),
                connections: 1,
                statement_timeout_ms: 0,
                application: "oncehook bench",
            },
        );
        let pool = db::pool(&config)?;
        migrate::migrate(&pool).await?;
        indexes::build(&pool).await?;
        webhook_payloads::make_partitions(&mut pool.get().await?).await?;
        let database = Self { client: connect(&url).await?, url };
        database.execute(POSTPONE).await?;
        let fill = "INSERT INTO inventory (sku, quantity) SELECT sku, $2 FROM unnest($1::text[]) AS new (sku)
                    ON CONFLICT DO NOTHING";
        database.client.execute(fill, &[&Shop::skus(), &STOCK]).await?;
        Ok(database)
    }

    /// Empties every table and writes all that is dirty to the disk.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        // VACUUM and CHECKPOINT want to be alone.
        for statement in CLEAR.split(';') {
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Statements without parameters.
    ///
    /// # Errors
    /// When one fails.
    pub(crate) async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        self.client.batch_execute(statements).await.with_context(|| statements.to_owned())
    }

    /// One number out of a query.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn number(&self, query: &str) -> anyhow::Result<i64> {
        Ok(self.client.query_one(query, &[]).await.with_context(|| query.to_owned())?.try_get(0)?)
    }

    /// A connection's worth of anything else.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The database's clock.
    ///
    /// # Errors
    /// When the statement fails.
    pub(crate) async fn now(&self) -> anyhow::Result<time::OffsetDateTime> {
        Ok(self.client.query_one("SELECT clock_timestamp() AS now", &[]).await?.try_get("now")?)
    }

    /// Webhooks processed since a moment.
    ///
    /// # Errors
    /// When the statement fails.
    pub(crate) async fn processed(&self, since: time::OffsetDateTime) -> anyhow::Result<i64> {
        let query = "SELECT count(*) FROM processed_webhooks WHERE first_processed_at >= $1";
        Ok(self.client.query_one(query, &[&since]).await?.try_get(0)?)
    }

    /// Waits until so many webhooks were processed since a moment.
    ///
    /// # Errors
    /// When they were not within `patience`.
    pub(crate) async fn has_processed(
        &self,
        count: usize,
        since: time::OffsetDateTime,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let processing = async {
            while usize::try_from(self.processed(since).await?)? < count {
                tokio::time::sleep(INTERVAL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(patience, processing).await.context("not all webhooks were processed in time")?
    }

    /// Webhooks processed per second since a moment, by when their transactions began.
    ///
    /// # Errors
    /// When there was only one transaction.
    pub(crate) async fn rate(&self, since: time::OffsetDateTime) -> anyhow::Result<f64> {
        let rate: Option<f64> = self.client.query_one(RATE, &[&since]).await?.try_get(0)?;
        rate.context("nothing was processed")
    }

    /// How much the tables hold.
    ///
    /// # Errors
    /// When the statement fails.
    pub(crate) async fn sizes(&self) -> anyhow::Result<Sizes> {
        let row = self.client.query_one(SIZES, &[]).await?;
        Ok(Sizes { webhooks: row.try_get("webhooks")?, rows: row.try_get("rows")?, bytes: row.try_get("bytes")? })
    }

    /// Where the write-ahead log ends, in bytes.
    ///
    /// # Errors
    /// When the statement fails.
    pub(crate) async fn wal_bytes(&self) -> anyhow::Result<i64> {
        self.number("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::int8").await
    }
}

/// A plain connection.
async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("no connection to Postgres")?;
    // Ends with the client; what goes wrong with it, the client is told.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}
