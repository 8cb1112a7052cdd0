DELETE FROM trouble WHERE flow = $1;
