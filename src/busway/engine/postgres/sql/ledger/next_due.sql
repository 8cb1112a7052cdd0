SELECT due FROM trouble WHERE state = 'parked' AND due IS NOT NULL ORDER BY due LIMIT 1;
