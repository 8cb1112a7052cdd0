INSERT INTO failed_event_count (state, flow, fingerprint, error, count) VALUES (?, ?, ?, ?, ?);
