//! Parked webhooks: looked at by reason, put back or given up; one, a selection, or all that match a filter.

pub(crate) mod act;
pub(crate) mod api;
pub(crate) mod list;
pub(crate) mod page;
