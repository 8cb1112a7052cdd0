-- An index row holds 2,704 bytes at most, so texts of any length are indexed by their beginning.
CREATE INDEX trouble_by_event ON trouble (left(event_id, 256));
