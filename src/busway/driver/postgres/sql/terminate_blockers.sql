-- Terminate sessions of Busway that block others while they wait for their own client: it has stalled.
SELECT pg_terminate_backend(holder.pid)
FROM pg_stat_activity AS holder
WHERE holder.datname = current_database() AND holder.application_name = $2
    AND holder.wait_event = 'ClientRead' AND holder.state_change < now() - make_interval(secs => $1)
    AND holder.pid IN (
        SELECT unnest(pg_blocking_pids(waiting.pid)) FROM pg_stat_activity AS waiting
        WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock');
