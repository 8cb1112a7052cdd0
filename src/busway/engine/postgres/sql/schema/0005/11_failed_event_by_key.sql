CREATE INDEX failed_event_by_key ON failed_event (flow, partition, left(key, 256), "offset")
WHERE state = 'parked' AND key IS NOT NULL;
