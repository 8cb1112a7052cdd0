-- It waits for a statement of the turn before that still runs, and no such one can land after it.
INSERT INTO appender (id, turn, at) VALUES ($1, $2, now())
ON CONFLICT (id) DO UPDATE SET turn = excluded.turn, at = excluded.at
WHERE appender.turn < excluded.turn
RETURNING turn;
