DELETE FROM cause WHERE flow = ?1;
