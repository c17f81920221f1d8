//! The overview: one look says "fine", or what is wrong.

pub(crate) mod api;
pub(crate) mod judge;
pub(crate) mod limits;
pub(crate) mod page;
pub(crate) mod view;
