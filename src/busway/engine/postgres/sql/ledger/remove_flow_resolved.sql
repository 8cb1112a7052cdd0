DELETE FROM resolved WHERE flow = $1;
