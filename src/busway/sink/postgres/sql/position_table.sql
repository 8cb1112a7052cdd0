CREATE TABLE IF NOT EXISTS {schema}.busway_position (
    log text NOT NULL,
    flow text NOT NULL,
    "partition" integer NOT NULL,
    start bigint NOT NULL,
    position bigint NOT NULL,
    writes bigint NOT NULL,
    fencing_token bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (log, flow, "partition")
)
