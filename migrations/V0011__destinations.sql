-- Who looks for leases that ran out may not live for long, and so the time that a row's worker is given is kept with it.
-- No CHECK ties it to the state: during an upgrade, older workers settle rows and leave it behind. A new lease ends it.
ALTER TABLE outbox ADD COLUMN overdue_since timestamptz;

COMMENT ON COLUMN outbox.overdue_since IS 'When its lease was first seen to have run out. Its worker has a while from then to settle it.';
