ALTER TABLE {schema}.busway_position ADD COLUMN IF NOT EXISTS epoch bigint NOT NULL DEFAULT 0
