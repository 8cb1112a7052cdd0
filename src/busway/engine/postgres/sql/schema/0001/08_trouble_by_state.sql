CREATE INDEX trouble_by_state ON trouble (state, flow, partition, "offset");
