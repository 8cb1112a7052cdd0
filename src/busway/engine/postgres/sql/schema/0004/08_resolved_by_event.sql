CREATE INDEX resolved_by_event ON resolved (left(event_id, 256));
