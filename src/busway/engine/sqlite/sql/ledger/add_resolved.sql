INSERT INTO resolved (flow, partition, "offset", event_id, became, at, attempts, failures,
    event_key, version, who, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
