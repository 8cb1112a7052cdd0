-- By flow first: due events of a flow are found without scanning a million of another flow.
CREATE INDEX failed_event_by_due ON failed_event (flow, due, partition, "offset")
WHERE state = 'parked' AND due IS NOT NULL;
