SELECT 'lanes', count(*) FROM lane
UNION ALL SELECT 'troubles', count(*) FROM trouble
UNION ALL SELECT 'settled', count(*) FROM settled
UNION ALL SELECT 'resolved', count(*) FROM resolved
UNION ALL SELECT 'audits', count(*) FROM audit
UNION ALL SELECT 'values', count(*) FROM kept;
