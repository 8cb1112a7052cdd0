SELECT partition, base, "end" FROM partition ORDER BY partition;
