-- All lanes of a flow, in the order in which every statement locks lanes.
SELECT FROM lane WHERE flow = $1 ORDER BY partition FOR UPDATE;
