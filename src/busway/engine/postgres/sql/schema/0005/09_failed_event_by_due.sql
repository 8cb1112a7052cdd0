-- By flow first: what is due of one is found without a look at a million that are due of another.
CREATE INDEX failed_event_by_due ON failed_event (flow, due, partition, "offset")
WHERE state = 'parked' AND due IS NOT NULL;
