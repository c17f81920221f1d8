//! Every attempt to send that did not succeed is on record with its error, once; one that succeeds leaves no row.

use std::time::Duration;

use shared::config::AmbiguousPolicy;
use shared::db::outbox::{self, NewEffect, Settled, Settlement, Settling, attempts};
use testing::{Database, run};

async fn plan(database: &Database, keys: &[&str]) {
    let effect = |key: &&str| NewEffect {
        dedupe_key: (*key).to_owned(),
        effect: "mail".to_owned(),
        kind: "email",
        source: None,
        webhook_id: None,
        intent: "{}".to_owned(),
        on_ambiguous: AmbiguousPolicy::Hold,
        traceparent: None,
    };
    let mut client = database.client().await;
    let transaction = client.transaction().await.unwrap();
    outbox::insert(&transaction, &keys.iter().map(effect).collect::<Vec<_>>()).await.unwrap();
    transaction.commit().await.unwrap();
}

/// What waits, leased for an hour: number, fence, and which attempt it is.
async fn lease(database: &Database) -> Vec<(i64, i64, i32)> {
    let query = "UPDATE outbox SET state = 'sending', attempts = attempts + 1, fence = fence + 1,
                        lease_until = now() + interval '1 hour'
                 WHERE state = 'pending' RETURNING id, fence, attempts";
    let rows = database.client().await.query(query, &[]).await.unwrap();
    let mut leases: Vec<_> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    leases.sort_unstable();
    leases
}

/// Outcome, which attempt, and error of each attempt on record.
async fn on_record(database: &Database, id: i64) -> Vec<(String, i32, String)> {
    let rows = attempts::of(&database.client().await, &[id]).await.unwrap();
    rows.into_iter().map(|row| (row.outcome, row.attempt, row.error)).collect()
}

#[tokio::test]
async fn each_attempt_that_did_not_succeed_is_on_record_once() {
    run(async |stack| {
        let database = &stack.database;
        plan(database, &["a", "b", "c", "d"]).await;
        let leases = lease(database).await;
        let error = || "451 later".to_owned();
        let ends = [
            Settlement::Sent,
            Settlement::Retry { after: Duration::ZERO, error: error() },
            Settlement::Failed { error: error() },
            Settlement::Ambiguous { policy: AmbiguousPolicy::Hold, after: Duration::ZERO, error: error() },
        ];
        let settling =
            |(&(id, fence, _attempt), settlement): (&(i64, i64, i32), Settlement)| Settling { id, fence, settlement };
        let settlings: Vec<Settling> = leases.iter().zip(ends).map(settling).collect();
        let client = database.client().await;
        let settled = outbox::settle(&client, &settlings).await.unwrap();
        assert_eq!(settled, [Settled::Done; 4]);
        // Whoever has lost the lease changes nothing, and so notes nothing.
        assert_eq!(outbox::settle(&client, &settlings).await.unwrap(), [Settled::LeaseLost; 4]);
        let ids: Vec<i64> = leases.iter().map(|(id, ..)| *id).collect();
        assert_eq!(on_record(database, ids[0]).await, []);
        for (id, outcome) in [(ids[1], "retry"), (ids[2], "failed"), (ids[3], "ambiguous")] {
            assert_eq!(on_record(database, id).await, [(outcome.to_owned(), 1, error())]);
        }
        // The second attempt succeeds: the first stays on record, with its error.
        let again = lease(database).await;
        assert_eq!((again.len(), again[0].2), (1, 2));
        outbox::settle(&client, &[settling((&again[0], Settlement::Sent))]).await.unwrap();
        assert_eq!(on_record(database, ids[1]).await, [("retry".to_owned(), 1, error())]);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_ended_without_a_word_is_on_record() {
    run(async |stack| {
        let database = &stack.database;
        plan(database, &["a"]).await;
        let leases = lease(database).await;
        let client = database.client().await;
        database.execute("UPDATE outbox SET lease_until = now() - interval '1 hour'").await;
        let expired = outbox::expire_leases(&**client, 4, Duration::ZERO, Duration::ZERO).await.unwrap();
        assert_eq!((expired.len(), expired[0].state.as_str()), (1, "held"));
        let told = on_record(database, leases[0].0).await;
        assert_eq!((told.len(), told[0].0.as_str(), told[0].1), (1, "lost", 1), "{told:?}");
        assert!(outbox::expire_leases(&**client, 4, Duration::ZERO, Duration::ZERO).await.unwrap().is_empty());
        assert_eq!(on_record(database, leases[0].0).await.len(), 1);
    })
    .await;
}
