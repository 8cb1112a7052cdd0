-- Upkeep vacuums after trimming; this is for a database where it may not, or does not come to it.
ALTER TABLE batch SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_threshold = 50000, toast.autovacuum_vacuum_cost_delay = 0);
