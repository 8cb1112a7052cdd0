CREATE INDEX trouble_by_due ON trouble (due, flow, partition, "offset")
WHERE state = 'parked' AND due IS NOT NULL;
