-- It waits for a statement of the sequence before that still runs, and no such one can land after it.
INSERT INTO appender (id, sequence, at) VALUES ($1, $2, now())
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, at = excluded.at
WHERE appender.sequence < excluded.sequence
RETURNING sequence;
