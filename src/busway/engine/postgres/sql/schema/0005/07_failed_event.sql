-- Many rows come and go at once: a redrive of a million may follow a failure of a million.
CREATE TABLE failed_event (
    flow text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('parked', 'dead')),
    since timestamptz NOT NULL,
    attempts integer NOT NULL,
    due timestamptz,
    key text COLLATE "C",
    failures bytea NOT NULL,
    event bytea NOT NULL,
    event_key text COLLATE "C",
    error text COLLATE "C" NOT NULL DEFAULT '',
    fingerprint text COLLATE "C" NOT NULL DEFAULT '',
    attempt_started_at timestamptz,
    PRIMARY KEY (flow, partition, "offset"),
    FOREIGN KEY (flow, partition) REFERENCES lane DEFERRABLE,
    CHECK (state = 'dead' OR due IS NOT NULL OR key IS NOT NULL)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
