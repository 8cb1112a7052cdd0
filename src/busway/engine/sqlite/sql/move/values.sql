SELECT name, value FROM named_value WHERE name > ? ORDER BY name;
