-- Finding one webhook among millions.

-- The newest first, of one source or of each; also when a source was last heard of.
CREATE INDEX processed_webhooks_by_time ON processed_webhooks (source, first_processed_at, webhook_id);
-- The newest failures, for what is on the retry ladder; also what the purge looks for.
DROP INDEX webhook_failures_occurred_at;
CREATE INDEX webhook_failures_by_time ON webhook_failures (occurred_at);

CREATE TABLE webhook_search_keys (
    value      text NOT NULL,
    name       text NOT NULL,
    source     text NOT NULL,
    webhook_id text NOT NULL,
    stored_on  date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    PRIMARY KEY (value, source, name, webhook_id),
    CONSTRAINT webhook_search_keys_value_length CHECK (octet_length(value) BETWEEN 1 AND 255)
);
CREATE INDEX webhook_search_keys_stored_on ON webhook_search_keys USING brin (stored_on);

COMMENT ON TABLE webhook_search_keys IS 'What a person may know a webhook by (an order''s number, a customer''s address), taken out of bodies as sources.NAME.search_keys says. Purged with the bodies.';
COMMENT ON COLUMN webhook_search_keys.value IS 'The value, in lower case, without white space around it.';
COMMENT ON COLUMN webhook_search_keys.name IS 'What the source calls the key, such as order.';
COMMENT ON COLUMN webhook_search_keys.source IS 'The configured sender.';
COMMENT ON COLUMN webhook_search_keys.webhook_id IS 'The provider''s id of the webhook.';
COMMENT ON COLUMN webhook_search_keys.stored_on IS 'The database''s UTC date when it was stored.';

ALTER TABLE webhook_payloads ADD COLUMN trace_id text;
ALTER TABLE parked_webhooks ADD COLUMN trace_id text;

COMMENT ON COLUMN webhook_payloads.trace_id IS 'The W3C trace id that the webhook came with or was given: 32 hexadecimal digits.';
COMMENT ON COLUMN parked_webhooks.trace_id IS 'The W3C trace id that the webhook came with or was given: 32 hexadecimal digits.';
