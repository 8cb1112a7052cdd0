-- Autovacuum is for a database where maintenance may not vacuum after a trim, or falls behind.
CREATE TABLE batch (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    count integer NOT NULL,
    size integer NOT NULL,
    appended_at timestamptz NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (partition, "offset")
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 50000, toast.autovacuum_vacuum_cost_delay = 0);
