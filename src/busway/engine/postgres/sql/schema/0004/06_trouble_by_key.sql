CREATE INDEX trouble_by_key ON trouble (flow, partition, left(key, 256), "offset")
WHERE state = 'parked' AND key IS NOT NULL;
