-- An index row holds 2,704 bytes at most, so texts of any length are indexed by their beginning.
CREATE INDEX failed_event_by_event_id ON failed_event (left(event_id, 256));
