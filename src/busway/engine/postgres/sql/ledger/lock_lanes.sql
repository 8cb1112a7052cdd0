-- In a fixed order, to avoid deadlocks.
SELECT FROM lane JOIN unnest($1::text[], $2::integer[]) AS given (flow, partition)
    USING (flow, partition)
ORDER BY lane.flow, lane.partition FOR UPDATE OF lane;
