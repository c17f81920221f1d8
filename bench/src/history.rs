//! What a database looks like after a while, made in minutes: claims and payloads of the past, and effects that wait.

use std::time::Duration;

use anyhow::Context as _;

use crate::database::Database;

/// How often the outbox is looked at: seldom enough not to be felt.
const INTERVAL: Duration = Duration::from_millis(200);
/// Days of payloads before today.
const DAYS: i32 = 30;

/// Ids are random, as a provider's are, and times are in order, as they would be. Making the key's index anew sorts it
/// once, instead of ten million times.
const GROW: &str = "
    ALTER TABLE processed_webhooks DROP CONSTRAINT processed_webhooks_pkey;
    INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at)
    SELECT 'shopify', gen_random_uuid()::text, 'orders/paid', sha256(n::text::bytea), 'completed', at, at
    FROM generate_series(1, {rows}) AS n, LATERAL (
        SELECT now() - interval '29 days' + interval '28 days' * (n::float8 / {rows}) AS at) AS moment;
    ALTER TABLE processed_webhooks ADD PRIMARY KEY (source, webhook_id);
    VACUUM (ANALYZE) processed_webhooks;
    CREATE SCHEMA IF NOT EXISTS bench;
    CREATE TABLE IF NOT EXISTS bench.grown (rows bigint NOT NULL);
    TRUNCATE bench.grown;
    INSERT INTO bench.grown VALUES ({rows});
    CHECKPOINT";

/// Random bytes, two thousand of them: text of a real body would compress better, and take less.
const STORE: &str = "
    INSERT INTO webhook_payloads (stored_on, source, webhook_id, content_type, body)
    SELECT $1::text::date, 'shopify', gen_random_uuid()::text, 'application/json', filler.body
    FROM generate_series(1, $2::int8) AS n, LATERAL (
        SELECT string_agg(sha256((n::text || '/' || part::text)::bytea), ''::bytea) AS body
        FROM generate_series(1, 64) AS part) AS filler";

const PLAN: &str = "
    INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, on_ambiguous, next_attempt_at)
    SELECT $3 || '/shopify/' || n, $3, $2, 'shopify', gen_random_uuid()::text, $4::text::jsonb, 'resend', now()
    FROM generate_series(1, $1::int8) AS n";

/// As for webhooks: without the beginning and the end.
const SENDING_RATE: &str = "
    WITH bounds AS (
        SELECT percentile_disc(0.1) WITHIN GROUP (ORDER BY settled_at) AS first,
               percentile_disc(0.95) WITHIN GROUP (ORDER BY settled_at) AS last
        FROM outbox)
    SELECT (SELECT count(*) FROM outbox, bounds WHERE settled_at >= first AND settled_at < last)
           / extract(epoch FROM last - first)::float8
    FROM bounds";

impl Database {
    /// Adds so many claims of the past month.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn grow(&self, rows: i64) -> anyhow::Result<()> {
        // VACUUM and CHECKPOINT want to be alone.
        for statement in GROW.replace("{rows}", &rows.to_string()).split(';') {
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// How many claims [`Database::grow`] has made, in an earlier run or in this one; 0 if it never ended.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn grown(&self) -> anyhow::Result<i64> {
        if self.number("SELECT count(to_regclass('bench.grown'))").await? == 0 {
            return Ok(0);
        }
        self.number("SELECT coalesce(max(rows), 0) FROM bench.grown").await
    }

    /// Stores so many payloads on each of the last days.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn store_payloads(&self, a_day: i64) -> anyhow::Result<()> {
        for ago in 1..=DAYS {
            let query = "SELECT to_char((now() AT TIME ZONE 'UTC')::date - $1::int4, 'YYYY-MM-DD') AS day";
            let day: String = self.client().query_one(query, &[&ago]).await?.try_get("day")?;
            let name = format!("webhook_payloads_{}", day.replace('-', ""));
            self.execute(&format!(
                "CREATE TABLE IF NOT EXISTS {name} PARTITION OF webhook_payloads
                 FOR VALUES FROM ('{day}') TO (date '{day}' + 1)"
            ))
            .await?;
            self.client().execute(STORE, &[&day, &a_day]).await.context("cannot store payloads")?;
        }
        self.execute("VACUUM (ANALYZE) webhook_payloads").await
    }

    /// Empties what a drain fills, but for the claims of the past and the payloads of the days before today.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn clear_but_history(&self) -> anyhow::Result<()> {
        let query = "SELECT to_char((now() AT TIME ZONE 'UTC')::date, 'YYYYMMDD') AS day";
        let today: String = self.client().query_one(query, &[]).await?.try_get("day")?;
        self.execute(&format!(
            "TRUNCATE webhook_bodies, inventory_ledger, outbox, outbox_attempts, webhook_failures, parked_webhooks,
                      webhook_payloads_{today}"
        ))
        .await?;
        self.execute("CHECKPOINT").await
    }

    /// Writes so many effects into the outbox, all due: kind, effect and intent.
    ///
    /// # Errors
    /// When the statement fails.
    pub(crate) async fn plan_effects(&self, count: usize, [kind, effect, intent]: [&str; 3]) -> anyhow::Result<()> {
        let count = i64::try_from(count)?;
        self.client().execute(PLAN, &[&count, &kind, &effect, &intent]).await.context("cannot plan effects")?;
        self.execute("VACUUM (ANALYZE) outbox").await
    }

    /// Waits until so many effects are sent.
    ///
    /// # Errors
    /// When they are not within `patience`.
    pub(crate) async fn has_sent(&self, count: usize, patience: Duration) -> anyhow::Result<()> {
        let sending = async {
            while usize::try_from(self.number("SELECT count(*) FROM outbox WHERE state = 'sent'").await?)? < count {
                tokio::time::sleep(INTERVAL).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(patience, sending).await.context("not all effects were sent in time")?
    }

    /// Effects sent per second, by when they were settled.
    ///
    /// # Errors
    /// When nothing was sent.
    pub(crate) async fn sending_rate(&self) -> anyhow::Result<f64> {
        let rate: Option<f64> = self.client().query_one(SENDING_RATE, &[]).await?.try_get(0)?;
        rate.context("nothing was sent")
    }
}
