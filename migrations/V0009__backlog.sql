-- What a worker's metrics count every few seconds is found by index, however many rows there are that need nobody.

-- Rows that failed at least once, are held or were given up; healthy rows never enter it.
CREATE INDEX outbox_troubled ON outbox (state, created_at)
    WHERE state IN ('held', 'failed') OR (state = 'pending' AND attempts > 0);

-- Read alone, without the rows, whose bodies are large.
CREATE INDEX parked_webhooks_waiting ON parked_webhooks (source, reason) INCLUDE (state, changed_at, redriven_at)
    WHERE state IN ('parked', 'redriving');
