SELECT {columns} FROM unnest({arrays}) AS sent ({names})
