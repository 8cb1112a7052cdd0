DROP INDEX resolved_by_event;
