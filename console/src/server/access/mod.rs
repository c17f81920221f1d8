//! Who may use the console: always somebody with a token, on loopback too.
//!
//! A token is a viewer's or an operator's. The API takes it as a bearer token; a browser shows it once and gets a
//! session, whose cookie no script can read and no other site can have sent along. What acts needs an operator and, from
//! a browser, a proof that the page was ours ([`csrf`]).
//!
//! Invariant: no handler learns who is calling but through [`caller`], and none acts but through [`submitted`] or
//! [`caller::Caller::may_act`]. Not promised: that the person is who they say; tokens are shared, names are claimed.

pub(crate) mod attempts;
pub(crate) mod caller;
pub(crate) mod csrf;
pub(crate) mod login;
pub(crate) mod sessions;
pub(crate) mod submitted;
pub(crate) mod tokens;

pub(crate) use self::caller::Caller;
pub(crate) use self::submitted::Submitted;
