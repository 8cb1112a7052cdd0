UPDATE lane SET worker = ?4, epoch = epoch + 1 WHERE flow = ?1 AND partition = ?2 AND epoch = ?3;
