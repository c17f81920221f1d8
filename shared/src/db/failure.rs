//! What a database error means for a batch: is it the data's fault, the database's, or unknown?
//!
//! SQLSTATE classes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use tokio_postgres::error::{DbError, SqlState};

/// Whose fault an error is, and so what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A value in a webhook: split the batch until it stands alone. Classes 22 and 23.
    Data,
    /// The database, the connection or contention: try the whole batch again, count no attempt.
    /// Classes 08, 25 (a failover to a read-only node, our own idle timeout), 40, 53, 55P03, 57,
    /// 58, and I/O.
    Database,
    /// `statement_timeout`, 57014: too much at once, or a slow database. Try in halves.
    TooSlow,
    /// Today has no payload partition: make it, and try again.
    NoPartition,
    /// Anything else: split, and let the one that stands alone take the retry ladder.
    Unknown,
}

/// Tells whose fault an error is.
#[must_use]
pub fn classify(error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(error) => classify_db(error),
        None if error.is_closed() || is_io(error) => Failure::Database,
        None => Failure::Unknown,
    }
}

/// No answer from the server. A value too large for the protocol fails with an I/O error of its
/// own kind before anything is sent.
fn is_io(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() != std::io::ErrorKind::InvalidInput)
}

fn classify_db(error: &DbError) -> Failure {
    let code = error.code();
    if *code == SqlState::CHECK_VIOLATION && error.constraint().is_none() {
        return Failure::NoPartition; // "no partition of relation found for row"
    }
    if *code == SqlState::QUERY_CANCELED {
        return Failure::TooSlow;
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return Failure::Database;
    }
    match code.code().get(..2) {
        Some("22" | "23") => Failure::Data,
        Some("08" | "25" | "40" | "53" | "57" | "58") => Failure::Database,
        _ => Failure::Unknown,
    }
}
