-- The first parked event of a key becomes due.
UPDATE failed_event SET due = ?4
WHERE flow = ?1 AND partition = ?2 AND due IS NULL AND "offset" = (
    SELECT "offset" FROM failed_event
    WHERE flow = ?1 AND partition = ?2 AND key = ?3 AND state = 'parked' AND key IS NOT NULL
    ORDER BY "offset" LIMIT 1
);
