-- What is on the retry ladder is found like what was processed: what is known of it goes beside each failure.

ALTER TABLE webhook_failures ADD COLUMN topic text;
ALTER TABLE webhook_failures ADD COLUMN received_at timestamptz;
ALTER TABLE webhook_failures ADD COLUMN trace_id text;

COMMENT ON COLUMN webhook_failures.topic IS 'The topic, as the provider names it.';
COMMENT ON COLUMN webhook_failures.received_at IS 'When ingest had received the webhook.';
COMMENT ON COLUMN webhook_failures.trace_id IS 'The W3C trace id that the webhook came with or was given: 32 hexadecimal digits.';
COMMENT ON TABLE webhook_search_keys IS 'What a person may know a webhook by (an order''s number, a customer''s address), taken out of bodies as sources.NAME.search_keys says: when it is processed, or before, when it first fails. Purged with the bodies, but never while the webhook is parked.';
COMMENT ON COLUMN webhook_search_keys.stored_on IS 'The database''s UTC date when the webhook was processed; until then, when it first failed.';
