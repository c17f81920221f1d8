//! `oncehook inventory`: stock per SKU.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use deadpool_postgres::Client;
use serde::{Deserialize, Serialize};
use shared::db::console_audit::Outcome;
use shared::db::inventory::{self, Drift, StockRow};
use shared::error_chain::error_chain;
use shared::plan::MAX_KEY_BYTES;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use crate::connect;
use crate::output::{Shown, table};
use crate::settings::Settings;
use crate::steering::{Audited, Progress};

/// All stock.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Stock(Vec<StockRow>);

/// What setting stock changed.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Changes(pub(crate) Vec<Change>);

/// What setting the stock of one SKU changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    pub(crate) sku: String,
    /// `null` for a new SKU.
    pub(crate) before: Option<i64>,
    pub(crate) quantity: i64,
}

/// The most of one SKU, and the most that may be missing: a thousand times what one line of an order may take.
const MAX_QUANTITY: i64 = 1_000_000_000_000;

/// Why a stock cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Impossible {
    #[error("{0:?} is no SKU: use 1 to {MAX_KEY_BYTES} bytes without control characters")]
    Sku(String),
    #[error("{sku} cannot have {quantity}: use -{MAX_QUANTITY} to {MAX_QUANTITY}")]
    Quantity { sku: String, quantity: i64 },
}

/// Mends what was changed past Oncehook.
const MEND: &str = "UPDATE inventory SET quantity = initial_quantity + coalesce((SELECT sum(delta) FROM inventory_ledger \
                    AS ledger WHERE ledger.sku = inventory.sku), 0) WHERE sku = 'SKU';";

/// Every SKU whose stock is not what it began with and the ledger.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Drifts(Vec<Drift>);

/// One line of an imported file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sku: String,
    quantity: i64,
}

/// Every line of a file that cannot be imported.
#[derive(Debug, thiserror::Error)]
#[error("{file} was not imported, nothing is changed:\n  {}", problems.join("\n  "))]
struct ImportError {
    file: String,
    problems: Vec<String>,
}

pub(crate) async fn set(settings: &Settings, sku: &str, quantity: i64) -> anyhow::Result<Changes> {
    check_stock(sku, quantity)?;
    apply(settings, BTreeMap::from([(sku.to_owned(), quantity)])).await
}

pub(crate) async fn import(settings: &Settings, file: &Path) -> anyhow::Result<Changes> {
    let name = file.display().to_string();
    let source: Box<dyn Read> = if name == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("cannot read {name}"))?)
    };
    apply(settings, read(&name, source)?).await
}

pub(crate) async fn list(settings: &Settings) -> anyhow::Result<Stock> {
    let client = connect::database(settings).await?;
    Ok(Stock(inventory::list(&**client).await.context("cannot read the inventory")?))
}

/// Reads the whole ledger. Shows that it goes on.
pub(crate) async fn check(settings: &Settings) -> anyhow::Result<Drifts> {
    let client = connect::database(settings).await?;
    let drifts = Progress::during("reading the ledger", inventory::drift(&**client)).await;
    Ok(Drifts(drifts.context("cannot read the inventory and its ledger")?))
}

/// Sets all in one transaction, in SKU order, as the workers do.
async fn apply(settings: &Settings, stock: BTreeMap<String, i64>) -> anyhow::Result<Changes> {
    let mut client = connect::database(settings).await?;
    // On a connection of its own: the audit says what was begun, whatever becomes of the transaction.
    let auditing = connect::database(settings).await?;
    let (subject, request) = told(&stock);
    let audited = Audited::begin(&auditing, "inventory.set", (&subject, &request)).await?;
    let progress = Progress::counting(stock.len() as u64, "SKUs");
    let changed = set_all(&mut client, stock, &|skus| progress.advance(skus)).await;
    match &changed {
        Ok(changes) => audited.finish(Outcome::Done, &changes.text()).await,
        Err(error) => audited.finish(Outcome::Failed, &error_chain(error.as_ref())).await,
    }
    changed
}

/// As the audit says it: in short, and in full.
pub(crate) fn told(stock: &BTreeMap<String, i64>) -> (String, serde_json::Value) {
    let some: Vec<&str> = stock.keys().take(3).map(String::as_str).collect();
    let more = stock.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (some.join(", ") + &more, serde_json::json!({ "stock": stock }))
}

/// All or none of it.
///
/// # Errors
/// When the database is away or refuses it.
pub(crate) async fn set_all(
    client: &mut Client,
    stock: BTreeMap<String, i64>,
    progress: &(dyn Fn(usize) + Sync),
) -> anyhow::Result<Changes> {
    let transaction = client.transaction().await?;
    let mut changes = Vec::with_capacity(stock.len());
    for (sku, quantity) in stock {
        let before = inventory::set(&transaction, &sku, quantity).await.with_context(|| format!("cannot set {sku}"))?;
        changes.push(Change { sku, before, quantity });
        progress(1);
    }
    transaction.commit().await.context("cannot commit; nothing is changed")?;
    Ok(Changes(changes))
}

/// All lines of a CSV file, or every mistake in it.
fn read(file: &str, source: impl Read) -> Result<BTreeMap<String, i64>, ImportError> {
    let mut stock = BTreeMap::new();
    let mut problems = Vec::new();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
    let lines: Vec<Result<Line, csv::Error>> = reader.deserialize().collect();
    for line in lines {
        match line {
            Ok(line) => {
                if let Err(impossible) = check_stock(&line.sku, line.quantity) {
                    problems.push(impossible.to_string());
                } else if stock.insert(line.sku.clone(), line.quantity).is_some() {
                    problems.push(format!("{} stands there more than once", line.sku));
                }
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    if stock.is_empty() && problems.is_empty() {
        problems.push("it has no lines; the first line is the head: sku,quantity".to_owned());
    }
    if problems.is_empty() { Ok(stock) } else { Err(ImportError { file: file.to_owned(), problems }) }
}

/// Whether there can be so many of a SKU.
///
/// # Errors
/// When it is no SKU, or too many or too few.
pub(crate) fn check_stock(sku: &str, quantity: i64) -> Result<(), Impossible> {
    if sku.trim().is_empty() || sku.len() > MAX_KEY_BYTES || sku.chars().any(char::is_control) {
        return Err(Impossible::Sku(sku.to_owned()));
    }
    if !(-MAX_QUANTITY..=MAX_QUANTITY).contains(&quantity) {
        return Err(Impossible::Quantity { sku: sku.to_owned(), quantity });
    }
    Ok(())
}

impl Shown for Stock {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "no SKU is in stock yet: oncehook inventory set SKU QUANTITY\n".to_owned();
        }
        let row = |row: &StockRow| {
            let updated = row.updated_at.format(&Rfc3339).unwrap_or_default();
            [row.sku.clone(), row.quantity.to_string(), row.initial_quantity.to_string(), updated]
        };
        table(["SKU", "QUANTITY", "INITIAL", "CHANGED"], self.0.iter().map(row))
    }
}

impl Drifts {
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl Shown for Drifts {
    fn text(&self) -> String {
        if self.is_none() {
            return "the stock of every SKU is what it began with and the ledger\n".to_owned();
        }
        let row = |drift: &Drift| [drift.sku.clone(), drift.quantity.to_string(), drift.expected.to_string()];
        let drifts = table(["SKU", "QUANTITY", "EXPECTED"], self.0.iter().map(row));
        format!("{drifts}\nthey were changed past Oncehook. With the workers stopped, for each:\n{MEND}\n")
    }
}

impl Shown for Changes {
    fn text(&self) -> String {
        let before = |change: &Change| change.before.map_or_else(|| "new".to_owned(), |before| before.to_string());
        let row = |change: &Change| [change.sku.clone(), before(change), change.quantity.to_string()];
        table(["SKU", "BEFORE", "NOW"], self.0.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_every_mistake_is_told() {
        let good = read("stock.csv", "sku,quantity\nMUG, 12\n\"HAT, red\",-3\n".as_bytes()).unwrap();
        assert_eq!(good, BTreeMap::from([("HAT, red".to_owned(), -3), ("MUG".to_owned(), 12)]));
        let bad = "sku,quantity\nMUG,12\nMUG,13\n,4\nHAT,many\nCAP\nTEE,1000000000001\n";
        let bad = read("stock.csv", bad.as_bytes()).unwrap_err();
        let text = bad.to_string();
        assert_eq!(bad.problems.len(), 5, "{text}");
        assert!(text.contains("TEE cannot have 1000000000001"), "{text}");
        assert!(text.contains("MUG stands there more than once") && text.contains("line: 5"), "{text}");
        assert!(read("stock.csv", "name,count\nMUG,1\n".as_bytes()).is_err());
        assert!(read("stock.csv", "".as_bytes()).is_err());
    }
}
