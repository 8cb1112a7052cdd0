CREATE TABLE audit (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text COLLATE "C" NOT NULL,
    before bytea,
    after bytea,
    reason text NOT NULL
);
