"""One writer a table: a lease on disk or in a bucket."""
