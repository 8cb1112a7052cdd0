SELECT seq, flow, partition, "offset", event_id, became, at, attempts, failures, event_key, version,
    who, reason
FROM resolved WHERE seq > ? ORDER BY seq;
