SELECT name, value FROM named_value WHERE name > $1 ORDER BY name;
