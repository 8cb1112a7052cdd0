DROP INDEX failed_event_by_key;
