SELECT name, value FROM named_value WHERE name = ANY ($1::text[]);
