-- Delete and return the failed events that are as expected, locked first in a fixed order.
DELETE FROM failed_event USING (
    SELECT failed_event.flow, failed_event.partition, failed_event."offset", given.n
    FROM failed_event JOIN unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[], $5::text[],
            $6::bytea[])
        WITH ORDINALITY AS given (flow, partition, "offset", attempts, state, event, n)
        USING (flow, partition, "offset", attempts, state)
    WHERE given.event IS NULL OR given.event = failed_event.event
    ORDER BY failed_event.flow, failed_event.partition, failed_event."offset" FOR UPDATE OF failed_event
) AS taken
WHERE (failed_event.flow, failed_event.partition, failed_event."offset")
    = (taken.flow, taken.partition, taken."offset")
RETURNING taken.n, failed_event.flow, failed_event.partition, failed_event."offset", failed_event.event_id, failed_event.state, failed_event.since, failed_event.attempts, failed_event.due, failed_event.key, failed_event.failures, failed_event.event, failed_event.event_key, failed_event.error, failed_event.fingerprint, failed_event.attempt_started_at;
