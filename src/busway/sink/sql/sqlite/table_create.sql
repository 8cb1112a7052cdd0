CREATE TABLE {table} ({definitions})
