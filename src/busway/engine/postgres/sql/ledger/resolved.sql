SELECT flow, partition, "offset", event_id, became, at, attempts, failures, event_key, version,
    who, reason
FROM resolved WHERE left(event_id, 256) = left($1, 256) AND event_id = $1 ORDER BY seq;
