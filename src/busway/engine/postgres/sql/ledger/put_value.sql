-- Not during a compare-and-set, which locks the name as well.
WITH locked AS (SELECT pg_advisory_xact_lock(hashtextextended('busway named_value ' || $1::text, 0)))
INSERT INTO named_value (name, value) SELECT $1::text, $2::bytea FROM locked
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
