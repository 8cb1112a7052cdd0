INSERT INTO {table} ({columns}) {rows} ON CONFLICT ({key}) DO UPDATE SET {changes}
