-- A person holds, resends and cancels effects, and pauses where they go.

-- What a webhook brought about.
CREATE INDEX outbox_by_webhook ON outbox (source, webhook_id);
-- What a person may have to look at. Rows that are due or leased have indexes of their own; a row that is simply sent
-- is in none.
CREATE INDEX outbox_attention ON outbox (id)
    WHERE state IN ('held', 'failed', 'cancelled') OR ambiguous;

COMMENT ON COLUMN outbox.state IS 'pending: due at next_attempt_at. sending: leased. sent: accepted by the peer. held: ambiguous or by a person, waits for a person. failed: given up, waits for a person. cancelled: by a person.';
COMMENT ON COLUMN outbox.attempts IS 'How often a send was begun since it was planned or a person last sent it again.';

CREATE TABLE paused_effects (
    effect    text        PRIMARY KEY,
    paused_by text        NOT NULL,
    because   text        NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE paused_effects IS 'Effects that no worker begins to send until a person resumes them. Sends that had begun are finished.';
COMMENT ON COLUMN paused_effects.effect IS 'The configured effect.';
COMMENT ON COLUMN paused_effects.paused_by IS 'Who paused it.';
COMMENT ON COLUMN paused_effects.because IS 'Why.';
COMMENT ON COLUMN paused_effects.paused_at IS 'When.';
