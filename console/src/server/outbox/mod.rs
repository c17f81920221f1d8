//! The outbox: what could not be sent, what may have been sent twice, and where it all goes.

pub(crate) mod act;
pub(crate) mod api;
pub(crate) mod list;
pub(crate) mod page;
