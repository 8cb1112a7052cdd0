-- Where a partition ends; nobody else appends to it until the end of the transaction.
SELECT "end" FROM partition WHERE partition = $1 FOR UPDATE;
