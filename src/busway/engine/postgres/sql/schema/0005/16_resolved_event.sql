CREATE TABLE resolved_event (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    at timestamptz NOT NULL,
    attempts integer NOT NULL,
    failures bytea NOT NULL,
    event_key text,
    version text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
