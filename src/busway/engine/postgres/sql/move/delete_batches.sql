DELETE FROM batch WHERE partition = $1;
