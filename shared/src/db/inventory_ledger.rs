//! `inventory_ledger`: the second strategy of idempotency, a unique constraint inherited from the
//! event's own data.
//!
//! Providers that sign only the body let a captured body pass under a fresh id, and two
//! subscriptions send one order under two ids. The ledger's key (source, order, line, kind) makes
//! both decrement once. Rows go in in key order: unsorted, writers deadlock.

use deadpool_postgres::Transaction;
use tokio_postgres::Error;
use uuid::Uuid;

const RECORD_SALES: &str = "
    INSERT INTO inventory_ledger (source, order_id, line_id, kind, sku, delta, webhook_id)
    SELECT source, order_id, line_id, 'sale', sku, delta, webhook_id
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[])
        AS sale (source, order_id, line_id, sku, delta, webhook_id)
    ORDER BY source, order_id, line_id
    ON CONFLICT (source, order_id, line_id, kind) DO NOTHING
    RETURNING source, order_id, line_id, sku, delta";

const FIND_SALES: &str = "
    SELECT source, order_id, line_id, sku, delta
    FROM inventory_ledger
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (source, order_id, line_id)
        USING (source, order_id, line_id)
    WHERE kind = 'sale'";

const ADJUST: &str = "
    INSERT INTO inventory_ledger (source, order_id, line_id, kind, sku, delta)
    VALUES ('oncehook', $1, '', 'adjustment', $2, $3)";

/// The business key of one sold line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaleKey {
    /// The configured sender.
    pub source: String,
    /// The order's id.
    pub order_id: String,
    /// The line's id within the order.
    pub line_id: String,
}

/// One sold line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// Its business key.
    pub key: SaleKey,
    /// The stock keeping unit.
    pub sku: String,
    /// The change of stock; below zero.
    pub delta: i64,
    /// The webhook that brought it.
    pub webhook_id: String,
}

/// What the ledger holds of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedSale {
    /// Its business key.
    pub key: SaleKey,
    /// The stock keeping unit.
    pub sku: String,
    /// The change of stock.
    pub delta: i64,
}

/// Records sales; what comes back is new, the rest was recorded before (or twice in `sales`).
///
/// # Errors
/// When the statement fails.
pub async fn record_sales(transaction: &Transaction<'_>, sales: &[Sale]) -> Result<Vec<RecordedSale>, Error> {
    let sources: Vec<&str> = sales.iter().map(|sale| sale.key.source.as_str()).collect();
    let orders: Vec<&str> = sales.iter().map(|sale| sale.key.order_id.as_str()).collect();
    let lines: Vec<&str> = sales.iter().map(|sale| sale.key.line_id.as_str()).collect();
    let skus: Vec<&str> = sales.iter().map(|sale| sale.sku.as_str()).collect();
    let deltas: Vec<i64> = sales.iter().map(|sale| sale.delta).collect();
    let webhooks: Vec<&str> = sales.iter().map(|sale| sale.webhook_id.as_str()).collect();
    let statement = transaction.prepare_cached(RECORD_SALES).await?;
    let rows = transaction.query(&statement, &[&sources, &orders, &lines, &skus, &deltas, &webhooks]).await?;
    rows.iter().map(recorded).collect()
}

/// What was recorded under these keys: SKU and delta.
///
/// # Errors
/// When the statement fails.
pub async fn find_sales(transaction: &Transaction<'_>, keys: &[&SaleKey]) -> Result<Vec<RecordedSale>, Error> {
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let orders: Vec<&str> = keys.iter().map(|key| key.order_id.as_str()).collect();
    let lines: Vec<&str> = keys.iter().map(|key| key.line_id.as_str()).collect();
    let statement = transaction.prepare_cached(FIND_SALES).await?;
    let rows = transaction.query(&statement, &[&sources, &orders, &lines]).await?;
    rows.iter().map(recorded).collect()
}

/// Records that a person changed a SKU's stock.
///
/// # Errors
/// When the statement fails.
pub async fn adjust(transaction: &Transaction<'_>, sku: &str, delta: i64) -> Result<(), Error> {
    let id = format!("adjustment-{}", Uuid::new_v4());
    let statement = transaction.prepare_cached(ADJUST).await?;
    transaction.execute(&statement, &[&id, &sku, &delta]).await?;
    Ok(())
}

fn recorded(row: &tokio_postgres::Row) -> Result<RecordedSale, Error> {
    let key = SaleKey {
        source: row.try_get("source")?,
        order_id: row.try_get("order_id")?,
        line_id: row.try_get("line_id")?,
    };
    Ok(RecordedSale { key, sku: row.try_get("sku")?, delta: row.try_get("delta")? })
}
