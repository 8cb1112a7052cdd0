-- From the catalog's rows: what a session has looked up before may be remembered from before a lock.
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = $1 AND relname = 'meta');
