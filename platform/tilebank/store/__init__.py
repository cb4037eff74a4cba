"""Store vectors, labels, splits and predictions in LanceDB tables."""
