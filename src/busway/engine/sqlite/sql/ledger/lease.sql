UPDATE lane SET worker = ?4, fencing_token = fencing_token + 1 WHERE flow = ?1 AND partition = ?2 AND fencing_token = ?3;
