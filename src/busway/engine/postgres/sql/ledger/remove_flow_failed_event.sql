DELETE FROM failed_event WHERE flow = $1;
