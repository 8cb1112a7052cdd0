-- An index row has at most 2,704 bytes, so long texts are indexed by their first characters.
CREATE INDEX failed_event_by_event_id ON failed_event (left(event_id, 256));
