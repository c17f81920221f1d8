//! `/api/v1/inventory`.

use actix_web::HttpRequest;
use actix_web::web::{Json, Query};

use super::stock::{self, Counted, StockPage, StockQuery};
use crate::inventory::Change;
use crate::server::access::Caller;
use crate::server::problem::Problem;
use crate::server::state::Shared;

/// What is in stock, by SKU.
#[utoipa::path(get, path = "/api/v1/inventory", tag = "inventory", params(StockQuery),
    responses((status = 200, body = StockPage)))]
pub(crate) async fn list(
    _caller: Caller,
    console: Shared,
    query: Query<StockQuery>,
) -> Result<Json<StockPage>, Problem> {
    Ok(Json(stock::read(&console, &query).await?))
}

/// Sets what is in stock of a SKU, which is added if it is new.
#[utoipa::path(post, path = "/api/v1/inventory", tag = "inventory", request_body = Counted,
    responses((status = 200, body = Change)))]
pub(crate) async fn set(
    request: HttpRequest,
    caller: Caller,
    console: Shared,
    counted: Json<Counted>,
) -> Result<Json<Change>, Problem> {
    caller.may_act(&request, None)?;
    Ok(Json(stock::set(&console, &caller, counted.into_inner()).await?))
}
