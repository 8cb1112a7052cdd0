SELECT flow, partition, "offset", event_id, state, since, attempts, due, key, failures, event,
    event_key, error, fingerprint, attempt_started_at
FROM failed_event
