DELETE FROM settled_range WHERE flow = ?1;
