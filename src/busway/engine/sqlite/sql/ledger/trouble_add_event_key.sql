ALTER TABLE trouble ADD COLUMN event_key TEXT;
