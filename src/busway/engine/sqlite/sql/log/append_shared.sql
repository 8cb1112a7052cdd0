-- Where others append as well. What they have stored at the same place collides by its id; where
-- that was trimmed again by now, the count of 0 is refused.
INSERT INTO batch (id, count, appended_at, body)
SELECT
    column1,
    iif((SELECT base FROM partition WHERE partition = column1 >> 48) <= column1, column2, 0),
    column3,
    column4
FROM (VALUES (?, ?, ?, ?));
