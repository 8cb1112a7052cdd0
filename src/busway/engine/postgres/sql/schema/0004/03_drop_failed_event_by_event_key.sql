DROP INDEX failed_event_by_event_key;
