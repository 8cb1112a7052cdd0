DELETE FROM named_value WHERE name <> ALL ($1::text[]);
