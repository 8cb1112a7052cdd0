-- Waits for a running statement with an earlier number; none can take effect after this one.
INSERT INTO appender (id, sequence, at) VALUES ($1, $2, now())
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, at = excluded.at
WHERE appender.sequence < excluded.sequence
RETURNING sequence;
