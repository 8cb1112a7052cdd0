DELETE FROM settled WHERE flow = $1;
