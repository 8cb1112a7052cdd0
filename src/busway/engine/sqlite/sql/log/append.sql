INSERT INTO batch (id, count, appended_at, body) VALUES (?, ?, ?, ?);
