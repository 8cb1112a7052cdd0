SELECT flow, partition, "offset", event_id, state, since, attempts, due, key, failures, event,
    event_key, error, fingerprint, begun_at
FROM trouble WHERE (flow, partition, "offset") > (?, ?, ?) ORDER BY flow, partition, "offset";
