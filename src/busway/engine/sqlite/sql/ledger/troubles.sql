SELECT flow, partition, "offset", event_id, state, since, attempts, due, key, failures, event
FROM trouble
