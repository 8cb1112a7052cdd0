INSERT INTO lane (flow, partition, start, cursor) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT DO NOTHING;
