-- Every user can see their number; backups and logical subscribers do not count.
SELECT count(*) FROM pg_stat_replication
WHERE coalesce(state, 'streaming') = 'streaming' AND pid NOT IN (
    SELECT active_pid FROM pg_replication_slots
    WHERE slot_type = 'logical' AND active_pid IS NOT NULL);
