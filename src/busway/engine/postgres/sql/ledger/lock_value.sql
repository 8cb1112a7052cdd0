SELECT pg_advisory_xact_lock(hashtextextended('busway named_value ' || $1, 0));
