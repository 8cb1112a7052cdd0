SELECT DISTINCT flow FROM lane
WHERE parked > 0 AND EXISTS (
    SELECT FROM failed_event
    WHERE failed_event.flow = lane.flow AND state = 'parked' AND due IS NOT NULL AND due <= $1);
