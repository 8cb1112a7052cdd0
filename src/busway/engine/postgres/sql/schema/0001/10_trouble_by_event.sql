CREATE INDEX trouble_by_event ON trouble (event_id);
