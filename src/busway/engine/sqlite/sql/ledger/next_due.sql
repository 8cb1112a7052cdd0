SELECT due FROM trouble INDEXED BY trouble_by_due
WHERE state = 'parked' AND due IS NOT NULL ORDER BY due LIMIT 1;
