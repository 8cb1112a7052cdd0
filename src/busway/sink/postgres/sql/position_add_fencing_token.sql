ALTER TABLE {schema}.busway_position ADD COLUMN IF NOT EXISTS fencing_token bigint NOT NULL DEFAULT 0
