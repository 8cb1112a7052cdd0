CREATE INDEX failed_event_by_key ON failed_event (flow, partition, key, "offset")
WHERE state = 'parked' AND key IS NOT NULL;
