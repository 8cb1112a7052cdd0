TRUNCATE lane, trouble, settled, resolved, audit;
