//! A database with a million webhooks in it, in every state, spread over a month: what the console's pages are asked
//! about. Made in minutes by SQL, and kept for a while.

use anyhow::Context as _;

use crate::database::Database;

/// Days that the webhooks are spread over, up to now.
pub(crate) const DAYS: i32 = 30;
/// How long a database that was made stays good, in hours: what was received today moves into the past.
const KEPT_HOURS: i32 = 12;

/// Ids are random, as a provider's are, and can be made again from the number. Four sources, of which one sends most;
/// one webhook in fifty thousand has a rare topic. Indexes are made anew by the insert, as a worker would.
const STATEMENTS: [&str; 13] = [
    "CREATE OR REPLACE FUNCTION pg_temp.source_of(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
        SELECT CASE WHEN n % 10 < 7 THEN 'shopify' WHEN n % 10 < 9 THEN 'github' WHEN n % 20 < 19
               THEN 'standard-webhooks' ELSE 'generic' END $$",
    "CREATE OR REPLACE FUNCTION pg_temp.at_of(n bigint, rows bigint) RETURNS timestamptz STABLE LANGUAGE sql AS $$
        SELECT now() - interval '{days} days' * (1 - n::float8 / (rows + 1)) $$",
    "CREATE OR REPLACE FUNCTION pg_temp.body_of(n bigint) RETURNS bytea IMMUTABLE LANGUAGE sql AS $$
        SELECT convert_to(format('{\"id\":%s,\"name\":\"#%s\",\"email\":\"buyer-%s@customers.example\",\"note\":\"', n, n, n)
               || (SELECT string_agg(md5(n::text || '/' || part::text), '') FROM generate_series(1, 40) AS part)
               || '\"}', 'UTF8') $$",
    "INSERT INTO processed_webhooks (source, webhook_id, topic, body_sha256, status, received_at, first_processed_at,
                                     duplicates, last_duplicate_at)
     SELECT pg_temp.source_of(n), md5(n::text)::uuid::text,
            CASE WHEN n % 50000 = 0 THEN 'orders/cancelled' WHEN n % 3 = 0 THEN 'orders/create' ELSE 'orders/paid' END,
            sha256(n::text::bytea), CASE WHEN n % 100 = 1 THEN 'skipped' ELSE 'completed' END, at, at,
            CASE WHEN n % 200 = 2 THEN 1 ELSE 0 END, CASE WHEN n % 200 = 2 THEN at END
     FROM generate_series(1, {rows}) AS n, LATERAL (SELECT pg_temp.at_of(n, {rows}) AS at) AS moment",
    "INSERT INTO webhook_payloads (stored_on, source, webhook_id, content_type, body)
     SELECT (pg_temp.at_of(n, {rows}) AT TIME ZONE 'UTC')::date, pg_temp.source_of(n), md5(n::text)::uuid::text,
            'application/json', pg_temp.body_of(n)
     FROM generate_series(1, {rows}) AS n",
    "INSERT INTO webhook_search_keys (value, name, source, webhook_id, stored_on)
     SELECT value, name, pg_temp.source_of(n), md5(n::text)::uuid::text, (pg_temp.at_of(n, {rows}) AT TIME ZONE 'UTC')::date
     FROM generate_series(1, {rows}) AS n,
          LATERAL (VALUES (n::text, 'order'), ('buyer-' || n % 1000 || '@customers.example', 'customer')) AS key (value, name)",
    "INSERT INTO inventory (sku, quantity) SELECT 'SKU-' || lpad(n::text, 7, '0'), 1000000
     FROM generate_series(1, {rows} / 10) AS n ON CONFLICT (sku) DO NOTHING",
    // Of ten: six sent (of which some were ambiguous), one of each other state; half of what is pending has failed before.
    "INSERT INTO outbox (dedupe_key, effect, kind, source, webhook_id, intent, state, ambiguous, attempts, lease_until,
                         next_attempt_at, created_at, settled_at, last_error)
     SELECT 'order-confirmation/shopify/' || n, CASE WHEN n % 5000 = 0 THEN 'operator-alert' ELSE 'order-confirmation' END,
            'email', 'shopify', md5(n::text)::uuid::text, jsonb_build_object('to', 'a@b.example', 'text', repeat('thanks ', 60)),
            state, state = 'sent' AND n % 40 = 0, CASE WHEN state = 'pending' AND n % 20 < 10 THEN 0 ELSE 1 END,
            CASE WHEN state = 'sending' THEN now() + interval '1 day' END, at, at,
            CASE WHEN state IN ('sent', 'failed', 'cancelled') THEN at END,
            CASE WHEN state = 'failed' OR n % 20 > 10 THEN '550 no such mailbox' END
     FROM generate_series(1, {rows}) AS n, LATERAL (
        SELECT pg_temp.at_of(n, {rows}) AS at,
               CASE n % 10 WHEN 0 THEN 'pending' WHEN 1 THEN 'held' WHEN 2 THEN 'failed' WHEN 3 THEN 'cancelled'
               WHEN 4 THEN CASE WHEN n % 1000 = 4 THEN 'sending' ELSE 'sent' END ELSE 'sent' END AS state) AS one",
    "INSERT INTO parked_webhooks (source, webhook_id, provider, topic, reason, detail, state, attempts, content_type, body,
                                  body_sha256, received_at, parked_at, changed_at, redriven_at, discarded_because)
     SELECT pg_temp.source_of(n), md5('parked/' || n)::uuid::text, 'shopify',
            CASE WHEN n % 50000 = 0 THEN 'orders/cancelled' ELSE 'orders/paid' END,
            (ARRAY['plan', 'unknown-sku', 'data', 'retries-exhausted', 'dead-lettered', 'too-old'])[1 + n % 6],
            'the mapping of order-confirmation fails: null has no address', state, 3, 'application/json',
            pg_temp.body_of(n), sha256(n::text::bytea), at, at, at, CASE WHEN state = 'redriving' THEN now() END,
            CASE WHEN state = 'discarded' THEN 'not wanted' END
     FROM generate_series(1, {rows} / 10) AS n, LATERAL (
        SELECT pg_temp.at_of(n, {rows} / 10) AS at,
               CASE WHEN n % 10 < 6 THEN 'parked' WHEN n % 1000 = 6 THEN 'redriving' WHEN n % 10 < 9 THEN 'resolved'
               ELSE 'discarded' END AS state) AS one",
    "INSERT INTO webhook_failures (source, webhook_id, attempt, outcome, error, occurred_at)
     SELECT pg_temp.source_of(n), CASE WHEN n % 2 = 0 THEN md5(n::text)::uuid::text ELSE md5('retrying/' || n / 3)::uuid::text END,
            n % 3, 'retry', 'the database refuses it', pg_temp.at_of(n, {rows} / 10)
     FROM generate_series(1, {rows} / 10) AS n",
    "INSERT INTO console_audit (person, role, via, peer, action, subject, outcome, finished_at)
     SELECT 'ada', 'operator', 'browser', '127.0.0.1', 'parked.redrive', 'all of ' || n, 'done', now()
     FROM generate_series(1, {rows} / 100) AS n",
    "VACUUM (ANALYZE)",
    "CREATE SCHEMA IF NOT EXISTS bench;
     DROP TABLE IF EXISTS bench.crowded;
     CREATE TABLE bench.crowded AS SELECT {rows}::bigint AS rows, now() AS made_at",
];

impl Database {
    /// Fills the database with so many webhooks, and as many effects; a tenth as many are parked. One that was made
    /// lately is taken as it is.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) async fn crowd(&self, rows: i64) -> anyhow::Result<()> {
        if self.is_crowded(rows).await? {
            return Ok(());
        }
        self.clear().await?;
        for ago in 0..=DAYS {
            let query = "SELECT to_char((now() AT TIME ZONE 'UTC')::date - $1::int4, 'YYYY-MM-DD') AS day";
            let day: String = self.client().query_one(query, &[&ago]).await?.try_get("day")?;
            let name = format!("webhook_payloads_{}", day.replace('-', ""));
            self.execute(&format!(
                "CREATE TABLE IF NOT EXISTS {name} PARTITION OF webhook_payloads
                 FOR VALUES FROM ('{day}') TO (date '{day}' + 1)"
            ))
            .await?;
        }
        self.execute("TRUNCATE webhook_search_keys, console_audit, console_tokens").await?;
        for statement in STATEMENTS {
            let statement = statement.replace("{rows}", &rows.to_string()).replace("{days}", &DAYS.to_string());
            self.execute(&statement).await?;
        }
        self.execute("CHECKPOINT").await
    }

    async fn is_crowded(&self, rows: i64) -> anyhow::Result<bool> {
        if self.number("SELECT count(to_regclass('bench.crowded'))").await? == 0 {
            return Ok(false);
        }
        let query =
            "SELECT count(*) FROM bench.crowded WHERE rows = $1 AND made_at > now() - make_interval(hours => $2)";
        let made: i64 =
            self.client().query_one(query, &[&rows, &KEPT_HOURS]).await.context("bench.crowded")?.try_get(0)?;
        Ok(made > 0)
    }

    /// One text out of a query.
    ///
    /// # Errors
    /// When it fails, or finds nothing.
    pub(crate) async fn text(&self, query: &str) -> anyhow::Result<String> {
        Ok(self.client().query_one(query, &[]).await.with_context(|| query.to_owned())?.try_get(0)?)
    }
}
