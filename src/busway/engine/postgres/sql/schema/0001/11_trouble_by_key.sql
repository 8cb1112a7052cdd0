CREATE INDEX trouble_by_key ON trouble (flow, partition, key, "offset")
WHERE state = 'parked' AND key IS NOT NULL;
