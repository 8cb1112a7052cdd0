-- Of processes that ended long ago; one that still runs gets a new row.
DELETE FROM appender WHERE at < now() - interval '7 days';
