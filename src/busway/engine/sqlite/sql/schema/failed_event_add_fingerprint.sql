ALTER TABLE failed_event ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
