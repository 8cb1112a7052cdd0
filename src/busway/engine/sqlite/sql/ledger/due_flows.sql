SELECT DISTINCT flow FROM lane
WHERE parked > 0 AND EXISTS (
    SELECT 1 FROM failed_event INDEXED BY failed_event_by_due
    WHERE flow = lane.flow AND state = 'parked' AND due IS NOT NULL AND due <= ?);
