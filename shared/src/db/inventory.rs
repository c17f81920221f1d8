//! `inventory`: stock per SKU.
//!
//! Rows are locked in the byte order of their SKUs (whatever the database's collation) before they are changed, and only by what the ledger newly
//! recorded: quantity = initial quantity + ledger, always.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;
use time::OffsetDateTime;
use tokio_postgres::{Error, GenericClient, Row};

const LOCK: &str = r#"
    SELECT sku FROM inventory WHERE sku = ANY ($1::text[]) ORDER BY sku COLLATE "C" FOR UPDATE"#;

const EXISTING: &str = "SELECT sku FROM inventory WHERE sku = ANY ($1::text[])";

const ADD: &str = "
    UPDATE inventory
    SET quantity = inventory.quantity + change.delta, updated_at = now()
    FROM unnest($1::text[], $2::int8[]) AS change (sku, delta)
    WHERE inventory.sku = change.sku";

macro_rules! rows {
    ($where:literal) => {
        concat!("SELECT sku, quantity, initial_quantity, updated_at FROM inventory ", $where, " ORDER BY sku")
    };
}

const LIST: &str = rows!("");

const FROM: &str = concat!(rows!("WHERE sku >= $1"), " LIMIT $2");

const AFTER: &str = concat!(rows!("WHERE sku > $1"), " LIMIT $2");

const INSERT: &str = "
    INSERT INTO inventory (sku, quantity) VALUES ($1, $2) ON CONFLICT (sku) DO NOTHING";

const LOCK_ONE: &str = "SELECT quantity FROM inventory WHERE sku = $1 FOR UPDATE";

const DRIFT: &str = "
    SELECT inventory.sku, inventory.quantity,
           inventory.initial_quantity + coalesce(ledger.delta, 0) AS expected
    FROM inventory
    LEFT JOIN (SELECT sku, sum(delta)::int8 AS delta FROM inventory_ledger GROUP BY sku) AS ledger USING (sku)
    WHERE inventory.quantity <> inventory.initial_quantity + coalesce(ledger.delta, 0)
    ORDER BY inventory.sku";

/// One SKU's stock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct StockRow {
    /// The stock keeping unit.
    pub sku: String,
    /// What is in stock.
    pub quantity: i64,
    /// What was in stock when the SKU was first set.
    pub initial_quantity: i64,
    /// When the quantity last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Where a page of stock begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins<'s> {
    /// With this SKU, or with the first that would follow it.
    From(&'s str),
    /// Behind this one.
    After(&'s str),
}

/// A SKU whose quantity is not its initial quantity plus the ledger. There must never be one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Drift {
    /// The stock keeping unit.
    pub sku: String,
    /// What the table says.
    pub quantity: i64,
    /// What the ledger says.
    pub expected: i64,
}

/// Locks the rows of these SKUs in order; returns those that exist.
///
/// # Errors
/// When the statement fails.
pub async fn lock(transaction: &Transaction<'_>, skus: &[&str]) -> Result<HashSet<String>, Error> {
    let statement = transaction.prepare_cached(LOCK).await?;
    let rows = transaction.query(&statement, &[&skus]).await?;
    rows.iter().map(|row| row.try_get("sku")).collect()
}

/// Which of these SKUs exist, without locking them.
///
/// # Errors
/// When the statement fails.
pub async fn existing(transaction: &Transaction<'_>, skus: &[&str]) -> Result<HashSet<String>, Error> {
    let statement = transaction.prepare_cached(EXISTING).await?;
    let rows = transaction.query(&statement, &[&skus]).await?;
    rows.iter().map(|row| row.try_get("sku")).collect()
}

/// Adds changes, summed per SKU, to rows that [`lock`] has locked.
///
/// # Errors
/// When the statement fails.
pub async fn add(transaction: &Transaction<'_>, changes: &BTreeMap<String, i64>) -> Result<(), Error> {
    let skus: Vec<&str> = changes.keys().map(String::as_str).collect();
    let deltas: Vec<i64> = changes.values().copied().collect();
    let statement = transaction.prepare_cached(ADD).await?;
    transaction.execute(&statement, &[&skus, &deltas]).await?;
    Ok(())
}

/// Sets a SKU's stock: a new SKU begins with it, a known one gets an adjustment in the ledger.
/// Returns the quantity before, `None` for a new SKU.
///
/// # Errors
/// When a statement fails.
pub async fn set(transaction: &Transaction<'_>, sku: &str, quantity: i64) -> Result<Option<i64>, Error> {
    let statement = transaction.prepare_cached(INSERT).await?;
    if transaction.execute(&statement, &[&sku, &quantity]).await? == 1 {
        return Ok(None);
    }
    let statement = transaction.prepare_cached(LOCK_ONE).await?;
    let before: i64 = transaction.query_one(&statement, &[&sku]).await?.try_get("quantity")?;
    if quantity != before {
        super::inventory_ledger::adjust(transaction, sku, quantity - before).await?;
        add(transaction, &BTreeMap::from([(sku.to_owned(), quantity - before)])).await?;
    }
    Ok(Some(before))
}

/// All stock, by SKU.
///
/// # Errors
/// When the statement fails.
pub async fn list(client: &impl GenericClient) -> Result<Vec<StockRow>, Error> {
    client.query(LIST, &[]).await?.iter().map(stock_row).collect()
}

/// At most so many SKUs, in the database's order.
///
/// # Errors
/// When the statement fails.
pub async fn page(client: &impl GenericClient, begins: Begins<'_>, limit: i64) -> Result<Vec<StockRow>, Error> {
    let (statement, sku) = match begins {
        Begins::From(sku) => (FROM, sku),
        Begins::After(sku) => (AFTER, sku),
    };
    client.query(statement, &[&sku, &limit]).await?.iter().map(stock_row).collect()
}

fn stock_row(row: &Row) -> Result<StockRow, Error> {
    Ok(StockRow {
        sku: row.try_get("sku")?,
        quantity: row.try_get("quantity")?,
        initial_quantity: row.try_get("initial_quantity")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// Every SKU that breaks the invariant. Reads the whole ledger.
///
/// # Errors
/// When the statement fails.
pub async fn drift(client: &impl GenericClient) -> Result<Vec<Drift>, Error> {
    let rows = client.query(DRIFT, &[]).await?;
    rows.iter()
        .map(|row| {
            let (sku, quantity) = (row.try_get("sku")?, row.try_get("quantity")?);
            Ok(Drift { sku, quantity, expected: row.try_get("expected")? })
        })
        .collect()
}
