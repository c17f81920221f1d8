//! Migrations, partitions, retention and the table constraints.

use shared::db::indexes::{self, Built};
use shared::db::processed_webhooks::{Hold, WebhookKey};
use shared::db::{inventory, migrate, outbox, parked_webhooks, processed_webhooks, webhook_failures, webhook_payloads};
use testing::orders::Order;
use testing::process::Service;
use testing::wait::until;
use testing::{Database, run};
use tokio_postgres::error::SqlState;

use crate::scene::{number, options, processed, quick, stock, worker};

#[tokio::test]
async fn eight_workers_migrate_an_empty_database_at_once() {
    let database = Database::empty().await;
    let migrations = (0..8).map(|_| async {
        let applied = migrate::migrate(&database.pool).await.unwrap();
        webhook_payloads::make_partitions(&mut database.client().await).await.unwrap();
        applied.len()
    });
    let applied: usize = futures_util::future::join_all(migrations).await.into_iter().sum();
    assert_eq!(applied, migrations_in_the_checkout(), "one of the eight applied them all");
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'webhook_payloads'::regclass";
    assert_eq!(database.number(partitions).await, 8);
    database.drop().await;
}

#[tokio::test]
async fn the_command_migrates_and_a_second_time_finds_nothing_to_do() {
    run(async |stack| {
        let database = Database::empty().await;
        for _ in 0..2 {
            let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_worker"))
                .arg("migrate")
                .env_clear()
                .env("ONCEHOOK_CONFIG", stack.configure(str::to_owned))
                .env("DATABASE_URL", &database.url)
                .output()
                .await
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        let applied = database.number("SELECT count(*) FROM oncehook_migrations").await;
        assert_eq!(usize::try_from(applied).unwrap(), migrations_in_the_checkout());
        database.drop().await;
    })
    .await;
}

/// Whoever writes goes on, also behind whoever holds the table; the builder alone waits.
#[tokio::test]
async fn indexes_are_built_beside_open_transactions_and_hold_nobody_up() {
    run(async |stack| {
        stack.database.execute("DROP INDEX outbox_ambiguous; CREATE INDEX outbox_attention ON outbox (id)").await;
        stack.database.execute("DROP INDEX outbox_due_by_effect; CREATE INDEX outbox_due ON outbox (id)").await;
        // As a build that was cut off leaves it.
        stack
            .database
            .execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'outbox_by_state'::regclass")
            .await;
        let mut holder = stack.database.client().await;
        let transaction = holder.transaction().await.unwrap();
        let plan = "INSERT INTO outbox (dedupe_key, effect, kind, intent) VALUES ($1, 'mail', 'email', '{}')";
        transaction.execute(plan, &[&"held"]).await.unwrap();
        let pool = stack.database.pool.clone();
        let building = tokio::spawn(async move { indexes::build(&pool).await.unwrap() });
        until("the builder waits", || async { (stack.database.sessions_waiting_for_a_lock().await > 0).then_some(()) })
            .await;
        let other = stack.database.client().await;
        other.execute(plan, &[&"meanwhile"]).await.unwrap();
        assert_eq!(indexes::build(&stack.database.pool).await.unwrap(), Built::ByAnother);
        transaction.commit().await.unwrap();
        let built = vec!["outbox_due_by_effect", "outbox_by_state", "outbox_ambiguous"];
        assert_eq!(building.await.unwrap(), Built::All(built));
        assert_eq!(indexes::missing(&other).await.unwrap(), Vec::<&str>::new());
        assert_eq!(indexes::build(&stack.database.pool).await.unwrap(), Built::All(Vec::new()));
        let old = "SELECT count(*) FROM pg_class
                   WHERE relname IN ('outbox_due', 'outbox_attention', 'parked_webhooks_open')";
        assert_eq!(stack.database.number(old).await, 0);
    })
    .await;
}

/// During a rolling upgrade, and behind one that was taken back: the schema is newer than the program.
#[tokio::test]
async fn an_older_worker_starts_on_a_newer_schema() {
    run(async |stack| {
        let newer = "INSERT INTO oncehook_migrations (version, name, applied_on, checksum)
                     VALUES (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
        stack.database.execute(newer).await;
        let worker = worker(&stack).await;
        assert!(worker.terminate().await.success());
        // One that was left out before the newest is no such thing: nothing runs on half a schema.
        stack.database.execute("DELETE FROM oncehook_migrations WHERE version = 3").await;
        let error = migrate::migrate(&stack.database.pool).await.unwrap_err().to_string();
        assert!(error.contains("lacks V3__webhook_bodies"), "{error}");
    })
    .await;
}

/// A new worker that is not to migrate waits for whoever is.
#[tokio::test]
async fn a_newer_worker_waits_for_its_schema() {
    run(async |stack| {
        stock(&stack, &["MUG"]).await;
        stack.database.execute("ALTER TABLE oncehook_migrations RENAME TO not_yet").await;
        stack.publish(&Order::of(1, "", &["MUG"]).webhook("w1")).await;
        let worker = Service::spawn_worker(&stack, &options(&quick(&stack)).without_migrating());
        let url = format!("{}/readyz", worker.ops_url);
        until("it says what it waits for", || async {
            let answer = reqwest::get(&url).await.ok()?;
            assert_eq!(answer.status(), 503);
            answer.text().await.ok()?.contains("the database is older than this worker").then_some(())
        })
        .await;
        assert!(worker.log().contains("V1__initial"), "{}", worker.log());
        assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 0);
        stack.database.execute("ALTER TABLE not_yet RENAME TO oncehook_migrations").await;
        worker.wait_until_ready().await;
        processed(&stack, 1).await;
        number(&stack, "SELECT count(*) FROM webhook_failures", 0).await;
        assert!(worker.terminate().await.success());
    })
    .await;
}

fn migrations_in_the_checkout() -> usize {
    std::fs::read_dir(testing::services::root().join("migrations")).unwrap().count()
}

#[tokio::test]
async fn every_table_and_column_is_commented() {
    run(async |stack| {
        let missing = "SELECT count(*) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
              AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'oncehook_migrations'
              AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)";
        assert_eq!(stack.database.number(missing).await, 0);
    })
    .await;
}

#[tokio::test]
async fn old_partitions_are_dropped_and_young_ones_kept() {
    run(async |stack| {
        let mut client = stack.database.client().await;
        stack
            .database
            .execute(
                "DO $$ DECLARE day date; BEGIN
                     FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date - age FROM unnest(ARRAY[29, 30, 31, 40]) AS age LOOP
                         EXECUTE format('CREATE TABLE webhook_payloads_%s PARTITION OF webhook_payloads FOR VALUES FROM (%L) TO (%L)',
                                        to_char(day, 'YYYYMMDD'), day, day + 1);
                     END LOOP; END $$",
            )
            .await;
        assert_eq!(webhook_payloads::drop_partitions(&client, 30).await.unwrap().len(), 2);
        assert_eq!(webhook_payloads::drop_partitions(&client, 30).await.unwrap().len(), 0);
        assert_eq!(webhook_payloads::make_partitions(&mut client).await.unwrap(), 0);
        let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'webhook_payloads'::regclass";
        assert_eq!(stack.database.number(partitions).await, 10);
    })
    .await;
}

#[tokio::test]
async fn ids_and_failures_are_purged_by_age_and_the_ledger_never() {
    run(async |stack| {
        stack
            .database
            .execute(
                "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
                 SELECT 's', age::text, 't', sha256(''), 'completed', now(), now() - make_interval(days => age)
                 FROM generate_series(0, 59) AS age;
                 INSERT INTO webhook_failures (source, webhook_id, attempt, outcome, error, occurred_at)
                 SELECT 's', age::text, 0, 'park', 'e', now() - make_interval(days => age) FROM generate_series(0, 59) AS age",
            )
            .await;
        let client = stack.database.client().await;
        assert_eq!(processed_webhooks::purge(&**client, 30, 7).await.unwrap(), 7);
        assert_eq!(processed_webhooks::purge(&**client, 30, 1000).await.unwrap(), 23);
        assert_eq!(webhook_failures::purge(&**client, 30, 1000).await.unwrap(), 30);
        assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 30);
    })
    .await;
}

/// Addresses and bodies go when they were kept for long enough; what is open keeps them, and every key stays.
#[tokio::test]
async fn what_is_done_with_is_emptied_by_age_and_what_is_open_never() {
    run(async |stack| {
        stack
            .database
            .execute(
                "INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, state, discarded_because,
                                              headers, body, body_sha256, received_at, changed_at)
                 SELECT 's', state || age, 'p', 't', 'plan', '', state, 'a test', '{\"a\": \"b\"}', 'body', sha256('body'),
                        now(), now() - make_interval(days => age)
                 FROM unnest(ARRAY['parked', 'redriving', 'resolved', 'discarded']) AS state, unnest(ARRAY[29, 31]) AS age;
                 INSERT INTO outbox (dedupe_key, effect, kind, intent, state, lease_until, created_at, settled_at)
                 SELECT state || age, 'e', 'email', '{\"to\": \"zoe@shop.example\"}', state,
                        CASE state WHEN 'sending' THEN now() END, now() - make_interval(days => age),
                        CASE WHEN state IN ('sent', 'failed', 'cancelled') THEN now() - make_interval(days => age) END
                 FROM unnest(ARRAY['pending', 'sending', 'sent', 'held', 'failed', 'cancelled']) AS state,
                      unnest(ARRAY[29, 31]) AS age",
            )
            .await;
        let client = stack.database.client().await;
        let purged = async |limit: i64| {
            let parked = parked_webhooks::purge::purge(&**client, 30, limit).await.unwrap();
            (parked, outbox::purge::purge(&**client, 30, limit).await.unwrap())
        };
        assert_eq!([purged(1).await, purged(9).await, purged(9).await], [(1, 1), (1, 1), (0, 0)]);
        let emptied = "SELECT count(*) FROM parked_webhooks
            WHERE webhook_id IN ('resolved31', 'discarded31') AND body = '' AND headers = '{}' AND generation = 2";
        assert_eq!(stack.database.number(emptied).await, 2);
        assert_eq!(stack.database.number("SELECT count(*) FROM parked_webhooks WHERE body = 'body'").await, 6);
        let emptied = "SELECT count(*) FROM outbox
            WHERE dedupe_key IN ('sent31', 'cancelled31') AND intent = '{}' AND purged_at IS NOT NULL";
        assert_eq!(stack.database.number(emptied).await, 2);
        assert_eq!(stack.database.number("SELECT count(*) FROM outbox WHERE intent <> '{}'").await, 10);
        let counted = outbox::counts::by_state(&**client).await.unwrap();
        let counted: Vec<_> = counted.iter().map(|count| (count.state.as_str(), count.rows)).collect();
        let all = ["cancelled", "failed", "held", "pending", "sending", "sent"].map(|state| (state, 2));
        assert_eq!(counted, all);
    })
    .await;
}

/// Else a redrive of a webhook that was processed long ago would run it again.
#[tokio::test]
async fn a_claim_is_kept_for_as_long_as_its_id_is_parked() {
    run(async |stack| {
        stack
            .database
            .execute(
                "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
                 SELECT 's', id, 't', sha256(''), 'completed', now(), now() - interval '90 d'
                 FROM unnest(ARRAY['parked', 'discarded', 'resolved', 'never-parked']) AS id;
                 INSERT INTO parked_webhooks
                     (source, webhook_id, provider, topic, reason, detail, state, discarded_because, body, body_sha256, received_at)
                 SELECT 's', id, 'p', 't', 'changed-body', '', id, 'a test', '', sha256(''), now()
                 FROM unnest(ARRAY['parked', 'discarded', 'resolved']) AS id",
            )
            .await;
        let client = stack.database.client().await;
        assert_eq!(processed_webhooks::purge(&**client, 30, 1000).await.unwrap(), 2);
        stack.database.execute("UPDATE parked_webhooks SET state = 'resolved'").await;
        assert_eq!(processed_webhooks::purge(&**client, 30, 1000).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn setting_stock_keeps_the_invariant() {
    run(async |stack| {
        let mut client = stack.database.client().await;
        for (quantity, before) in [(10, None), (25, Some(10)), (25, Some(25)), (-3, Some(25))] {
            let transaction = client.transaction().await.unwrap();
            assert_eq!(inventory::set(&transaction, "MUG", quantity).await.unwrap(), before);
            transaction.commit().await.unwrap();
        }
        assert_eq!(stack.database.number("SELECT count(*) FROM inventory_ledger WHERE kind = 'adjustment'").await, 2);
        assert_eq!(inventory::drift(&**client).await.unwrap(), []);
        stack.database.execute("UPDATE inventory SET quantity = quantity + 1").await;
        assert_eq!(inventory::drift(&**client).await.unwrap().len(), 1, "a drift is seen");
    })
    .await;
}

#[tokio::test]
async fn what_may_never_be_is_refused_by_the_table() {
    run(async |stack| {
        let client = stack.database.client().await;
        for statement in [
            "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at) VALUES ('s', 'w', 't', sha256(''), 'pending', now())",
            "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at) VALUES ('s', '', 't', sha256(''), 'completed', now())",
            "INSERT INTO inventory_ledger (source, order_id, line_id, kind, sku, delta, webhook_id) VALUES ('s', 'o', 'l', 'sale', 'MUG', 1, 'w')",
            "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at) VALUES ('s', '↻r:w', 't', sha256(''), 'completed', now())",
            "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, replay_of, replay_run) VALUES ('s', 'w2', 't', sha256(''), 'completed', now(), 'w', 'r')",
            "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, replay_of) VALUES ('s', '↻r:w', 't', sha256(''), 'completed', now(), 'w')",
            "INSERT INTO outbox (dedupe_key, effect, kind, intent, state) VALUES ('k', 'e', 'email', '{}', 'sending')",
            "INSERT INTO outbox (dedupe_key, effect, kind, intent, state) VALUES ('k', 'e', 'email', '{}', 'sent')",
            "INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, body, body_sha256, received_at) VALUES ('s', 'w', 'p', 't', 'whim', '', '', sha256(''), now())",
            "INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, state, body, body_sha256, received_at) VALUES ('s', 'w', 'p', 't', 'plan', '', 'discarded', '', sha256(''), now())",
            "INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, redriven_at, body, body_sha256, received_at) VALUES ('s', 'w', 'p', 't', 'plan', '', now(), '', sha256(''), now())",
            "INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, replay_of, body, body_sha256, received_at) VALUES ('s', 'w', 'p', 't', 'plan', '', 'w0', '', sha256(''), now())",
        ] {
            let error = client.batch_execute(statement).await.expect_err(statement);
            assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{statement}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn any_key_can_be_held_and_leaves_no_row() {
    run(async |stack| {
        let mut client = stack.database.client().await;
        for webhook_id in ["w1", "↻run:w1", "↻"] {
            let key = WebhookKey { source: "shopify".to_owned(), webhook_id: webhook_id.to_owned() };
            let transaction = client.transaction().await.unwrap();
            assert_eq!(processed_webhooks::hold(&transaction, &key).await.unwrap(), Hold::Held, "{webhook_id}");
            processed_webhooks::release(&transaction, &key).await.unwrap();
            transaction.commit().await.unwrap();
        }
        assert_eq!(stack.database.number("SELECT count(*) FROM processed_webhooks").await, 0);
    })
    .await;
}
