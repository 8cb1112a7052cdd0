SELECT {columns} FROM (VALUES ({values})) AS sent ({names})
