CREATE INDEX failed_event_by_fingerprint
ON failed_event (state, flow, fingerprint, partition, "offset") INCLUDE (error, since);
