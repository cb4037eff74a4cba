"""Let one writer at a time write a table, by a lease on disk or in a bucket."""
