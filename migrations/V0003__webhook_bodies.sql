-- Which bodies were processed, so that one that comes again under a fresh id is noticed. Only sources with a replay defence
-- have rows here.
CREATE TABLE webhook_bodies (
    source        text        NOT NULL,
    topic         text        NOT NULL,
    body_sha256   bytea       NOT NULL,
    webhook_id    text        NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, topic, body_sha256),
    CONSTRAINT webhook_bodies_sha256_length CHECK (octet_length(body_sha256) = 32)
);
CREATE INDEX webhook_bodies_first_seen_at ON webhook_bodies USING brin (first_seen_at);

COMMENT ON TABLE webhook_bodies IS 'Bodies of processed webhooks, once per source, topic and hash: a claim by body, for sources whose provider does not sign the id. Kept as long as processed_webhooks.';
COMMENT ON COLUMN webhook_bodies.source IS 'The configured sender.';
COMMENT ON COLUMN webhook_bodies.topic IS 'The topic: different topics may share a body.';
COMMENT ON COLUMN webhook_bodies.body_sha256 IS 'SHA-256 of the body.';
COMMENT ON COLUMN webhook_bodies.webhook_id IS 'The first webhook that was processed with it.';
COMMENT ON COLUMN webhook_bodies.first_seen_at IS 'Start of the transaction that processed it; the retention counts from here.';
