DELETE FROM named_value WHERE name = ?1;
