DELETE FROM partition;
