CREATE TABLE kept (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL)
WITH (fillfactor = 50);
