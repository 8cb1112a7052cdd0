INSERT INTO cause
SELECT state, flow, fingerprint, error, count(*) FROM trouble
GROUP BY state, flow, fingerprint, error;
