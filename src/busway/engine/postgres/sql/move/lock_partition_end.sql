-- The end of a partition; no other process appends to it until the end of the transaction.
SELECT "end" FROM partition WHERE partition = $1 FOR UPDATE;
