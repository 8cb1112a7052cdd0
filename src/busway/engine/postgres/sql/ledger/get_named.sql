SELECT name, value FROM kept WHERE name = ANY ($1::text[]);
