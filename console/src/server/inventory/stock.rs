//! Reads stock page by page, and sets it as the command does: the ledger says by how much it changed. A SKU is what the shop
//! says it is, blanks at its ends included.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::db::console_audit::{Doing, Outcome};
use shared::db::inventory::{self as rows, Begins, StockRow};
use shared::db::storable;
use shared::error_chain::error_chain;
use utoipa::{IntoParams, ToSchema};

use crate::inventory::{self, Change};
use crate::output::Shown as _;
use crate::paging;
use crate::server::access::Caller;
use crate::server::audit::Entry;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// SKUs on a page.
const PAGE: usize = 50;

/// Which SKUs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StockQuery {
    /// From this SKU on.
    pub(crate) sku: String,
    /// The next page: what the one before said.
    pub(crate) after: String,
}

/// A page of stock, by SKU.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StockPage {
    pub(crate) stock: Vec<StockRow>,
    /// `after` of the next page; `null` when this was the last one.
    pub(crate) next: Option<String>,
}

/// How many there are of a SKU.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    /// The stock keeping unit; a new one is added.
    pub(crate) sku: String,
    /// What is in stock now, whatever was before.
    pub(crate) quantity: i64,
}

/// Reads a page.
///
/// # Errors
/// When the database is away.
pub(crate) async fn read(console: &Shared, query: &StockQuery) -> Result<StockPage, Problem> {
    let (sku, after) = (storable(&query.sku), storable(&query.after));
    let begins = if after.is_empty() { Begins::From(&sku) } else { Begins::After(&after) };
    let client = console.database().await?;
    let mut stock = rows::page(&**client, begins, paging::one_more(PAGE)).await?;
    let has_next = paging::cut(&mut stock, PAGE);
    let next = stock.last().filter(|_| has_next).map(|row| row.sku.clone());
    Ok(StockPage { stock, next })
}

/// Sets the stock of a SKU.
///
/// # Errors
/// When it is no SKU, there cannot be so many, or the database is away.
pub(crate) async fn set(console: &Shared, caller: &Caller, counted: Counted) -> Result<Change, Problem> {
    let Counted { sku, quantity } = counted;
    inventory::check_stock(&sku, quantity).map_err(|impossible| Problem::Malformed(impossible.to_string()))?;
    let stock = BTreeMap::from([(sku, quantity)]);
    let (subject, request) = inventory::told(&stock);
    let mut client = console.database().await?;
    let doing = Doing { action: "inventory.set", subject: &subject, request: &request };
    // Committed by itself: the audit says what was begun, whatever becomes of it.
    let entry = Entry::begin(&client, caller, &doing).await?;
    match inventory::set_all(&mut client, stock, &|_one| ()).await {
        Ok(changes) => {
            entry.finish(&client, Outcome::Done, &changes.text()).await;
            changes.0.into_iter().next().ok_or(Problem::Unavailable)
        }
        Err(error) => {
            tracing::error!(error = error_chain(error.as_ref()), "cannot set stock");
            entry.finish(&client, Outcome::Failed, "the database failed").await;
            Err(Problem::Unavailable)
        }
    }
}
