//! What redrive, discard, replay and drain have in common: which moment, who agreed, how fast, where to, what came of it,
//! and that it is written down.

mod audit;
mod consent;
mod moment;
mod outlet;
mod pace;
mod progress;
mod report;
mod trace;

pub(crate) use self::audit::{Audited, outcome, terminal_user};
pub(crate) use self::consent::Consent;
pub(crate) use self::moment::moment;
pub(crate) use self::outlet::Outlet;
pub(crate) use self::pace::{DEFAULT_RATE, Pace, Turn};
pub(crate) use self::progress::Progress;
pub(crate) use self::report::{Action, Report, Reported, Tense};
pub(crate) use self::trace::traceparent;
