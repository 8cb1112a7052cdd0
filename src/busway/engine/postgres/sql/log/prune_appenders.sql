-- Of processes that ended long ago; one that still runs begins anew.
DELETE FROM appender WHERE at < now() - interval '7 days';
