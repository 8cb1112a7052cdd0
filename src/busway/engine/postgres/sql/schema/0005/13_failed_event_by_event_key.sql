CREATE INDEX failed_event_by_event_key ON failed_event (left(event_key, 256)) WHERE event_key IS NOT NULL;
