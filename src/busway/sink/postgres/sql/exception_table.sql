CREATE TABLE IF NOT EXISTS {schema}.busway_exception (
    log text NOT NULL,
    flow text NOT NULL,
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (log, flow, "partition", "offset")
)
