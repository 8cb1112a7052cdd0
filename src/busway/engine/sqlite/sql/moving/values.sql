SELECT name, value FROM kept WHERE name > ? ORDER BY name;
