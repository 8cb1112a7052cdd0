INSERT INTO partition (partition) SELECT generate_series(0, $1::integer - 1);
