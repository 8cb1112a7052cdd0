ALTER TABLE failed_event ADD COLUMN attempt_started_at INTEGER;
