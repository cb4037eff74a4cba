"""One dataset, encoder and task, opened for heads: labels, splits, vectors."""
