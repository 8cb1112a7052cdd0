SELECT min(due) FROM trouble WHERE state = 'parked' AND due IS NOT NULL;
