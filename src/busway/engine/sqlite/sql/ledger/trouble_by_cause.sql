CREATE INDEX trouble_by_cause ON trouble (state, flow, fingerprint, partition, "offset");
