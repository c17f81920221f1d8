//! `/inventory`.

use actix_web::HttpResponse;
use actix_web::web::Query;
use askama::Template;
use serde::Deserialize;
use shared::db::inventory::StockRow;

use super::stock::{self, Counted, StockPage, StockQuery};
use crate::server::access::{Caller, Submitted};
use crate::server::page::{self, Frame, moment, query};
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// What `before` says of a SKU that was not there.
const NEW: &str = "new";

/// What the page is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PageQuery {
    sku: String,
    after: String,
    /// How many there were of the SKU before it was set, or that it was [`NEW`].
    before: String,
}

#[derive(Template)]
#[template(path = "inventory.html")]
struct InventoryHtml {
    frame: Frame,
    query: StockQuery,
    page: StockPage,
    before: String,
}

impl InventoryHtml {
    /// The SKU that was asked for, if there is one.
    fn found(&self) -> Option<&StockRow> {
        self.page.stock.first().filter(|row| row.sku == self.query.sku)
    }

    /// Whether a SKU was asked for that is not there, nor any that begins like it.
    fn is_missing(&self) -> bool {
        let begins_so = |row: &StockRow| row.sku.starts_with(&self.query.sku);
        self.query.after.is_empty() && !self.page.stock.first().is_some_and(begins_so) && !self.query.sku.is_empty()
    }

    /// What was entered before this page was shown. Nothing of what no page of ours says.
    fn told(&self) -> Option<String> {
        let StockRow { sku, quantity, .. } = self.found()?;
        if self.before == NEW {
            return Some(format!("{sku} is new: {quantity} in stock."));
        }
        let before: i64 = self.before.parse().ok()?;
        Some(format!("{sku} had {before} before it was set: {quantity} in stock now."))
    }

    /// The page that begins with a SKU.
    fn of(&self, sku: &str) -> String {
        format!("/inventory{}", query(&[("sku", sku)]))
    }

    /// The page behind a SKU.
    fn behind(&self, sku: &str) -> String {
        format!("/inventory{}", query(&[("after", sku)]))
    }
}

/// `GET /inventory`.
pub(crate) async fn list(caller: Caller, console: Shared, asked: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let PageQuery { sku, after, before } = asked.into_inner();
    let query = StockQuery { sku, after };
    let page = stock::read(&console, &query).await?;
    let frame = Frame::new(&caller, "Stock", "/inventory");
    page::html(&InventoryHtml { frame, query, page, before })
}

/// `POST /inventory/set`.
pub(crate) async fn set(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let quantity = form.field("quantity").unwrap_or_default();
    let quantity =
        quantity.parse().map_err(|_no_number| Problem::Malformed(format!("{quantity:?} is no whole number")))?;
    let sku = form.fields("sku").first().copied().unwrap_or_default().to_owned();
    let counted = Counted { sku, quantity };
    let change = stock::set(&console, &form.caller, counted).await?;
    let before = change.before.map_or_else(|| NEW.to_owned(), |before| before.to_string());
    Ok(page::see(&format!("/inventory{}", query(&[("sku", &change.sku), ("before", &before)]))))
}
