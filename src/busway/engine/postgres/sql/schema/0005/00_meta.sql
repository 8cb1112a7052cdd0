CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
