CREATE TABLE batch (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    count integer NOT NULL,
    size integer NOT NULL,
    appended_at timestamptz NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (partition, "offset")
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000);
