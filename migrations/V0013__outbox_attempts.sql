-- Every attempt to send an effect that did not succeed is kept with its error, as failed attempts of webhooks are.

CREATE TABLE outbox_attempts (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outbox_id bigint      NOT NULL,
    attempt   integer     NOT NULL,
    outcome   text        NOT NULL,
    error     text        NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_attempts_attempt CHECK (attempt >= 0),
    CONSTRAINT outbox_attempts_outcome CHECK (outcome IN ('retry', 'ambiguous', 'failed', 'lost'))
);
CREATE INDEX outbox_attempts_row ON outbox_attempts (outbox_id);
CREATE INDEX outbox_attempts_at ON outbox_attempts USING brin (at);

COMMENT ON TABLE outbox_attempts IS 'Every attempt to send an effect that did not succeed. Written in the statement that settles it; one that succeeds leaves no row. Purged with the bodies.';
COMMENT ON COLUMN outbox_attempts.id IS 'The row''s number.';
COMMENT ON COLUMN outbox_attempts.outbox_id IS 'The effect''s number in the outbox.';
COMMENT ON COLUMN outbox_attempts.attempt IS 'Which attempt it was since the effect was planned or a person last sent it again; the first is 1.';
COMMENT ON COLUMN outbox_attempts.outcome IS 'retry: the peer did not get it. ambiguous: the peer may have got it. failed: given up. lost: its worker ended without a word.';
COMMENT ON COLUMN outbox_attempts.error IS 'What went wrong.';
COMMENT ON COLUMN outbox_attempts.at IS 'When it was settled.';
