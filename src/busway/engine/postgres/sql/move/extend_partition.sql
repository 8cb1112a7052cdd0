UPDATE partition SET "end" = $2, size = size + $3 WHERE partition = $1;
