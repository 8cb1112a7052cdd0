CREATE INDEX failed_event_by_event_key ON failed_event (event_key) WHERE event_key IS NOT NULL;
