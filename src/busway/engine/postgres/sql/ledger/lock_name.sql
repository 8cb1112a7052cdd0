SELECT pg_advisory_xact_lock(hashtextextended('busway kept ' || $1, 0));
