-- In one order, so that nobody waits in a circle.
SELECT FROM lane JOIN unnest($1::text[], $2::integer[]) AS given (flow, partition)
    USING (flow, partition)
ORDER BY lane.flow, lane.partition FOR UPDATE OF lane;
