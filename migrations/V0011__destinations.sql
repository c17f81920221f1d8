-- What waits is found by where it goes: rows of an effect that is paused, or whose destination is away, are stepped over
-- as a whole, however many they are.

-- Takes the place of outbox_due, which led every lease through all of them.
CREATE INDEX outbox_due_by_effect ON outbox (effect, next_attempt_at) WHERE state = 'pending';
DROP INDEX outbox_due;

-- Who looks for leases that ran out may not live for long, and so the time that a row's worker is given is kept with it.
-- No CHECK ties it to the state: during an upgrade, older workers settle rows and leave it behind. A new lease ends it.
ALTER TABLE outbox ADD COLUMN overdue_since timestamptz;

COMMENT ON COLUMN outbox.overdue_since IS 'When its lease was first seen to have run out. Its worker has a while from then to settle it.';
