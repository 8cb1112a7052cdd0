VACUUM batch;
