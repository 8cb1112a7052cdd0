SELECT name, value FROM kept WHERE name > $1 ORDER BY name;
