SELECT count(*) FROM ({rows}) AS sent
WHERE EXISTS (SELECT FROM {table} AS kept WHERE {conditions})
