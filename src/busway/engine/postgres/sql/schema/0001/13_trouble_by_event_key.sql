CREATE INDEX trouble_by_event_key ON trouble (event_key) WHERE event_key IS NOT NULL;
