SELECT name, value FROM kept WHERE starts_with(name, $1) ORDER BY name;
