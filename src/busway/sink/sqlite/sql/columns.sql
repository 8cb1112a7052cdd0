SELECT c.name, c.type, c.hidden, coalesce(t.strict, 0) AS strict, coalesce(t.type, '') AS kind
FROM pragma_table_xinfo(?1) AS c
LEFT JOIN pragma_table_list(?1) AS t
