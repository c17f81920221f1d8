-- An effect is sent later and by somebody else than who planned it: the trace goes with its row.

ALTER TABLE outbox ADD COLUMN traceparent text;

COMMENT ON COLUMN outbox.traceparent IS 'The W3C trace context of what planned the effect; each attempt to send it is a child of that.';
