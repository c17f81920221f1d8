//! Writing down how attempts ended: any number of them in one statement, each under the fence of its lease.

use std::time::Duration;

use tokio_postgres::Error;

use crate::config::AmbiguousPolicy;
use crate::db::storable;

/// Rows are locked in one order, so that two workers that settle the same ones never wait for each other in a circle.
const SETTLE: &str = concat!(
    "WITH settling AS (
        SELECT * FROM unnest($1::int8[], $2::int8[], $3::text[], $4::bool[], $5::text[], $6::float8[])
            AS row (id, fence, state, ambiguous, error, delay_s)
    ), locked AS (
        SELECT outbox.id, outbox.fence, outbox.attempts FROM outbox JOIN settling ON settling.id = outbox.id
        WHERE outbox.fence = settling.fence AND outbox.state = 'sending'
        ORDER BY outbox.id
        FOR UPDATE OF outbox
    ), noted AS (",
    super::attempts::note_settled!(),
    ")
    UPDATE outbox
    SET state = settling.state, ambiguous = outbox.ambiguous OR settling.ambiguous, lease_until = NULL,
        overdue_since = NULL, last_error = settling.error,
        next_attempt_at = now() + make_interval(secs => settling.delay_s),
        settled_at = CASE WHEN settling.state IN ('sent', 'failed', 'cancelled') THEN now() END
    FROM settling JOIN locked ON locked.id = settling.id AND locked.fence = settling.fence
    WHERE outbox.id = settling.id
    RETURNING outbox.id, outbox.fence"
);

/// A row is taken from who sends it by a settlement, or by its lease's end, and that marks it as ambiguous for ever.
const WAS_SETTLED: &str = "
    SELECT (state <> 'sending' OR fence <> $2)
       AND (NOT ambiguous OR (fence = $2 AND state = $3 AND last_error IS NOT DISTINCT FROM $4)) AS was_settled
    FROM outbox WHERE id = $1";

/// An attempt that has ended, under a lease that is settled once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// The row's number.
    pub id: i64,
    /// The lease's fence.
    pub fence: i64,
    /// How it ended.
    pub settlement: Settlement,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The peer accepted it.
    Sent,
    /// The peer did not get it; try again after the delay.
    Retry {
        /// How long to wait.
        after: Duration,
        /// What went wrong.
        error: String,
    },
    /// It will never succeed, or was tried often enough.
    Failed {
        /// What went wrong.
        error: String,
    },
    /// The peer may have got it: send again after the delay, or hold, as the effect's policy says.
    Ambiguous {
        /// What to do.
        policy: AmbiguousPolicy,
        /// How long to wait before sending again.
        after: Duration,
        /// What went wrong.
        error: String,
    },
}

/// What settling found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The row was ours and is settled.
    Done,
    /// The lease had run out and another worker has the row, or a person changed it.
    LeaseLost,
}

/// Settles attempts whose rows are still ours; says of each, in their order, whether it was.
///
/// # Errors
/// When the statement fails: then none is settled.
pub async fn settle(client: &deadpool_postgres::Client, settlings: &[Settling]) -> Result<Vec<Settled>, Error> {
    let ids: Vec<i64> = settlings.iter().map(|settling| settling.id).collect();
    let fences: Vec<i64> = settlings.iter().map(|settling| settling.fence).collect();
    let columns: Vec<Columns<'_>> = settlings.iter().map(|settling| Columns::of(&settling.settlement)).collect();
    let states: Vec<&str> = columns.iter().map(|columns| columns.state).collect();
    let ambiguous: Vec<bool> = columns.iter().map(|columns| columns.ambiguous).collect();
    let errors: Vec<_> = columns.iter().map(|columns| columns.error.map(storable)).collect();
    let delays: Vec<f64> = columns.iter().map(|columns| columns.delay.as_secs_f64()).collect();
    let statement = client.prepare_cached(SETTLE).await?;
    let rows = client.query(&statement, &[&ids, &fences, &states, &ambiguous, &errors, &delays]).await?;
    let done: Vec<(i64, i64)> =
        rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("fence")?))).collect::<Result<_, Error>>()?;
    let settled = |settling: &Settling| {
        if done.contains(&(settling.id, settling.fence)) { Settled::Done } else { Settled::LeaseLost }
    };
    Ok(settlings.iter().map(settled).collect())
}

/// Whether an attempt was settled by a try that nobody heard of. Of a row that is ambiguous this is known only until
/// somebody changes it.
///
/// # Errors
/// When the statement fails.
pub async fn was_settled(client: &deadpool_postgres::Client, settling: &Settling) -> Result<bool, Error> {
    let Settling { id, fence, settlement } = settling;
    let Columns { state, error, .. } = Columns::of(settlement);
    let statement = client.prepare_cached(WAS_SETTLED).await?;
    let row = client.query_one(&statement, &[id, fence, &state, &error.map(storable)]).await?;
    row.try_get("was_settled")
}

/// A settlement as the row says it.
struct Columns<'s> {
    state: &'static str,
    ambiguous: bool,
    error: Option<&'s str>,
    delay: Duration,
}

impl<'s> Columns<'s> {
    fn of(settlement: &'s Settlement) -> Self {
        let (state, ambiguous, error, delay) = match settlement {
            Settlement::Sent => ("sent", false, None, Duration::ZERO),
            Settlement::Retry { after, error } => ("pending", false, Some(error), *after),
            Settlement::Failed { error } => ("failed", false, Some(error), Duration::ZERO),
            Settlement::Ambiguous { policy: AmbiguousPolicy::Resend, after, error } => {
                ("pending", true, Some(error), *after)
            }
            Settlement::Ambiguous { policy: AmbiguousPolicy::Hold, error, .. } => {
                ("held", true, Some(error), Duration::ZERO)
            }
        };
        Self { state, ambiguous, error: error.map(String::as_str), delay }
    }
}
