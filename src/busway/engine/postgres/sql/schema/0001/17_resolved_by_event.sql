CREATE INDEX resolved_by_event ON resolved (event_id);
