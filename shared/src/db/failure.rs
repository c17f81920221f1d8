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
    /// Classes 08, 40, 53, 55P03, 57, I/O, and a day without a payload partition.
    Database,
    /// Anything else: split, and let the one that stands alone take the retry ladder.
    Unknown,
}

/// Tells whose fault an error is.
#[must_use]
pub fn classify(error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(error) => classify_db(error),
        // No answer from the server: I/O, TLS, a closed connection. A value that cannot be
        // serialised never leaves the client and has another cause.
        None if error.is_closed()
            || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>()) =>
        {
            Failure::Database
        }
        None => Failure::Unknown,
    }
}

fn classify_db(error: &DbError) -> Failure {
    let code = error.code();
    if *code == SqlState::CHECK_VIOLATION && error.constraint().is_none() {
        return Failure::Database; // "no partition of relation found for row"
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return Failure::Database;
    }
    match code.code().get(..2) {
        Some("22" | "23") => Failure::Data,
        Some("08" | "40" | "53" | "57") => Failure::Database,
        _ => Failure::Unknown,
    }
}
