-- All that counting by root cause looks at.
CREATE INDEX trouble_by_since
ON trouble (state, flow, fingerprint, since, error, partition, "offset");
