INSERT INTO resolved (flow, partition, "offset", event_id, became, at, attempts, failures, event_key, version,
    who, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);
