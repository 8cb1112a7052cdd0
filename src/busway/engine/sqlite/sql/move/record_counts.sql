SELECT 'lanes', count(*) FROM lane
UNION ALL SELECT 'failed_events', count(*) FROM failed_event
UNION ALL SELECT 'settled_ranges', count(*) FROM settled_range
UNION ALL SELECT 'resolved_events', count(*) FROM resolved_event
UNION ALL SELECT 'audit_records', count(*) FROM audit
UNION ALL SELECT 'values', count(*) FROM named_value;
