-- Effects of the kind http: calls to services of one's own.

ALTER TABLE outbox DROP CONSTRAINT outbox_kind;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind CHECK (kind IN ('email', 'http')) NOT VALID;
ALTER TABLE outbox VALIDATE CONSTRAINT outbox_kind;
