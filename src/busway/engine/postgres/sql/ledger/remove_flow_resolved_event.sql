DELETE FROM resolved_event WHERE flow = $1;
