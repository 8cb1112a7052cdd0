SELECT flow, partition, "offset", event_id, outcome, at, attempts, failures, event_key, version,
    actor, reason
FROM resolved_event WHERE left(event_id, 256) = left($1, 256) AND event_id = $1 ORDER BY seq;
