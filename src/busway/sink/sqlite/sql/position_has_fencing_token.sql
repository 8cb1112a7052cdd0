SELECT count(*) FROM pragma_table_info('busway_position') WHERE name = 'fencing_token'
