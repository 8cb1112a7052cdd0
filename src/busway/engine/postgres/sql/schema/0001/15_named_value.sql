CREATE TABLE named_value (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL)
WITH (fillfactor = 50);
