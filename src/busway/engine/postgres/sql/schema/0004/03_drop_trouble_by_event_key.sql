DROP INDEX trouble_by_event_key;
