//! Which rows are leased next: a probe of each destination that may be back, and then any of those that nothing is known
//! against.
//!
//! Invariant: a row whose lease was heard of is returned, whatever fails after it. One that was dropped would count as
//! ambiguous, though nobody has sent it.

use std::time::Instant;

use shared::db::outbox::Lease;

use super::Destinations;
use super::rows::Rows;

/// Leases up to `limit` rows.
///
/// # Errors
/// When the outbox does not answer, and nothing was leased before.
pub(crate) async fn lease(
    rows: &impl Rows,
    destinations: &Destinations,
    limit: usize,
    now: Instant,
) -> Result<Vec<Lease>, String> {
    let mut leases = Vec::new();
    match lease_into(&mut leases, rows, destinations, limit, now).await {
        Err(error) if leases.is_empty() => return Err(error),
        Err(error) => tracing::warn!(error, "cannot lease from the outbox; trying again"),
        Ok(()) => {}
    }
    Ok(leases)
}

async fn lease_into(
    leases: &mut Vec<Lease>,
    rows: &impl Rows,
    destinations: &Destinations,
    limit: usize,
    now: Instant,
) -> Result<(), String> {
    for effect in destinations.to_probe(now) {
        if leases.len() == limit {
            return Ok(());
        }
        match rows.lease_probe(&effect).await? {
            Some(probe) => {
                destinations.probe_begins(&probe, now);
                leases.push(probe);
            }
            None if rows.is_under_way(&effect).await? => destinations.finds_no_probe(&effect, now),
            None => destinations.finds_nothing_waiting(&effect),
        }
    }
    let free = limit.saturating_sub(leases.len());
    if free > 0 {
        let shut = destinations.shut();
        let shut: Vec<&str> = shut.iter().map(String::as_str).collect();
        leases.extend(rows.lease(free, &shut).await?);
    }
    Ok(())
}
