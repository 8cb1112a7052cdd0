DELETE FROM lane WHERE flow = $1;
