CREATE SCHEMA "{schema}";
