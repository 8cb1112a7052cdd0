SELECT size_bytes FROM busway_file
