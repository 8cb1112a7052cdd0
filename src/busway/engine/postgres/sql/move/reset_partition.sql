UPDATE partition SET base = $2, "end" = $2, size = 0 WHERE partition = $1;
