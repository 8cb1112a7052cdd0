SELECT flow, partition, "offset", event_id, state, since, attempts, due, key, failures, event,
    event_key, error, fingerprint, begun_at
FROM trouble
WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3;
