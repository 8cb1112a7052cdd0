-- What waits for its next statement for long has answered: the answer was lost on the way.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid = $1 AND (coalesce(state, '') NOT LIKE 'idle%'
        OR state_change > clock_timestamp() - make_interval(secs => $2)));
