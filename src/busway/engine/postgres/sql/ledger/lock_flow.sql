-- All lanes of a flow, in the order of those who lock several.
SELECT FROM lane WHERE flow = $1 ORDER BY partition FOR UPDATE;
