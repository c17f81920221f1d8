//! `outbox`: effects that leave the database, sent at least once and settled with a fence.
//!
//! A lease is committed *before* its effect is performed, so that a crash in between is seen: a
//! row whose lease ran out may or may not have reached its peer and is marked ambiguous. Settling
//! names the fence of its lease; a worker that lost its lease settles nothing. How rows are looked at
//! is in [`rows`], how they are counted in [`counts`], what a person does with them in [`steer`], and
//! which of them tells whether its destination is back in [`probe`].

/// The effects that rows wait for, in `waiting`: the index `outbox_due_by_effect` leads from one to the next, past all the
/// rows in between.
macro_rules! waiting_effects {
    () => {
        "WITH RECURSIVE waiting AS (
             (SELECT effect FROM outbox WHERE state = 'pending' ORDER BY effect LIMIT 1)
             UNION ALL
             SELECT (SELECT next.effect FROM outbox AS next
                     WHERE next.state = 'pending' AND next.effect > waiting.effect ORDER BY next.effect LIMIT 1)
             FROM waiting WHERE waiting.effect IS NOT NULL)"
    };
}

/// Leases the rows that a subquery chooses, for $2 seconds. They are chosen once, in an array: of a plain `IN`, the planner
/// may make a join that chooses again for every row, past the limit.
macro_rules! lease_those {
    ($choice:literal) => {
        concat!(
            "
    UPDATE outbox
    SET state = 'sending', attempts = attempts + 1, fence = fence + 1,
        lease_until = now() + make_interval(secs => $2), overdue_since = NULL
    WHERE id = ANY (ARRAY(",
            $choice,
            "))
    RETURNING id, dedupe_key, effect, kind, webhook_id, intent::text AS intent, on_ambiguous, attempts, fence,
        traceparent"
        )
    };
}

pub mod attempts;
pub mod backlog;
pub mod counts;
pub mod probe;
pub mod purge;
pub mod rows;
mod settling;
pub mod steer;

use deadpool_postgres::Transaction;
use std::time::Duration;
use tokio_postgres::{Error, GenericClient, Row};

pub use self::settling::{Settled, Settlement, Settling, settle, was_settled};
use crate::config::AmbiguousPolicy;
use crate::trace_context::trace_id;

const INSERT: &str = "
    INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, on_ambiguous, traceparent)
    SELECT dedupe_key, effect, kind, source, webhook_id, intent::jsonb, on_ambiguous, traceparent
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        AS row (dedupe_key, effect, kind, source, webhook_id, intent, on_ambiguous, traceparent)
    ORDER BY dedupe_key
    ON CONFLICT (dedupe_key) DO NOTHING";

/// What waits is looked at effect by effect, so that one that is passed over costs a step and not a step a row.
const LEASE: &str = concat!(
    waiting_effects!(),
    lease_those!(
        "
        SELECT due.id
        FROM waiting CROSS JOIN LATERAL (
            SELECT id, next_attempt_at FROM outbox
            WHERE state = 'pending' AND effect = waiting.effect AND next_attempt_at <= now()
              AND kind = ANY ($3::text[])
            ORDER BY next_attempt_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED) AS due
        WHERE waiting.effect NOT IN (SELECT effect FROM paused_effects) AND waiting.effect <> ALL ($4::text[])
        ORDER BY due.next_attempt_at
        LIMIT $1"
    )
);

/// The first who sees that a lease ran out writes it down.
const OVERDUE: &str = "
    UPDATE outbox
    SET overdue_since = now()
    WHERE id = ANY (ARRAY(
        SELECT id FROM outbox
        WHERE state = 'sending' AND lease_until < now() AND overdue_since IS NULL
        ORDER BY lease_until
        LIMIT 1000
        FOR UPDATE SKIP LOCKED))";

const EXPIRE: &str = concat!(
    "WITH expired AS (
    UPDATE outbox
    SET state = CASE WHEN on_ambiguous = 'hold' OR attempts >= $1 THEN 'held' ELSE 'pending' END,
        ambiguous = true, lease_until = NULL, overdue_since = NULL, next_attempt_at = now() + make_interval(secs => $2),
        last_error = 'the worker that was sending it ended without a word'
    WHERE id = ANY (ARRAY(
        SELECT id FROM outbox
        WHERE state = 'sending' AND lease_until < now() AND overdue_since <= now() - make_interval(secs => $3)
        ORDER BY lease_until
        LIMIT 1000
        FOR UPDATE SKIP LOCKED))
    RETURNING id, dedupe_key, state, attempts, last_error), noted AS (",
    attempts::note_lost!(),
    ") SELECT id, dedupe_key, state FROM expired"
);

/// An effect to write down in the transaction of its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEffect {
    /// `effect/source/key`, unique for ever.
    pub dedupe_key: String,
    /// The configured effect.
    pub effect: String,
    /// What performs it, such as `email`.
    pub kind: &'static str,
    /// The sender of the webhook that asks for it.
    pub source: Option<String>,
    /// The webhook that asks for it.
    pub webhook_id: Option<String>,
    /// What to send, as JSON text.
    pub intent: String,
    /// What to do when a send's outcome is unknown.
    pub on_ambiguous: AmbiguousPolicy,
    /// The W3C trace context of what plans it.
    pub traceparent: Option<String>,
}

/// A row that this worker owns until its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The row's number.
    pub id: i64,
    /// What the idempotency key is made from.
    pub dedupe_key: String,
    /// The configured effect.
    pub effect: String,
    /// What performs it.
    pub kind: String,
    /// The webhook that asked for it.
    pub webhook_id: Option<String>,
    /// What to send, as JSON text.
    pub intent: String,
    /// What to do when the send's outcome is unknown.
    pub on_ambiguous: AmbiguousPolicy,
    /// Attempts so far, this one included.
    pub attempts: i32,
    /// The lease's fence.
    pub fence: i64,
    /// The W3C trace context of what planned it.
    pub traceparent: Option<String>,
}

impl Lease {
    /// The id of its trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(self.traceparent.as_deref()?)
    }
}

/// A row whose lease ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The row's number.
    pub id: i64,
    /// What it would have sent.
    pub dedupe_key: String,
    /// `pending` or `held`, as its effect's policy says.
    pub state: String,
}

/// Writes effects down; a dedupe key that is there already is left as it is. Returns how many are
/// new.
///
/// # Errors
/// When the statement fails.
pub async fn insert(transaction: &Transaction<'_>, effects: &[NewEffect]) -> Result<u64, Error> {
    let keys: Vec<&str> = effects.iter().map(|effect| effect.dedupe_key.as_str()).collect();
    let names: Vec<&str> = effects.iter().map(|effect| effect.effect.as_str()).collect();
    let kinds: Vec<&str> = effects.iter().map(|effect| effect.kind).collect();
    let sources: Vec<Option<&str>> = effects.iter().map(|effect| effect.source.as_deref()).collect();
    let webhooks: Vec<Option<&str>> = effects.iter().map(|effect| effect.webhook_id.as_deref()).collect();
    let intents: Vec<&str> = effects.iter().map(|effect| effect.intent.as_str()).collect();
    let policies: Vec<&str> = effects.iter().map(|effect| policy_text(effect.on_ambiguous)).collect();
    let traces: Vec<Option<&str>> = effects.iter().map(|effect| effect.traceparent.as_deref()).collect();
    let statement = transaction.prepare_cached(INSERT).await?;
    transaction.execute(&statement, &[&keys, &names, &kinds, &sources, &webhooks, &intents, &policies, &traces]).await
}

/// Leases up to `limit` due rows of these kinds for a time, those that are due longest first; none of an effect that is
/// paused or in `shut`.
///
/// # Errors
/// When the statement fails.
pub async fn lease(
    client: &deadpool_postgres::Client,
    limit: i64,
    lease: Duration,
    kinds: &[&str],
    shut: &[&str],
) -> Result<Vec<Lease>, Error> {
    let statement = client.prepare_cached(LEASE).await?;
    let rows = client.query(&statement, &[&limit, &lease.as_secs_f64(), &kinds, &shut]).await?;
    rows.iter().map(leased).collect()
}

fn leased(row: &Row) -> Result<Lease, Error> {
    Ok(Lease {
        id: row.try_get("id")?,
        dedupe_key: row.try_get("dedupe_key")?,
        effect: row.try_get("effect")?,
        kind: row.try_get("kind")?,
        webhook_id: row.try_get("webhook_id")?,
        intent: row.try_get("intent")?,
        on_ambiguous: policy(row.try_get("on_ambiguous")?),
        attempts: row.try_get("attempts")?,
        fence: row.try_get("fence")?,
        traceparent: row.try_get("traceparent")?,
    })
}

/// Takes up rows whose lease ran out, as their policy says, to be sent again after a delay; a row
/// that was tried `max_attempts` times is held. All of them are ambiguous. Whoever holds such a lease may settle it for
/// `grace` from when anybody first saw that it ran out; that is written down, since who looks may not live for long.
///
/// # Errors
/// When the statement fails.
pub async fn expire_leases(
    client: &impl GenericClient,
    max_attempts: i32,
    grace: Duration,
    delay: Duration,
) -> Result<Vec<Expired>, Error> {
    client.execute(OVERDUE, &[]).await?;
    let rows = client.query(EXPIRE, &[&max_attempts, &delay.as_secs_f64(), &grace.as_secs_f64()]).await?;
    rows.iter()
        .map(|row| {
            let (id, dedupe_key) = (row.try_get("id")?, row.try_get("dedupe_key")?);
            Ok(Expired { id, dedupe_key, state: row.try_get("state")? })
        })
        .collect()
}

fn policy_text(policy: AmbiguousPolicy) -> &'static str {
    match policy {
        AmbiguousPolicy::Resend => "resend",
        AmbiguousPolicy::Hold => "hold",
    }
}

fn policy(text: &str) -> AmbiguousPolicy {
    if text == "hold" { AmbiguousPolicy::Hold } else { AmbiguousPolicy::Resend }
}
