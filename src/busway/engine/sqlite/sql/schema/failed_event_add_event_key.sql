ALTER TABLE failed_event ADD COLUMN event_key TEXT;
