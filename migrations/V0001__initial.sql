-- The first schema. Released migrations are never edited; a change is a new file.
-- CHECK constraints say what may never be; every column says what it means.

CREATE TABLE processed_webhooks (
    source             text        NOT NULL,
    webhook_id         text        NOT NULL,
    topic              text        NOT NULL,
    body_sha256        bytea       NOT NULL,
    status             text        NOT NULL,
    received_at        timestamptz NOT NULL,
    first_processed_at timestamptz NOT NULL DEFAULT now(),
    attempt            integer     NOT NULL DEFAULT 0,
    skips              jsonb       NOT NULL DEFAULT '[]',
    duplicates         integer     NOT NULL DEFAULT 0,
    changed_bodies     integer     NOT NULL DEFAULT 0,
    last_duplicate_at  timestamptz,
    PRIMARY KEY (source, webhook_id),
    CONSTRAINT processed_webhooks_id_length CHECK (octet_length(webhook_id) BETWEEN 1 AND 255),
    CONSTRAINT processed_webhooks_sha256_length CHECK (octet_length(body_sha256) = 32),
    CONSTRAINT processed_webhooks_status CHECK (status IN ('completed', 'skipped')),
    CONSTRAINT processed_webhooks_attempt CHECK (attempt >= 0),
    CONSTRAINT processed_webhooks_skips CHECK (jsonb_typeof(skips) = 'array'),
    CONSTRAINT processed_webhooks_duplicates CHECK (changed_bodies >= 0 AND duplicates >= changed_bodies),
    CONSTRAINT processed_webhooks_last_duplicate CHECK ((duplicates > 0) = (last_duplicate_at IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX processed_webhooks_first_processed_at ON processed_webhooks USING brin (first_processed_at);

COMMENT ON TABLE processed_webhooks IS 'Claims: one row a webhook that took effect. The row is inserted in the transaction that applies the effects, so a row means done and no row means not done; there is no row in progress.';
COMMENT ON COLUMN processed_webhooks.source IS 'The configured sender.';
COMMENT ON COLUMN processed_webhooks.webhook_id IS 'The provider''s id of the webhook; duplicates share it.';
COMMENT ON COLUMN processed_webhooks.topic IS 'The topic, as the provider names it.';
COMMENT ON COLUMN processed_webhooks.body_sha256 IS 'SHA-256 of the body that was processed; a duplicate with another one is counted in changed_bodies.';
COMMENT ON COLUMN processed_webhooks.status IS 'completed: at least one route took it. skipped: no route did.';
COMMENT ON COLUMN processed_webhooks.received_at IS 'When ingest had received the one that was processed.';
COMMENT ON COLUMN processed_webhooks.first_processed_at IS 'Start of the transaction that processed it; the retention counts from here.';
COMMENT ON COLUMN processed_webhooks.attempt IS 'How many attempts had failed before; 0 for the first try.';
COMMENT ON COLUMN processed_webhooks.skips IS 'What effects left out and why: [{"by", "reason"}].';
COMMENT ON COLUMN processed_webhooks.duplicates IS 'How often it arrived again, redeliveries after a crash included.';
COMMENT ON COLUMN processed_webhooks.changed_bodies IS 'How many of the duplicates had another body.';
COMMENT ON COLUMN processed_webhooks.last_duplicate_at IS 'When the last duplicate was seen.';

CREATE TABLE inventory (
    sku              text        PRIMARY KEY,
    quantity         bigint      NOT NULL,
    initial_quantity bigint      NOT NULL DEFAULT 0,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inventory_sku_length CHECK (octet_length(sku) BETWEEN 1 AND 255)
) WITH (fillfactor = 70);

COMMENT ON TABLE inventory IS 'Stock per SKU. Invariant: quantity = initial_quantity + the sum of the SKU''s inventory_ledger.delta.';
COMMENT ON COLUMN inventory.sku IS 'The stock keeping unit.';
COMMENT ON COLUMN inventory.quantity IS 'What is in stock; below zero when more was sold than there was.';
COMMENT ON COLUMN inventory.initial_quantity IS 'What was in stock when the row was made; set by a trigger.';
COMMENT ON COLUMN inventory.updated_at IS 'When quantity last changed.';

CREATE FUNCTION inventory_set_initial_quantity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.initial_quantity := NEW.quantity;
    RETURN NEW;
END
$$;
CREATE TRIGGER inventory_initial_quantity BEFORE INSERT ON inventory
    FOR EACH ROW EXECUTE FUNCTION inventory_set_initial_quantity();

CREATE TABLE inventory_ledger (
    source      text        NOT NULL,
    order_id    text        NOT NULL,
    line_id     text        NOT NULL,
    kind        text        NOT NULL,
    sku         text        NOT NULL,
    delta       bigint      NOT NULL,
    webhook_id  text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, order_id, line_id, kind),
    CONSTRAINT inventory_ledger_kind CHECK (kind IN ('sale', 'adjustment')),
    CONSTRAINT inventory_ledger_delta CHECK (delta <> 0 AND (kind <> 'sale' OR delta < 0)),
    CONSTRAINT inventory_ledger_sale CHECK ((kind = 'sale') = (webhook_id IS NOT NULL))
);

COMMENT ON TABLE inventory_ledger IS 'Every change of stock, once per business key: one order decrements once, whatever webhook ids it came under. Never purged.';
COMMENT ON COLUMN inventory_ledger.source IS 'The configured sender, or oncehook for adjustments.';
COMMENT ON COLUMN inventory_ledger.order_id IS 'The order''s id as the source names it, or the adjustment''s own id.';
COMMENT ON COLUMN inventory_ledger.line_id IS 'The line''s id within the order.';
COMMENT ON COLUMN inventory_ledger.kind IS 'sale: an order took it. adjustment: a person set the stock.';
COMMENT ON COLUMN inventory_ledger.sku IS 'The stock keeping unit.';
COMMENT ON COLUMN inventory_ledger.delta IS 'The change of quantity; below zero for a sale.';
COMMENT ON COLUMN inventory_ledger.webhook_id IS 'The webhook that brought the sale.';
COMMENT ON COLUMN inventory_ledger.recorded_at IS 'When it was recorded.';

CREATE TABLE outbox (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedupe_key      text        NOT NULL,
    effect          text        NOT NULL,
    kind            text        NOT NULL,
    source          text,
    webhook_id      text,
    intent          jsonb       NOT NULL,
    on_ambiguous    text        NOT NULL DEFAULT 'resend',
    state           text        NOT NULL DEFAULT 'pending',
    ambiguous       boolean     NOT NULL DEFAULT false,
    attempts        integer     NOT NULL DEFAULT 0,
    fence           bigint      NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    settled_at      timestamptz,
    last_error      text,
    CONSTRAINT outbox_dedupe_key UNIQUE (dedupe_key),
    CONSTRAINT outbox_kind CHECK (kind IN ('email')),
    CONSTRAINT outbox_on_ambiguous CHECK (on_ambiguous IN ('resend', 'hold')),
    CONSTRAINT outbox_state CHECK (state IN ('pending', 'sending', 'sent', 'held', 'failed', 'cancelled')),
    CONSTRAINT outbox_counts CHECK (attempts >= 0 AND fence >= 0),
    CONSTRAINT outbox_lease CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    CONSTRAINT outbox_settled CHECK ((state IN ('sent', 'failed', 'cancelled')) = (settled_at IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'pending';
CREATE INDEX outbox_leased ON outbox (lease_until) WHERE state = 'sending';

COMMENT ON TABLE outbox IS 'Effects that leave the database, written in the transaction of the claim and sent later, once per dedupe_key. Keys are never purged.';
COMMENT ON COLUMN outbox.id IS 'The row''s number.';
COMMENT ON COLUMN outbox.dedupe_key IS 'effect/source/business key; also what the message''s idempotency key is made from.';
COMMENT ON COLUMN outbox.effect IS 'The configured effect, or operator-alert.';
COMMENT ON COLUMN outbox.kind IS 'What performs it.';
COMMENT ON COLUMN outbox.source IS 'The sender of the webhook that asked for it.';
COMMENT ON COLUMN outbox.webhook_id IS 'The webhook that asked for it.';
COMMENT ON COLUMN outbox.intent IS 'What to send, rendered in full.';
COMMENT ON COLUMN outbox.on_ambiguous IS 'What to do when a send''s outcome is unknown: resend (the peer may see it twice) or hold (for a person to decide).';
COMMENT ON COLUMN outbox.state IS 'pending: due at next_attempt_at. sending: leased. sent: accepted by the peer. held: ambiguous, waits for a person. failed: given up, waits for a person. cancelled: by a person.';
COMMENT ON COLUMN outbox.ambiguous IS 'Whether a send''s outcome was ever unknown: the peer may have seen it more than once.';
COMMENT ON COLUMN outbox.attempts IS 'How often a send was begun.';
COMMENT ON COLUMN outbox.fence IS 'Raised by every lease; settling names it, so that a late worker cannot settle another''s send.';
COMMENT ON COLUMN outbox.lease_until IS 'Until when the leasing worker owns the row.';
COMMENT ON COLUMN outbox.next_attempt_at IS 'Not to be sent before.';
COMMENT ON COLUMN outbox.created_at IS 'When it was planned.';
COMMENT ON COLUMN outbox.settled_at IS 'When it was sent, failed or cancelled.';
COMMENT ON COLUMN outbox.last_error IS 'Why the last attempt did not succeed.';

CREATE TABLE webhook_failures (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text        NOT NULL,
    webhook_id  text        NOT NULL,
    attempt     integer     NOT NULL,
    outcome     text        NOT NULL,
    error       text        NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_failures_attempt CHECK (attempt >= 0),
    CONSTRAINT webhook_failures_outcome CHECK (outcome IN ('retry', 'park'))
);
CREATE INDEX webhook_failures_webhook ON webhook_failures (source, webhook_id);
CREATE INDEX webhook_failures_occurred_at ON webhook_failures USING brin (occurred_at);

COMMENT ON TABLE webhook_failures IS 'Every failed attempt to process a webhook.';
COMMENT ON COLUMN webhook_failures.id IS 'The row''s number.';
COMMENT ON COLUMN webhook_failures.source IS 'The configured sender.';
COMMENT ON COLUMN webhook_failures.webhook_id IS 'The provider''s id of the webhook.';
COMMENT ON COLUMN webhook_failures.attempt IS 'How many attempts had failed before this one.';
COMMENT ON COLUMN webhook_failures.outcome IS 'retry: it went to the retry ladder. park: it was parked.';
COMMENT ON COLUMN webhook_failures.error IS 'What went wrong.';
COMMENT ON COLUMN webhook_failures.occurred_at IS 'When it went wrong.';

CREATE TABLE parked_webhooks (
    source       text        NOT NULL,
    webhook_id   text        NOT NULL,
    provider     text        NOT NULL,
    topic        text        NOT NULL,
    reason       text        NOT NULL,
    detail       text        NOT NULL,
    state        text        NOT NULL DEFAULT 'parked',
    generation   integer     NOT NULL DEFAULT 1,
    attempts     integer     NOT NULL DEFAULT 0,
    content_type text,
    headers      jsonb       NOT NULL DEFAULT '{}',
    body         bytea       NOT NULL,
    body_sha256  bytea       NOT NULL,
    received_at  timestamptz NOT NULL,
    parked_at    timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, webhook_id),
    CONSTRAINT parked_webhooks_reason CHECK (reason IN ('plan', 'unknown-sku', 'data', 'retries-exhausted', 'dead-lettered', 'unreadable', 'too-old', 'changed-body')),
    CONSTRAINT parked_webhooks_state CHECK (state IN ('parked', 'redriving', 'resolved', 'discarded')),
    CONSTRAINT parked_webhooks_counts CHECK (generation >= 1 AND attempts >= 0),
    CONSTRAINT parked_webhooks_headers CHECK (jsonb_typeof(headers) = 'object'),
    CONSTRAINT parked_webhooks_sha256_length CHECK (octet_length(body_sha256) = 32)
);
CREATE INDEX parked_webhooks_open ON parked_webhooks (reason, parked_at) WHERE state IN ('parked', 'redriving');

COMMENT ON TABLE parked_webhooks IS 'Webhooks that were answered 2xx and could not be processed. They hold no claim; the transaction that processes one at last resolves its row.';
COMMENT ON COLUMN parked_webhooks.source IS 'The configured sender; unknown where the message could not be read.';
COMMENT ON COLUMN parked_webhooks.webhook_id IS 'The provider''s id of the webhook; the body''s SHA-256 where it could not be read.';
COMMENT ON COLUMN parked_webhooks.provider IS 'The provider''s name.';
COMMENT ON COLUMN parked_webhooks.topic IS 'The topic, as the provider names it.';
COMMENT ON COLUMN parked_webhooks.reason IS 'Why, from a closed list.';
COMMENT ON COLUMN parked_webhooks.detail IS 'Why, for a person.';
COMMENT ON COLUMN parked_webhooks.state IS 'parked: waits for a person. redriving: on its way back to the queue. resolved: processed after all. discarded: by a person.';
COMMENT ON COLUMN parked_webhooks.generation IS 'Raised each time it is parked or redriven, so that a late settle cannot hit a newer state.';
COMMENT ON COLUMN parked_webhooks.attempts IS 'How many attempts had failed.';
COMMENT ON COLUMN parked_webhooks.content_type IS 'The body''s media type.';
COMMENT ON COLUMN parked_webhooks.headers IS 'The provider''s headers worth keeping.';
COMMENT ON COLUMN parked_webhooks.body IS 'The provider''s body, byte for byte.';
COMMENT ON COLUMN parked_webhooks.body_sha256 IS 'SHA-256 of the body.';
COMMENT ON COLUMN parked_webhooks.received_at IS 'When ingest had received it.';
COMMENT ON COLUMN parked_webhooks.parked_at IS 'When it was first parked.';
COMMENT ON COLUMN parked_webhooks.changed_at IS 'When its state last changed.';

CREATE TABLE webhook_payloads (
    stored_on    date        NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    source       text        NOT NULL,
    webhook_id   text        NOT NULL,
    content_type text,
    headers      jsonb       NOT NULL DEFAULT '{}',
    body         bytea       NOT NULL,
    PRIMARY KEY (stored_on, source, webhook_id),
    CONSTRAINT webhook_payloads_headers CHECK (jsonb_typeof(headers) = 'object')
) PARTITION BY RANGE (stored_on);

COMMENT ON TABLE webhook_payloads IS 'Bodies of processed webhooks, one partition a UTC day; old days are dropped whole. A worker keeps today and the next seven days ready.';
COMMENT ON COLUMN webhook_payloads.stored_on IS 'The database''s UTC date when it was stored, never the time of receipt.';
COMMENT ON COLUMN webhook_payloads.source IS 'The configured sender.';
COMMENT ON COLUMN webhook_payloads.webhook_id IS 'The provider''s id of the webhook.';
COMMENT ON COLUMN webhook_payloads.content_type IS 'The body''s media type.';
COMMENT ON COLUMN webhook_payloads.headers IS 'The provider''s headers worth keeping.';
COMMENT ON COLUMN webhook_payloads.body IS 'The provider''s body, byte for byte.';
