INSERT INTO busway_file (one, size_bytes) VALUES (1, ?)
ON CONFLICT (one) DO UPDATE SET size_bytes = excluded.size_bytes
