CREATE INDEX resolved_event_by_time ON resolved_event (at);
