-- The first parked event of a key never waits.
UPDATE trouble SET due = $4
WHERE flow = $1 AND partition = $2 AND due IS NULL AND state = 'parked' AND key = ANY ($3::text[])
    AND NOT EXISTS (
        SELECT FROM trouble AS earlier
        WHERE earlier.flow = $1 AND earlier.partition = $2 AND earlier.key = trouble.key
            AND earlier.state = 'parked' AND earlier."offset" < trouble."offset");
