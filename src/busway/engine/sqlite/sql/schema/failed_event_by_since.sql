-- All columns that counting by root cause reads.
CREATE INDEX failed_event_by_since
ON failed_event (state, flow, fingerprint, since, error, partition, "offset");
