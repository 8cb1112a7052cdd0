CREATE INDEX failed_event_by_event_id ON failed_event (event_id);
