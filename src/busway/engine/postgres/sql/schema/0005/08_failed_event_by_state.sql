CREATE INDEX failed_event_by_state ON failed_event (state, flow, partition, "offset");
