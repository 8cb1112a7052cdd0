CREATE INDEX resolved_event_by_event_id ON resolved_event (left(event_id, 256));
