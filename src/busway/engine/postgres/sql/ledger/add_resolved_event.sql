INSERT INTO resolved_event (flow, partition, "offset", event_id, outcome, at, attempts, failures, event_key, version,
    actor, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
