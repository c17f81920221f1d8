-- What names people is emptied when it was kept for long enough (retention.payload_days); the keys, which make an effect
-- happen once, stay.

ALTER TABLE outbox ADD COLUMN purged_at timestamptz;
ALTER TABLE outbox ADD CONSTRAINT outbox_purged CHECK (purged_at IS NULL OR state IN ('sent', 'cancelled')) NOT VALID;
ALTER TABLE outbox VALIDATE CONSTRAINT outbox_purged;
CREATE INDEX outbox_unpurged ON outbox (settled_at) WHERE state IN ('sent', 'cancelled') AND purged_at IS NULL;

COMMENT ON COLUMN outbox.intent IS 'What to send, rendered in full; empty when it was purged.';
COMMENT ON COLUMN outbox.purged_at IS 'When the intent of a row that was sent or cancelled was emptied.';

-- An emptied body is told from an empty one by its SHA-256, so that a worker of an earlier release, which knows no mark,
-- leaves none behind when it parks the webhook again.
CREATE INDEX parked_webhooks_unpurged ON parked_webhooks (changed_at)
    WHERE state IN ('resolved', 'discarded') AND (octet_length(body) > 0 OR headers <> '{}');

COMMENT ON COLUMN parked_webhooks.headers IS 'The provider''s headers worth keeping; empty when they were purged.';
COMMENT ON COLUMN parked_webhooks.body IS 'The provider''s body, byte for byte; empty when it was purged.';
