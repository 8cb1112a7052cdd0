INSERT INTO {table} ({columns}) {rows}
