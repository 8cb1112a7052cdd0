INSERT INTO cause (state, flow, fingerprint, error, count) VALUES (?, ?, ?, ?, ?);
