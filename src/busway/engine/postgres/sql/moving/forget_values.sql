DELETE FROM kept WHERE name <> ALL ($1::text[]);
