CREATE INDEX trouble_by_event_key ON trouble (left(event_key, 256)) WHERE event_key IS NOT NULL;
