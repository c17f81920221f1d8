-- Redriving and discarding parked webhooks, and replaying processed ones.

-- A replay is claimed under an id of its own, which no provider can send: ingest takes printable ASCII only.
ALTER TABLE processed_webhooks
    ADD COLUMN replay_of text,
    ADD COLUMN replay_run text,
    ADD CONSTRAINT processed_webhooks_replay CHECK ((replay_of IS NULL) = (replay_run IS NULL)),
    ADD CONSTRAINT processed_webhooks_replay_id CHECK ((replay_of IS NOT NULL) = (webhook_id LIKE '↻%'));
CREATE UNIQUE INDEX processed_webhooks_replay_runs ON processed_webhooks (source, replay_of, replay_run)
    WHERE replay_of IS NOT NULL;

COMMENT ON COLUMN processed_webhooks.webhook_id IS 'The provider''s id of the webhook; duplicates share it. A replay''s is made from it and the run, and begins with ↻.';
COMMENT ON COLUMN processed_webhooks.replay_of IS 'For a replay: the id under which the webhook was processed first.';
COMMENT ON COLUMN processed_webhooks.replay_run IS 'For a replay: what the person called the run. A webhook runs once in each.';

ALTER TABLE parked_webhooks
    ADD COLUMN redriven_at timestamptz,
    ADD COLUMN discarded_because text,
    ADD COLUMN replay_of text,
    ADD COLUMN replay_run text,
    ADD COLUMN replay_mode text;
UPDATE parked_webhooks SET discarded_because = 'discarded before reasons were kept' WHERE state = 'discarded';
ALTER TABLE parked_webhooks
    ADD CONSTRAINT parked_webhooks_redriven CHECK (redriven_at IS NULL OR state IN ('redriving', 'resolved')),
    ADD CONSTRAINT parked_webhooks_discarded CHECK (state <> 'discarded' OR discarded_because IS NOT NULL),
    ADD CONSTRAINT parked_webhooks_replay CHECK (
        (replay_of IS NULL) = (replay_run IS NULL) AND (replay_of IS NULL) = (replay_mode IS NULL)),
    ADD CONSTRAINT parked_webhooks_replay_mode CHECK (replay_mode IN ('fill-in', 'resend'));
CREATE INDEX parked_webhooks_by_time ON parked_webhooks (parked_at, source, webhook_id);

COMMENT ON COLUMN parked_webhooks.state IS 'parked: waits for a person. redriving: handed to the queue, or about to be; counts as parked again when that was left unfinished. resolved: processed after all. discarded: by a person.';
COMMENT ON COLUMN parked_webhooks.generation IS 'Raised each time it is parked, redriven or discarded, so that a late settle cannot hit a newer state.';
COMMENT ON COLUMN parked_webhooks.redriven_at IS 'When the broker had confirmed the last redrive; empty while that is not known.';
COMMENT ON COLUMN parked_webhooks.discarded_because IS 'Why a person discarded it; kept when it is redriven or resolved after all.';
COMMENT ON COLUMN parked_webhooks.replay_of IS 'For a parked replay: the id under which the webhook was processed first.';
COMMENT ON COLUMN parked_webhooks.replay_run IS 'For a parked replay: what the person called the run.';
COMMENT ON COLUMN parked_webhooks.replay_mode IS 'For a parked replay: fill-in keeps the effects'' keys, resend gives them new ones.';
