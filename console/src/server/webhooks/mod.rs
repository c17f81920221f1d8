//! Webhooks: found by id, source, topic, status, time, key or text; a page for each, and a replay.

pub(crate) mod api;
pub(crate) mod page;
pub(crate) mod replay;
pub(crate) mod search;
pub(crate) mod story;
