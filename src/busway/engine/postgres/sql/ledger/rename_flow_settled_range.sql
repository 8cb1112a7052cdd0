UPDATE settled_range SET flow = $2 WHERE flow = $1;
