DELETE FROM cause WHERE count = 0;
