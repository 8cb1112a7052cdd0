INSERT INTO failed_event_count
SELECT state, flow, fingerprint, error, count(*) FROM failed_event
GROUP BY state, flow, fingerprint, error;
