INSERT INTO partition (partition, base) VALUES (?1, ?1 << 48);
