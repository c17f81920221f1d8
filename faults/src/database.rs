//! A run's own database, and what the checker reads there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::{Client, NoTls, Row};

use crate::services::setting;
use crate::shop::Shop;

/// What each SKU begins with.
const STOCK: i64 = 1_000_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A database; connects anew for each question, since faults end connections.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
}

/// One row of the outbox, as far as the checker needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutboxRow {
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) ambiguous: bool,
}

/// What the database says about a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    /// Ids in `processed_webhooks`.
    pub(crate) processed: BTreeSet<String>,
    /// Bodies in `webhook_payloads`, by id.
    pub(crate) bodies: BTreeMap<String, Vec<u8>>,
    /// Ids that wait in `parked_webhooks`, with the reason.
    pub(crate) parked: BTreeMap<String, String>,
    /// Order, line, SKU and change, of each row of the ledger.
    pub(crate) ledger: Vec<(String, String, String, i64)>,
    /// What was taken out of stock, by SKU.
    pub(crate) taken: BTreeMap<String, i64>,
    pub(crate) outbox: Vec<OutboxRow>,
}

impl Database {
    /// Makes an empty database, in a tablespace if one is given.
    pub(crate) async fn create(name: &str, tablespace: Option<&str>) -> anyhow::Result<Self> {
        let place = tablespace.map(|space| format!("TABLESPACE {space}")).unwrap_or_default();
        admin().await?.batch_execute(&format!("CREATE DATABASE {name} {place}")).await?;
        Ok(Self { name: name.to_owned() })
    }

    /// How many rows a query finds.
    pub(crate) async fn number(&self, query: &str) -> anyhow::Result<i64> {
        Ok(self.connect().await?.query_one(query, &[]).await?.try_get(0)?)
    }

    /// Fills the stock.
    pub(crate) async fn fill_stock(&self) -> anyhow::Result<()> {
        let skus: Vec<String> = Shop::skus().collect();
        let statement = "INSERT INTO inventory (sku, quantity) SELECT sku, $2 FROM unnest($1::text[]) AS new (sku)";
        self.connect().await?.execute(statement, &[&skus, &STOCK]).await?;
        Ok(())
    }

    /// Everything that the checker compares.
    pub(crate) async fn books(&self) -> anyhow::Result<Books> {
        let client = self.connect().await?;
        let processed = client.query("SELECT webhook_id FROM processed_webhooks", &[]).await?;
        let parked = "SELECT webhook_id, reason FROM parked_webhooks WHERE state IN ('parked', 'redriving')";
        let ledger = "SELECT order_id, line_id, sku, delta FROM inventory_ledger";
        let taken = "SELECT sku, initial_quantity - quantity AS taken FROM inventory";
        let outbox = "SELECT dedupe_key, state, ambiguous FROM outbox WHERE effect <> 'operator-alert'";
        let row = |row: &Row| Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?));
        let line = |row: &Row| {
            Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let send = |row: &Row| {
            Ok::<_, tokio_postgres::Error>(OutboxRow {
                key: row.try_get(0)?,
                state: row.try_get(1)?,
                ambiguous: row.try_get(2)?,
            })
        };
        Ok(Books {
            processed: processed.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
            bodies: client
                .query("SELECT webhook_id, body FROM webhook_payloads", &[])
                .await?
                .iter()
                .map(|row| Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, _>>()?,
            parked: client.query(parked, &[]).await?.iter().map(row).collect::<Result<_, _>>()?,
            ledger: client.query(ledger, &[]).await?.iter().map(line).collect::<Result<_, _>>()?,
            taken: client
                .query(taken, &[])
                .await?
                .iter()
                .map(|row| Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, _>>()?,
            outbox: client.query(outbox, &[]).await?.iter().map(send).collect::<Result<_, _>>()?,
        })
    }

    /// Deletes it.
    pub(crate) async fn drop(self) -> anyhow::Result<()> {
        Ok(admin().await?.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await?)
    }

    /// A connection past all relays.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.name).await
    }
}

/// A connection to the database that is always there.
pub(crate) async fn admin() -> anyhow::Result<Client> {
    connect("postgres").await
}

async fn connect(database: &str) -> anyhow::Result<Client> {
    let mut config: tokio_postgres::Config = setting("DATABASE_URL")?.parse()?;
    let (client, connection) = config
        .dbname(database)
        .connect_timeout(CONNECT_TIMEOUT)
        .connect(NoTls)
        .await
        .with_context(|| format!("no connection to the database {database}"))?;
    // Ends with the client; what goes wrong with it, the client is told.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}
