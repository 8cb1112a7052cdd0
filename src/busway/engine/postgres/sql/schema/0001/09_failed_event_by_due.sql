CREATE INDEX failed_event_by_due ON failed_event (due, flow, partition, "offset")
WHERE state = 'parked' AND due IS NOT NULL;
