//! Stock: what there is of each SKU, and what a person enters.

pub(crate) mod api;
pub(crate) mod page;
pub(crate) mod stock;
