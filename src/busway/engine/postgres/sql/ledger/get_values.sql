SELECT name, value FROM named_value WHERE starts_with(name, $1) ORDER BY name;
