-- A session that has been waiting for its next statement for long has answered: the reply was lost.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid = $1 AND (coalesce(state, '') NOT LIKE 'idle%'
        OR state_change > clock_timestamp() - make_interval(secs => $2)));
