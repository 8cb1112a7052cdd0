SELECT EXISTS (
    SELECT
    FROM pg_locks AS l
    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE
        l.locktype = 'relation'
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        AND l.relation = to_regclass($1)::oid
        AND l.granted
        AND l.pid <> pg_backend_pid()
        AND (
            l.mode IN (
                'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
            )
            OR (
                l.mode = 'RowExclusiveLock'
                AND a.xact_start < clock_timestamp() - make_interval(secs => $2)
            )
        )
)
