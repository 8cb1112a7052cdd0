-- Only of events that had failed, or that a person resolved.
INSERT INTO resolved_event (flow, partition, "offset", event_id, outcome, at, attempts, failures,
    event_key, version, actor, reason)
SELECT flow, partition, "offset", event_id, ?7, ?8, attempts, failures, event_key, ?9, ?10, ?11
FROM failed_event
WHERE flow = ?1 AND partition = ?2 AND "offset" = ?3
    AND attempts = ?4 AND state = ?5 AND (?6 IS NULL OR event = ?6)
    AND (failures <> CAST('[]' AS BLOB) OR ?10 <> '');
