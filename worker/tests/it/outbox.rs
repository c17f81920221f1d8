//! Postgres does to the outbox what the model of it does ([`testing::outbox`]), on which the dispatcher's
//! simulation runs: the same operations on both, and every row compared after each.
//!
//! Time is moved, not waited for: leases and delays are hours, and to let an hour pass, all of a row's times are
//! moved an hour back. What differs by less than a quarter of an hour is the test's own run time.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use shared::config::AmbiguousPolicy;
use shared::db::outbox::{self, Lease, NewEffect, Settled, Settlement, Settling, probe};
use shared::db::paused_effects;
use testing::outbox::{Outbox, Row, State};
use testing::simulation::{Random, only_seed};
use testing::{Database, run};
use tokio_postgres::Transaction;

const STEPS: u32 = 2_500;
const KEYS: u64 = 200;
const HALF_HOUR: Duration = Duration::from_secs(1_800);
const HOUR: Duration = Duration::from_secs(3_600);
/// Never over at the same moment as a full hour.
const LEASE: Duration = Duration::from_secs(3 * 1_800);
const MAX_ATTEMPTS: i32 = 4;
const EFFECTS: [&str; 3] = ["call", "mail", "other mail"];

fn effect_of(number: u64) -> &'static str {
    EFFECTS[usize::try_from(number % 3).unwrap()]
}

/// Both tables.
struct Pair<'d> {
    database: &'d Database,
    model: Outbox,
    /// The database's number of each of the model's rows.
    ids: BTreeMap<i64, i64>,
    /// Every lease that there ever was.
    leases: Vec<Lease>,
    now: Duration,
    random: Random,
}

impl Pair<'_> {
    async fn step(&mut self) -> String {
        match self.random.below(10) {
            0 if self.random.once_in(4) => self.pause_or_resume().await,
            0..2 => self.insert().await,
            2 if self.random.once_in(2) => self.lease_probe().await,
            2..5 => self.lease().await,
            5..8 => self.settle().await,
            8 => self.expire().await,
            _ => self.pass().await,
        }
    }

    async fn insert(&mut self) -> String {
        let number = self.random.below(KEYS);
        let key = format!("k{number}");
        let on_ambiguous = if number.is_multiple_of(3) { AmbiguousPolicy::Hold } else { AmbiguousPolicy::Resend };
        let effect = NewEffect {
            dedupe_key: key.clone(),
            effect: effect_of(number).to_owned(),
            kind: "email",
            source: None,
            webhook_id: None,
            intent: "{}".to_owned(),
            on_ambiguous,
            traceparent: None,
        };
        let mut client = self.database.client().await;
        let transaction = client.transaction().await.unwrap();
        let inserted = outbox::insert(&transaction, &[effect.clone(), effect]).await.unwrap();
        transaction.commit().await.unwrap();
        let modelled = self.model.insert(&key, (effect_of(number), "email"), on_ambiguous, self.now);
        assert_eq!(inserted, u64::from(modelled.is_some()), "inserting {key}");
        if let Some(id) = modelled {
            let row = client.query_one("SELECT id FROM outbox WHERE dedupe_key = $1", &[&key]).await.unwrap();
            self.ids.insert(id, row.get("id"));
        }
        format!("insert {key}")
    }

    async fn pause_or_resume(&mut self) -> String {
        let effect = EFFECTS[self.random.index(EFFECTS.len())];
        let client = self.database.client().await;
        if self.model.paused.remove(effect) {
            paused_effects::resume(&client, effect).await.unwrap();
            return format!("resume {effect}");
        }
        self.model.paused.insert(effect.to_owned());
        paused_effects::pause(&client, effect, "a test", "for a test").await.unwrap();
        format!("pause {effect}")
    }

    /// Which of the rows that are due longest are leased is Postgres' choice where times are equal. Rows that
    /// somebody else has locked are skipped.
    async fn lease(&mut self) -> String {
        let limit = 1 + self.random.index(4);
        let kinds: &[&str] = if self.random.once_in(10) { &["another"] } else { &["email", "another"] };
        let shut = if self.random.once_in(3) { &EFFECTS[self.random.index(3)..] } else { &[][..] };
        let mut other = self.database.client().await;
        let locking = other.transaction().await.unwrap();
        let locked = if self.random.once_in(3) { self.lock_some(&locking).await } else { BTreeSet::new() };
        let client = self.database.client().await;
        let leased = outbox::lease(&client, i64::try_from(limit).unwrap(), LEASE, kinds, shut).await.unwrap();
        locking.rollback().await.unwrap();

        let due: Vec<i64> =
            self.model.due(kinds, shut, self.now).into_iter().filter(|id| !locked.contains(&self.ids[id])).collect();
        let chosen: Vec<i64> =
            due.iter().copied().filter(|id| leased.iter().any(|one| one.id == self.ids[id])).collect();
        assert_eq!(leased.len(), chosen.len(), "{leased:?} of {due:?}");
        assert_eq!(chosen.len(), due.len().min(limit), "as many as are due, up to {limit}");
        let next = |id: &i64| self.model.rows[id].next_attempt_at;
        let latest = chosen.iter().map(next).max();
        let passed_over = due.iter().filter(|id| !chosen.contains(id)).map(next).min();
        assert!(passed_over.is_none() || latest <= passed_over, "those that are due longest go first");
        for id in &chosen {
            self.lease_modelled(*id, leased.iter().find(|one| one.id == self.ids[id]));
        }
        format!("lease {limit}, none of {shut:?}: {chosen:?}, locked: {locked:?}")
    }

    fn lease_modelled(&mut self, id: i64, leased: Option<&Lease>) {
        let modelled = Lease { id: self.ids[&id], ..self.model.lease(id, LEASE, self.now) };
        assert_eq!(leased, Some(&modelled));
        self.leases.push(modelled);
    }

    /// Which of those that were tried as often and are due as long is Postgres' choice, too.
    async fn lease_probe(&mut self) -> String {
        let effect = EFFECTS[self.random.index(3)];
        let mut other = self.database.client().await;
        let locking = other.transaction().await.unwrap();
        let locked = if self.random.once_in(3) { self.lock_some(&locking).await } else { BTreeSet::new() };
        let client = self.database.client().await;
        assert_eq!(probe::is_under_way(&client, effect).await.unwrap(), self.model.is_under_way(effect));
        let leased = probe::lease(&client, effect, LEASE, &["email"]).await.unwrap();
        locking.rollback().await.unwrap();

        let mut due = self.model.probes(&["email"], effect, self.now);
        due.retain(|id| !locked.contains(&self.ids[id]));
        let chosen = due.iter().copied().find(|id| leased.as_ref().is_some_and(|one| one.id == self.ids[id]));
        let rank = |id: &i64| (self.model.rows[id].attempts, self.model.rows[id].next_attempt_at);
        assert_eq!(chosen.as_ref().map(rank), due.first().map(rank), "those that were tried least go first");
        if let Some(id) = chosen {
            self.lease_modelled(id, leased.as_ref());
        }
        format!("probe {effect}: {chosen:?}, locked: {locked:?}")
    }

    async fn lock_some(&mut self, locking: &Transaction<'_>) -> BTreeSet<i64> {
        let ids: Vec<i64> = self.ids.values().copied().filter(|_| self.random.once_in(3)).collect();
        locking.query("SELECT FROM outbox WHERE id = ANY ($1) ORDER BY id FOR UPDATE", &[&ids]).await.unwrap();
        ids.into_iter().collect()
    }

    /// Settles some attempts at once, each under any lease there ever was, often one of the last.
    async fn settle(&mut self) -> String {
        let mut settlings: Vec<Settling> = Vec::new();
        for _ in 0..=self.random.index(4) {
            let Some(settling) = self.settling() else { return "nothing to settle".to_owned() };
            let is_new = |other: &Settling| (other.id, other.fence) != (settling.id, settling.fence);
            if settlings.iter().all(is_new) {
                settlings.push(settling);
            }
        }
        let client = self.database.client().await;
        let settled = outbox::settle(&client, &settlings).await.unwrap();
        let modelled = settlings.iter().map(|Settling { id, fence, settlement }| {
            let id = *self.ids.iter().find(|(_, number)| *number == id).unwrap().0;
            self.model.settle(id, *fence, settlement, self.now)
        });
        assert_eq!(settled, modelled.collect::<Vec<_>>(), "{settlings:?}");
        for (settling, _lost) in settlings.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::LeaseLost) {
            let was_settled = outbox::was_settled(&client, settling).await.unwrap();
            assert_eq!(was_settled, self.model_was_settled(settling), "{settling:?}");
        }
        format!("settle {settlings:?}: {settled:?}")
    }

    fn model_was_settled(&self, settling: &Settling) -> bool {
        let id = *self.ids.iter().find(|(_, number)| **number == settling.id).unwrap().0;
        self.model.was_settled(&Settling { id, ..settling.clone() })
    }

    fn settling(&mut self) -> Option<Settling> {
        let last = self.leases.len().checked_sub(1)?;
        let back = self.random.index(1 + self.random.clone().index(last + 1).min(8));
        let Lease { id, fence, .. } = self.leases[last - back];
        let (after, error) = (HOUR * u32::try_from(self.random.below(4)).unwrap(), "an error\0".to_owned());
        let settlement = match self.random.below(5) {
            0..2 => Settlement::Sent,
            2 => Settlement::Retry { after, error },
            3 => Settlement::Failed { error },
            _ if self.random.once_in(2) => Settlement::Ambiguous { policy: AmbiguousPolicy::Hold, after, error },
            _ => Settlement::Ambiguous { policy: AmbiguousPolicy::Resend, after, error },
        };
        Some(Settling { id, fence, settlement })
    }

    async fn expire(&mut self) -> String {
        let client = self.database.client().await;
        let expired = outbox::expire_leases(&**client, MAX_ATTEMPTS, HOUR, HOUR).await.unwrap();
        let expired: BTreeMap<i64, String> = expired.into_iter().map(|row| (row.id, row.state)).collect();
        let modelled = self.model.expire(MAX_ATTEMPTS, HOUR, HOUR, self.now);
        let modelled = modelled.into_iter().map(|(id, state)| (self.ids[&id], state_text(state).to_owned())).collect();
        assert_eq!(expired, modelled);
        format!("expire {expired:?}")
    }

    async fn pass(&mut self) -> String {
        let hours = u32::try_from(self.random.below(3)).unwrap();
        self.now += HOUR * hours;
        let moving = format!(
            "UPDATE outbox SET lease_until = lease_until - make_interval(hours => {hours}),
                               overdue_since = overdue_since - make_interval(hours => {hours}),
                               next_attempt_at = next_attempt_at - make_interval(hours => {hours})"
        );
        self.database.execute(&moving).await;
        format!("{hours} h pass")
    }

    async fn assert_equal(&self, trace: &[String]) {
        let query = "
            SELECT dedupe_key, kind, on_ambiguous, state, ambiguous, attempts, fence, last_error,
                   round(extract(epoch FROM lease_until - now()) / 1800)::int8 AS lease,
                   round(extract(epoch FROM next_attempt_at - now()) / 1800)::int8 AS next,
                   round(extract(epoch FROM overdue_since - now()) / 1800)::int8 AS overdue,
                   settled_at IS NOT NULL AS is_settled
            FROM outbox";
        let rows = self.database.client().await.query(query, &[]).await.unwrap();
        let found: BTreeMap<String, String> = rows.iter().map(|row| (row.get("dedupe_key"), found(row))).collect();
        let modelled: BTreeMap<String, String> =
            self.model.rows.values().map(|row| (row.dedupe_key.clone(), modelled(row, self.now))).collect();
        assert_eq!(found, modelled, "after {}", trace.join("\n"));
    }
}

/// A row of the database, as a line.
fn found(row: &tokio_postgres::Row) -> String {
    let (policy, state): (&str, &str) = (row.get("on_ambiguous"), row.get("state"));
    let (lease, next): (Option<i64>, i64) = (row.get("lease"), row.get("next"));
    let overdue: Option<i64> = row.get("overdue");
    let (attempts, fence): (i32, i64) = (row.get("attempts"), row.get("fence"));
    let (ambiguous, settled): (bool, bool) = (row.get("ambiguous"), row.get("is_settled"));
    let error: Option<&str> = row.get("last_error");
    format!("{policy} {state} {ambiguous} {attempts} {fence} {lease:?} {overdue:?} {next} {settled} {error:?}")
}

/// A row of the model, as the same line.
fn modelled(row: &Row, now: Duration) -> String {
    let policy = if row.on_ambiguous == AmbiguousPolicy::Hold { "hold" } else { "resend" };
    let half_hours = |duration: Duration| i64::try_from(duration.as_secs() / HALF_HOUR.as_secs()).unwrap();
    let from_now = |moment: Duration| half_hours(moment) - half_hours(now);
    let (lease, next) = (row.lease_until.map(from_now), from_now(row.next_attempt_at));
    let overdue = row.overdue_since.map(from_now);
    let error = row.last_error.as_deref().map(shared::db::storable);
    let Row { ambiguous, attempts, fence, is_settled, .. } = row;
    format!(
        "{policy} {} {ambiguous} {attempts} {fence} {lease:?} {overdue:?} {next} {is_settled} {error:?}",
        state_text(row.state)
    )
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Sending => "sending",
        State::Sent => "sent",
        State::Held => "held",
        State::Failed => "failed",
    }
}

/// The same operations on both, compared after each.
async fn compare(database: &Database, seed: u64) {
    let (model, ids, leases, random) = (Outbox::default(), BTreeMap::new(), Vec::new(), Random::new(seed));
    let mut pair = Pair { database, model, ids, leases, now: HOUR, random };
    let (mut trace, mut states) = (Vec::new(), BTreeSet::new());
    for step in 0..STEPS {
        trace.push(format!("{step}: {}", pair.step().await));
        pair.assert_equal(&trace[trace.len().saturating_sub(20)..]).await;
        states.extend(pair.model.rows.values().map(|row| row.state));
    }
    assert_eq!(states.len(), 5, "only {states:?}");
    assert!(pair.leases.len() > 200, "only {} leases", pair.leases.len());
}

#[tokio::test]
async fn postgres_leases_settles_and_expires_as_the_model_does() {
    let seed = only_seed().unwrap_or(1);
    println!("SIM_SEED={seed}");
    run(async |stack| compare(&stack.database, seed).await).await;
}

/// A comparison that cannot fail would be none.
#[tokio::test]
async fn a_database_that_forgets_ambiguity_is_told_from_the_model() {
    run(async |stack| {
        let forgetting = "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.ambiguous := false; RETURN NEW; END $$;
             CREATE TRIGGER forget BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION forget()";
        stack.database.execute(forgetting).await;
        let compared = AssertUnwindSafe(compare(&stack.database, 1)).catch_unwind().await;
        assert!(compared.is_err(), "it went unnoticed");
    })
    .await;
}

/// The planner may join a subquery in a way that runs it once a row. It did, with the statistics of a nearly empty table.
#[tokio::test]
async fn a_lease_takes_no_more_rows_than_it_may_whatever_the_planner_believes() {
    let database = Database::migrated().await;
    let rows = |from: i64, to: i64| {
        format!(
            "INSERT INTO outbox (dedupe_key, effect, kind, intent)
             SELECT 'k' || n, 'effect', 'email', '{{}}' FROM generate_series({from}, {to}) AS n"
        )
    };
    database.execute(&format!("{}; ANALYZE outbox", rows(0, 0))).await;
    database.execute(&rows(1, 20)).await;
    let client = database.client().await;
    let leases = outbox::lease(&client, 8, LEASE, &["email"], &[]).await.unwrap();
    assert_eq!(leases.len(), 8);
    assert_eq!(database.number("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 8);
    drop(client);
    database.drop().await;
}

/// However many rows of the effect have failed before, and are due for longer.
#[tokio::test]
async fn a_probe_is_a_row_that_was_tried_least() {
    let database = Database::migrated().await;
    let rows = |key: &str, count: u32, attempts: u32, due_for: &str| {
        format!(
            "INSERT INTO outbox (dedupe_key, effect, kind, intent, attempts, next_attempt_at)
             SELECT '{key} ' || n, 'effect', 'email', '{{}}', {attempts}, now() - interval '{due_for}'
             FROM generate_series(1, {count}) AS n"
        )
    };
    database.execute(&rows("bad", 3_000, 7, "1 hour")).await;
    database.execute(&rows("fresh", 2, 0, "1 second")).await;
    database.execute(&rows("fresh, and not due", 1, 0, "-1 hour")).await;
    let client = database.client().await;
    let mut probed = Vec::new();
    for _ in 0..3 {
        probed.push(probe::lease(&client, "effect", LEASE, &["email"]).await.unwrap().unwrap().dedupe_key);
    }
    probed.sort();
    assert_eq!(&probed[1..], ["fresh 1", "fresh 2"], "{probed:?}");
    assert!(probed[0].starts_with("bad"), "{probed:?}");
    assert_eq!(database.number("SELECT count(*) FROM outbox WHERE state = 'sending'").await, 3);
    assert!(probe::lease(&client, "another", LEASE, &["email"]).await.unwrap().is_none());
    assert!(!probe::is_under_way(&client, "another").await.unwrap());
    drop(client);
    database.drop().await;
}
