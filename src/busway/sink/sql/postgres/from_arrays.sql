SELECT * FROM unnest({arrays})
