ALTER TABLE {table} ALTER COLUMN {column} TYPE numeric
