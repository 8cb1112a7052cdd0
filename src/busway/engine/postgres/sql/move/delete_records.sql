TRUNCATE lane, failed_event, settled_range, resolved_event, audit;
