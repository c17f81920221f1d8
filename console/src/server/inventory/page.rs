//! `/inventory`.

use actix_web::HttpResponse;
use actix_web::web::Query;
use askama::Template;
use shared::db::inventory::StockRow;

use super::stock::{self, Counted, StockPage, StockQuery};
use crate::server::access::{Caller, Submitted};
use crate::server::page::{self, Frame, moment, query};
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// What `before` says of a SKU that was not there.
const NEW: &str = "new";

#[derive(Template)]
#[template(path = "inventory.html")]
struct InventoryHtml {
    frame: Frame,
    query: StockQuery,
    page: StockPage,
}

impl InventoryHtml {
    /// The SKU that was asked for, if there is one.
    fn found(&self) -> Option<&StockRow> {
        self.page.stock.first().filter(|row| row.sku == self.query.sku.trim())
    }

    /// Whether a SKU was asked for that is not there.
    fn is_missing(&self) -> bool {
        !self.query.sku.trim().is_empty() && self.query.after.is_empty() && self.found().is_none()
    }

    /// The page that begins with a SKU.
    fn of(&self, sku: &str) -> String {
        format!("/inventory{}", query(&[("sku", sku)]))
    }

    /// The page behind a SKU.
    fn behind(&self, sku: &str) -> String {
        format!("/inventory{}", query(&[("after", sku)]))
    }

    /// What was entered before this page was shown.
    fn told(&self) -> Option<String> {
        let StockRow { sku, quantity, .. } = self.found()?;
        match self.query.before.as_str() {
            "" => None,
            NEW => Some(format!("{sku} is new: {quantity} in stock.")),
            before => Some(format!("{sku}: {before} before, {quantity} in stock now.")),
        }
    }
}

/// `GET /inventory`.
pub(crate) async fn list(caller: Caller, console: Shared, asked: Query<StockQuery>) -> Result<HttpResponse, Problem> {
    let page = stock::read(&console, &asked).await?;
    let frame = Frame::new(&caller, "Stock", "/inventory");
    page::html(&InventoryHtml { frame, query: asked.into_inner(), page })
}

/// `POST /inventory/set`.
pub(crate) async fn set(form: Submitted, console: Shared) -> Result<HttpResponse, Problem> {
    let quantity = form.field("quantity").unwrap_or_default();
    let quantity =
        quantity.parse().map_err(|_no_number| Problem::Malformed(format!("{quantity:?} is no whole number")))?;
    let counted = Counted { sku: form.field("sku").unwrap_or_default().to_owned(), quantity };
    let change = stock::set(&console, &form.caller, counted).await?;
    let before = change.before.map_or_else(|| NEW.to_owned(), |before| before.to_string());
    Ok(page::see(&format!("/inventory{}", query(&[("sku", &change.sku), ("before", &before)]))))
}
