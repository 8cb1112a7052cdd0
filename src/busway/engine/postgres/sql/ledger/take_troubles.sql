-- The troubles that stand as they were judged are taken out, each locked first in one order.
DELETE FROM trouble USING (
    SELECT trouble.flow, trouble.partition, trouble."offset", given.n
    FROM trouble JOIN unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[], $5::text[],
            $6::bytea[])
        WITH ORDINALITY AS given (flow, partition, "offset", attempts, state, event, n)
        USING (flow, partition, "offset", attempts, state)
    WHERE given.event IS NULL OR given.event = trouble.event
    ORDER BY trouble.flow, trouble.partition, trouble."offset" FOR UPDATE OF trouble
) AS taken
WHERE (trouble.flow, trouble.partition, trouble."offset")
    = (taken.flow, taken.partition, taken."offset")
RETURNING taken.n, trouble.flow, trouble.partition, trouble."offset", trouble.event_id, trouble.state, trouble.since, trouble.attempts, trouble.due, trouble.key, trouble.failures, trouble.event, trouble.event_key, trouble.error, trouble.fingerprint, trouble.begun_at;
