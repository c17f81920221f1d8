//! Sources: who sends, when they were last heard of, what was not genuine, and which secrets still sign.

pub(crate) mod list;
pub(crate) mod page;
