-- The grants that this user lacks to have tables in a schema.
SELECT format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)
    AND NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', nspname, current_user)
FROM pg_namespace
WHERE nspname = $1 AND NOT (
    has_schema_privilege(oid, 'USAGE') AND (
        has_schema_privilege(oid, 'CREATE')
        OR EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_namespace.oid AND relname = 'meta')))
UNION ALL
SELECT DISTINCT format('GRANT %I TO %I', pg_get_userbyid(relowner), current_user)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1 AND relkind = 'r' AND NOT (
    has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')
    AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE'));
