-- What waits is found by where it goes: rows of an effect that is paused, or whose destination is away, are stepped over
-- as a whole, however many they are.

-- Takes the place of outbox_due, which led every lease through all of them.
CREATE INDEX outbox_due_by_effect ON outbox (effect, next_attempt_at) WHERE state = 'pending';
DROP INDEX outbox_due;
